"""Tokens, whose users they are, and scopes that carry them."""

from __future__ import annotations

from typing import Any

from calls import CONNECT, Recorder, call, websocket_scope
from django.contrib.auth.models import User

from channels.security.authentication import AuthenticationMiddleware
from channels.security.authenticators import Authenticator

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


def bearer(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value.encode("latin-1")) for value in values]


def offering(*names: str, header: str | None = None, **more: Any) -> dict[str, Any]:
    value = ", ".join(names) if header is None else header
    headers = [(b"host", b"a"), (b"sec-websocket-protocol", value.encode())]
    return websocket_scope(subprotocols=list(names), headers=headers, **more)


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
