"""Users by a token in the header `Authorization`."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from calls import http_scope, websocket_scope
from django.contrib.auth.models import AnonymousUser, User
from tokens import ADA, OTHER, TOKEN, asked, auser_of, bearer, refusal, user_of

from channels.security.authentication import BearerHeader
from channels.threads import in_lane

pytestmark = pytest.mark.usefixtures("nothing_logged_holds_a_token")


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
        "GET '/a' refused with 401: BearerHeader(tokens.user_of): "
        "tokens.user_of knows no such token"
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
