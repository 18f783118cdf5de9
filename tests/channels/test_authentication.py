"""Users by tokens: what is accepted, what is refused, and that no token gets out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from calls import CONNECT, Recorder, call, http_scope, websocket_scope
from django.contrib.auth.models import AnonymousUser, User
from django.test import override_settings
from django.urls import path
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from channels.auth import AuthMiddlewareStack
from channels.broadcast import broadcast
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.http import AsgiHandler
from channels.mailbox import DirectReceive, Mailbox
from channels.routing import ProtocolTypeRouter, URLRouter, url
from channels.security.authentication import (
    AuthenticationFailed,
    AuthenticationMiddleware,
    BearerHeader,
    SubprotocolToken,
    VerifyError,
)
from channels.security.authenticators import Authenticator
from channels.security.denial import deny
from channels.security.tickets import OneTimeTicket, issue_ticket
from channels.server import Server, ServerConfig
from channels.testing import WebsocketCommunicator
from channels.threads import in_lane

# Of the shape of a JWT: three parts of base64url, with dots between them.
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.s1gnatur3-_0fAdasT0ken"
OTHER = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJubyJ9.an0ther-_s1gnatur3"
ADA = User(pk=1, username="ada")
GRACE = User(pk=2, username="grace")
EXTENSION = {"extensions": {"websocket.http.response": {}}}


def user_of(token: str) -> User | None:
    return ADA if token == TOKEN else None


async def auser_of(token: str) -> User | None:
    return user_of(token)


@pytest.fixture(autouse=True)
def nothing_logged_holds_a_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    # The test's own client, and foreign servers, log whole requests on DEBUG.
    caplog.set_level(logging.INFO)
    for name in ("channels", "django", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    formatter = logging.Formatter()
    for record in caplog.get_records("setup") + caplog.get_records("call"):
        text = f"{formatter.format(record)} {record.__dict__}"
        assert TOKEN not in text
        assert OTHER not in text


def bearer(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value.encode("latin-1")) for value in values]


def asked(
    authenticators: list[Authenticator], scope: dict[str, Any]
) -> tuple[Any, list[dict[str, Any]]]:
    """The scope that the application behind them got, or None; and what was sent."""
    app = Recorder()
    sent = call(AuthenticationMiddleware(app, authenticators), scope, [CONNECT])
    assert TOKEN not in repr(sent)
    assert OTHER not in repr(sent)
    return (app.scope if app.scopes else None), sent


def refusal(authenticators: list[Authenticator], scope: dict[str, Any]) -> str:
    """The text of the 401 that a scope is answered."""
    inner, (start, body) = asked(authenticators, {**scope, **EXTENSION})
    assert inner is None
    assert start["status"] == 401
    return str(body["body"].decode())


# -- the denial ------------------------------------------------------------------


def test_a_request_is_denied_with_a_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await deny(scope, receive, send, 403, "Not för you.", [(b"x-why", b"1")])

    start, body = call(app, http_scope())
    assert (start["type"], start["status"]) == ("http.response.start", 403)
    assert start["headers"] == [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"13"),
        (b"x-why", b"1"),
    ]
    assert body == {"type": "http.response.body", "body": "Not för you.".encode()}
    start, body = call(app, websocket_scope(**EXTENSION), [CONNECT])
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert body["type"] == "websocket.http.response.body"


def test_a_websocket_without_the_extension_is_denied_by_closing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await deny(scope, receive, send, 403, "No.")

    assert call(app, websocket_scope(), [CONNECT]) == [{"type": "websocket.close"}]
    gone = {"type": "websocket.disconnect", "code": 1006}
    assert call(app, websocket_scope(), [gone]) == []
    with pytest.raises(ValueError, match="A scope of type 'channel' cannot be denied with 403"):
        call(app, {"type": "channel"})


# -- the bearer header -----------------------------------------------------------


@pytest.mark.parametrize("verify", [user_of, auser_of, lambda token: auser_of(token)])
@pytest.mark.parametrize("make", [http_scope, websocket_scope])
@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bEARER   {TOKEN} "])
def test_a_bearer_header_gives_its_user(verify: Any, make: Any, value: str) -> None:
    scope = make(headers=[(b"host", b"a"), *bearer(value)])
    inner, _ = asked([BearerHeader(verify)], scope)
    assert inner["user"] is ADA
    assert "user" not in scope, "the caller's scope stays as it was"


def test_a_synchronous_verify_runs_in_the_lane() -> None:
    seen: list[tuple[bool, bool]] = []

    def verify(token: str) -> User:
        seen.append((in_lane(), threading.current_thread() is threading.main_thread()))
        return ADA

    asked([BearerHeader(verify)], http_scope(headers=bearer(f"Bearer {TOKEN}")))
    assert seen == [(True, False)]


def test_a_token_of_base64_is_taken() -> None:
    got: list[str] = []

    def verify(token: str) -> User:
        got.append(token)
        return ADA

    asked([BearerHeader(verify)], http_scope(headers=bearer("Bearer a+/b~==")))
    assert got == ["a+/b~=="]


def test_a_wrong_token_is_refused_with_a_challenge(caplog: pytest.LogCaptureFixture) -> None:
    scope = http_scope("/a", headers=bearer(f"Bearer {OTHER}"))
    inner, (start, body) = asked([BearerHeader(user_of)], scope)
    assert inner is None
    assert start["status"] == 401
    assert (b"www-authenticate", b'Bearer error="invalid_token"') in start["headers"]
    assert body["body"] == b"Authentication failed."
    (record,) = [one for one in caplog.records if one.name == "channels.security"]
    assert record.getMessage() == (
        "GET '/a' refused with 401: BearerHeader(test_authentication.user_of): "
        "test_authentication.user_of knows no such token"
    )


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((f"Bearer {TOKEN}", f"Bearer {TOKEN}"), "several Authorization headers"),
        ((f"Bearer {TOKEN}", "Basic YTpi"), "several Authorization headers"),
        (("Bearer",), "no token behind 'Bearer'"),
        (("Bearer ",), "no token behind 'Bearer'"),
        (("Bearer " + "a" * 8193,), "longer than 8192 bytes"),
        ((f"Bearer {TOKEN} {TOKEN}",), "is not 'Bearer', a space, and a token"),
        ((f"Bearer\t{TOKEN}",), "is not 'Bearer', a space, and a token"),
        ((f"Bearer {TOKEN}, Basic YTpi",), "is not 'Bearer', a space, and a token"),
        ((f"Bearer {TOKEN}\xe9",), "is not 'Bearer', a space, and a token"),
        ((f"Bearer {TOKEN}\r\nx: y",), "is not 'Bearer', a space, and a token"),
        (("Bearer ===",), "is not 'Bearer', a space, and a token"),
    ],
)
def test_a_malformed_header_is_refused_and_says_why(values: tuple[str, ...], text: str) -> None:
    assert text in refusal([BearerHeader(user_of)], websocket_scope(headers=bearer(*values)))


@pytest.mark.parametrize("value", ["Basic YTpi", "Bearers " + TOKEN, "", "Digest bearer=1"])
def test_other_schemes_are_no_credential_of_this_kind(value: str) -> None:
    inner, _ = asked([BearerHeader(user_of)], websocket_scope(headers=bearer(value)))
    assert isinstance(inner["user"], AnonymousUser)
    assert inner["headers"] == bearer(value)


def test_the_header_is_kept_from_websockets_and_left_to_views() -> None:
    headers = [(b"host", b"a"), *bearer(f"Bearer {TOKEN}")]
    inner, _ = asked([BearerHeader(user_of)], websocket_scope(headers=headers))
    assert inner["headers"] == [(b"host", b"a")]
    inner, _ = asked([BearerHeader(user_of)], http_scope(headers=headers))
    assert inner["headers"] == headers


# -- the token among the subprotocols --------------------------------------------


def offering(*names: str, header: str | None = None, **more: Any) -> dict[str, Any]:
    value = ", ".join(names) if header is None else header
    headers = [(b"host", b"a"), (b"sec-websocket-protocol", value.encode())]
    return websocket_scope(subprotocols=list(names), headers=headers, **more)


def accepting(subprotocol: str | None = None) -> dict[str, Any]:
    return {"type": "websocket.accept", "subprotocol": subprotocol}


def accepted(scope: dict[str, Any], subprotocol: str | None, **options: Any) -> Any:
    app = Recorder(accepting(subprotocol), {"type": "websocket.send", "text": "hello"})
    authenticator = SubprotocolToken(user_of, **options)
    accept, message = call(AuthenticationMiddleware(app, [authenticator]), scope, [CONNECT])
    assert message == {"type": "websocket.send", "text": "hello"}
    return accept["subprotocol"]


@pytest.mark.parametrize("verify", [user_of, auser_of])
def test_a_subprotocol_gives_its_user_and_is_taken_out(verify: Any) -> None:
    scope = offering("chat.v2", "bearer", f"bearer.{TOKEN}", "chat.v1")
    inner, _ = asked([SubprotocolToken(verify)], scope)
    assert inner["user"] is ADA
    assert inner["subprotocols"] == ["chat.v2", "chat.v1"]
    assert inner["headers"] == [(b"host", b"a"), (b"sec-websocket-protocol", b"chat.v2, chat.v1")]
    assert len(scope["subprotocols"]) == 4, "the caller's scope stays as it was"


def test_a_header_that_held_only_the_token_is_gone() -> None:
    inner, _ = asked([SubprotocolToken(user_of)], offering("bearer", f"bearer.{TOKEN}"))
    assert inner["subprotocols"] == []
    assert inner["headers"] == [(b"host", b"a")]


def test_several_headers_of_subprotocols_are_cleaned() -> None:
    headers = [
        (b"Sec-WebSocket-Protocol", b"bearer,chat"),
        (b"sec-websocket-protocol", f" bearer.{TOKEN}".encode()),
    ]
    scope = websocket_scope(headers=headers, subprotocols=["bearer", "chat", f"bearer.{TOKEN}"])
    inner, _ = asked([SubprotocolToken(user_of)], scope)
    assert inner["headers"] == [(b"Sec-WebSocket-Protocol", b"chat")]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("bearer", "bearer."), "no token behind 'bearer.'"),
        (("bearer.a", "bearer.b"), "Several subprotocols begin with 'bearer.'"),
        (("bearer." + "a" * 8193,), "longer than 8192 bytes"),
        (("bearer.YTpi==",), "base64url without padding"),
        (("bearer.a/b",), "base64url without padding"),
        ((f"bearer.{OTHER}",), "Authentication failed."),
    ],
)
def test_a_wrong_token_among_the_subprotocols_is_refused(names: tuple[str, ...], text: str) -> None:
    assert text in refusal([SubprotocolToken(user_of)], offering(*names))


def test_a_marker_alone_is_an_ordinary_subprotocol() -> None:
    inner, _ = asked([SubprotocolToken(user_of)], offering("bearer", "chat"))
    assert isinstance(inner["user"], AnonymousUser)
    assert inner["subprotocols"] == ["bearer", "chat"]
    assert accepted(offering("bearer"), None) is None


def test_requests_have_no_subprotocols() -> None:
    inner, _ = asked([SubprotocolToken(user_of)], http_scope(subprotocols=[f"bearer.{TOKEN}"]))
    assert isinstance(inner["user"], AnonymousUser)


def test_the_marker_is_chosen_where_the_application_chooses_none() -> None:
    both = ("bearer", f"bearer.{TOKEN}")
    assert accepted(offering(*both), None) == "bearer"
    assert accepted(offering(*both, "chat"), None) == "bearer"
    assert accepted(offering(*both, "chat"), "chat") == "chat"
    assert accepted(offering(*both, "chat"), "bearer") == "bearer"
    assert accepted(offering(f"bearer.{TOKEN}"), None) is None, "it was not offered"
    assert accepted(offering("jwt", f"jwt.{TOKEN}"), None, name="jwt") == "jwt"


@pytest.mark.parametrize(
    ("chosen", "came"),
    [(f"bearer.{TOKEN}", "the one that carries the token"), ("soap", "'soap'")],
)
def test_choosing_what_is_not_offered_is_an_error_without_the_token(chosen: str, came: str) -> None:
    with pytest.raises(ValueError, match="is one of scope") as caught:
        accepted(offering("bearer", f"bearer.{TOKEN}"), chosen)
    assert str(caught.value).endswith(f"but came {came}.")
    assert TOKEN not in str(caught.value)


def test_the_name_of_the_marker_can_be_a_subprotocol() -> None:
    with pytest.raises(ValueError, match="came 'my token'"):
        SubprotocolToken(user_of, name="my token")


# -- the way of a message --------------------------------------------------------


def ports(scope: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """What our server gives to an application, and what this then got."""

    async def run() -> tuple[Any, Any, Any, Any]:
        got: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            got.extend([receive, send])

        async def send(message: Any) -> None:
            pass

        receive = DirectReceive(Mailbox(asyncio.get_running_loop()), send, None)
        await AuthenticationMiddleware(app, [SubprotocolToken(user_of)])(scope, receive, send)
        return receive, send, *got

    return asyncio.run(run())


def test_without_a_token_the_consumer_stands_directly_on_the_server() -> None:
    receive, send, inner_receive, inner_send = ports(offering("bearer", "chat"))
    assert (inner_receive, inner_send) == (receive, send)


def test_with_a_token_the_consumer_still_reads_the_servers_mailbox() -> None:
    receive, send, inner_receive, inner_send = ports(offering("bearer", f"bearer.{TOKEN}"))
    assert inner_send is not send
    assert type(inner_receive) is DirectReceive
    assert inner_receive.send is inner_send
    assert inner_receive.mailbox is receive.mailbox


# -- the middleware --------------------------------------------------------------


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


# -- a verify that fails ---------------------------------------------------------


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
    assert f"test_authentication.{verify.__name__} raised builtins.{kind} instead" in text
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
    assert repr(SubprotocolToken(user_of)) == (
        "SubprotocolToken(test_authentication.user_of, 'bearer')"
    )


def test_a_sync_consumer_gets_the_marker_too() -> None:
    class Consumer(WebsocketConsumer):
        def connect(self) -> None:
            self.accept()
            self.send(self.scope["user"].username)

    async def run() -> None:
        app = AuthenticationMiddleware(Consumer, [SubprotocolToken(user_of)])
        offered = ["bearer", f"bearer.{TOKEN}"]
        async with WebsocketCommunicator(app, "/", subprotocols=offered) as client:
            assert await client.connect() == (True, "bearer")
            assert await client.receive_from() == "ada"

    asyncio.run(run())


# -- Django's error pages --------------------------------------------------------


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


# -- under servers ---------------------------------------------------------------


class Hello(AsyncWebsocketConsumer):
    groups = ["all"]

    async def connect(self) -> None:
        await self.accept()
        await self.send(f"{self.scope['user']} {TOKEN in repr(self.scope)}")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("all", {"type": "said", "text": text_data})

    @broadcast
    def said(cls, event: Any) -> str:
        return str(event["text"])


class Failing(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(subprotocol="soap")


APPLICATION = ProtocolTypeRouter(
    {
        "websocket": AuthenticationMiddleware(
            URLRouter([url(r"^hello/$", Hello), url(r"^failing/$", Failing)]),
            [BearerHeader(user_of), SubprotocolToken(user_of)],
        )
    }
)


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[str]:
    server = Server(APPLICATION, ServerConfig(port=0))
    await server.start()
    try:
        host, port = server.addresses[0]
        yield f"ws://{host}:{port}"
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def under_uvicorn() -> AsyncIterator[str]:
    config = uvicorn.Config(
        APPLICATION, port=0, lifespan="off", log_config=None, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"
    finally:
        await server.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("serving", [ours, under_uvicorn])
def test_tokens_open_websockets_under_servers(serving: Any) -> None:
    async def run() -> None:
        async with serving() as base:
            header = {"Authorization": f"Bearer {TOKEN}"}
            async with connect(f"{base}/hello/", additional_headers=header) as client:
                assert await client.recv() == "ada False"
            offered = [Subprotocol("bearer"), Subprotocol(f"bearer.{TOKEN}")]
            async with connect(f"{base}/hello/", subprotocols=offered) as client:
                assert client.subprotocol == "bearer"
                assert await client.recv() == "ada False"
                await client.send("to all")
                assert await client.recv() == "to all"
            async with connect(f"{base}/hello/") as client:
                assert await client.recv() == "AnonymousUser False"
            for wrong in (
                {"additional_headers": {"Authorization": f"Bearer {OTHER}"}},
                {"subprotocols": [Subprotocol("bearer"), Subprotocol(f"bearer.{OTHER}")]},
            ):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(f"{base}/hello/", **wrong)
                response = caught.value.response
                assert response.status_code == 401
                assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
                assert response.body.strip() == b"Authentication failed."
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"{base}/failing/", subprotocols=offered)
            assert caught.value.response.status_code == 500

    asyncio.run(asyncio.wait_for(run(), 30))
