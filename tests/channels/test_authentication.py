"""Authenticators in their middleware: who decides, what is refused, and that no token gets out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from calls import Recorder, call, http_scope, websocket_scope
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.urls import path
from tokens import ADA, GRACE, OTHER, TOKEN, asked, auser_of, bearer, offering, refusal, user_of

from channels.auth import AuthMiddlewareStack
from channels.http import AsgiHandler
from channels.routing import URLRouter, url
from channels.security.authentication import (
    AuthenticationFailed,
    AuthenticationMiddleware,
    BearerHeader,
    SubprotocolToken,
    VerifyError,
)
from channels.security.tickets import OneTimeTicket, issue_ticket

pytestmark = pytest.mark.usefixtures("nothing_logged_holds_a_token")


class Asked:
    """An authenticator that records whether it was asked."""

    def __init__(self, user: Any = None) -> None:
        self.user = user
        self.asked = 0

    async def authenticate(self, scope: Any) -> Any:
        self.asked += 1
        return self.user


def test_the_first_credential_decides_and_all_are_taken_out() -> None:
    last = Asked(GRACE)
    scope = offering("bearer", f"bearer.{TOKEN}")
    scope["headers"] += bearer(f"Bearer {TOKEN}")
    inner, _ = asked([BearerHeader(user_of), SubprotocolToken(auser_of), last], scope)
    assert inner["user"] is ADA
    assert last.asked == 0
    assert TOKEN not in repr(inner)


def test_a_wrong_credential_is_not_made_good_by_another() -> None:
    last = Asked(GRACE)
    scope = websocket_scope(headers=bearer(f"Bearer {OTHER}"))
    assert refusal([BearerHeader(user_of), last], scope) == "Authentication failed."
    assert last.asked == 0


def test_without_a_credential_a_user_of_the_scope_stays() -> None:
    inner, _ = asked([BearerHeader(user_of), Asked()], websocket_scope(user=GRACE))
    assert inner["user"] is GRACE
    inner, _ = asked([BearerHeader(user_of)], websocket_scope())
    assert isinstance(inner["user"], AnonymousUser)


@pytest.mark.usefixtures("db")
def test_a_token_goes_before_the_session_around_it() -> None:
    app = Recorder()
    stack = AuthMiddlewareStack(AuthenticationMiddleware(app, [BearerHeader(user_of)]))
    call(stack, websocket_scope("/", headers=bearer(f"Bearer {TOKEN}")))
    assert app.scope["user"] is ADA


def test_a_websocket_without_the_extension_is_closed_before_it_is_accepted() -> None:
    scope = websocket_scope(headers=bearer(f"Bearer {OTHER}"))
    inner, sent = asked([BearerHeader(user_of)], scope)
    assert inner is None
    assert sent == [{"type": "websocket.close"}]


def test_other_scopes_pass_untouched() -> None:
    app = Recorder()
    scope = {"type": "channel", "channel": "thumbnails"}
    call(AuthenticationMiddleware(app, [Asked(ADA)]), scope)
    assert app.scope is scope


@pytest.mark.parametrize(
    "user", [User(pk=3, username="left", is_active=False), AnonymousUser()], ids=["left", "nobody"]
)
def test_who_may_not_log_in_is_refused(user: Any) -> None:
    scope = websocket_scope(headers=bearer(f"Bearer {TOKEN}"))
    assert refusal([BearerHeader(lambda token: user)], scope) == "Authentication failed."


@pytest.mark.parametrize("answer", [True, {"sub": TOKEN}, TOKEN])
def test_a_verify_that_returns_no_user_is_an_error(answer: Any) -> None:
    scope = websocket_scope(headers=bearer(f"Bearer {TOKEN}"))
    with pytest.raises(TypeError, match="which is no user") as caught:
        asked([BearerHeader(lambda token: answer)], scope)
    assert TOKEN not in str(caught.value)


def test_what_is_no_authenticator_is_refused_at_the_start() -> None:
    class Sync:
        def authenticate(self, scope: Any) -> Any:
            return ADA

    for wrong in (BearerHeader, user_of, Sync()):
        with pytest.raises(TypeError, match="coroutine method authenticate"):
            AuthenticationMiddleware(Recorder(), [wrong])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="BearerHeader takes a function of the token"):
        BearerHeader("secret")  # type: ignore[arg-type]


def test_routers_find_each_other_through_the_middleware() -> None:
    app = Recorder()
    inner = AuthenticationMiddleware(URLRouter([url(r"^b/$", app)]), [])  # type: ignore[list-item]
    call(URLRouter([url(r"^a/", inner)]), websocket_scope("/a/b/"))
    assert app.scope["path"] == "/a/b/"


# -- a verify that fails -----------------------------------------------------------


def failing(token: str) -> Any:
    raise ValueError(f"cannot parse {token}")


async def afailing(token: str) -> Any:
    return {}[token]


def finding_nothing(token: str) -> Any:
    return next(user for user in () if user == token)


@pytest.mark.parametrize(
    ("verify", "kind"),
    [
        (failing, "ValueError"),
        (afailing, "KeyError"),
        # A StopIteration, which no future takes: whoever waits for it would wait forever.
        (finding_nothing, "RuntimeError"),
    ],
)
def test_what_verify_raises_is_told_without_its_text(verify: Any, kind: str) -> None:
    scope = websocket_scope(headers=bearer(f"Bearer {TOKEN}"))
    with pytest.raises(VerifyError, match="it may hold the token") as caught:
        asked([BearerHeader(verify)], scope)
    text = str(caught.value)
    assert f"{__name__}.{verify.__name__} raised builtins.{kind} instead" in text
    assert text.endswith(f"in {verify.__name__}")
    assert TOKEN not in text
    # Nor does anything that error reporters follow.
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_a_verify_may_refuse_with_a_reason_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    def verify(token: str) -> Any:
        raise AuthenticationFailed(f"{token} has expired", told=f"{token}: log in again")

    scope = websocket_scope(headers=bearer(f"Bearer {TOKEN}"))
    assert refusal([BearerHeader(verify)], scope) == "...: log in again"
    assert caplog.records[-1].getMessage().endswith(": ... has expired")


def test_authenticators_show_no_more_than_their_function() -> None:
    assert repr(SubprotocolToken(user_of)) == ("SubprotocolToken(tokens.user_of, 'bearer')")


# -- Django's error pages ----------------------------------------------------------


def breaking(request: Any) -> Any:
    raise RuntimeError(f"for {request.scope['user']}")


urlpatterns = [path("breaking/", breaking)]


@pytest.mark.usefixtures("db")
def test_djangos_error_page_shows_no_credential(tmp_path: Path) -> None:
    cache = {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": tmp_path}
    with override_settings(DEBUG=True, ROOT_URLCONF=__name__, CACHES={"default": cache}):
        ada = User.objects.create_user("ada")
        ticket = issue_ticket(ada, "/breaking/")
        app = AuthenticationMiddleware(
            AsgiHandler(), [OneTimeTicket(), BearerHeader(lambda token: ada)]
        )
        host = (b"host", b"testserver")
        body = {"type": "http.request", "body": b""}
        pages = [
            call(app, http_scope("/breaking/", **more), [body])[1]["body"].decode()
            for more in (
                {"query_string": f"a=1&ticket={ticket}".encode()},
                {"headers": [host, *bearer(f"Bearer {TOKEN}")]},
            )
        ]
    for page in pages:
        assert "RuntimeError" in page
        assert ticket not in page
        assert TOKEN not in page
