"""Users by other credentials than a session: tokens and tickets.

`AuthenticationMiddleware` asks its authenticators in turn. The first one that finds
a credential decides: its user goes into the scope, or the connection is denied. The
inner application gets the user and not the credential, so that whatever it logs,
shows or sends on cannot hold it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction

from ..consumer import as_application
from ..mailbox import DirectReceive
from ..threads import lane
from ..types import ASGIApplication, Header, Message, Receive, Scope, Send
from .authenticators import (
    Accept,
    AuthenticationFailed,
    Authenticator,
    HidesCredential,
    OnAccept,
    VerifyError,
)
from .bearer import BearerHeader
from .denial import deny
from .subprotocol_token import SubprotocolToken
from .watch import watching

__all__ = [
    "AuthenticationFailed",
    "AuthenticationMiddleware",
    "Authenticator",
    "BearerHeader",
    "SubprotocolToken",
    "VerifyError",
]

logger = logging.getLogger("channels.security")


class AuthenticationMiddleware:
    """Puts the user whom one of `authenticators` finds into `scope["user"]`.

    They are asked in order; a wrong credential is answered 401. Where none of them
    finds a credential, a user who is in the scope already stays, else it is
    AnonymousUser. Scopes other than HTTP's and WebSocket's pass untouched.
    """

    def __init__(self, inner: Any, authenticators: Iterable[Authenticator]) -> None:
        self.inner: ASGIApplication = as_application(inner)
        self.authenticators = tuple(authenticators)
        for authenticator in self.authenticators:
            _check(authenticator)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] not in ("http", "websocket"):
            return await self.inner(scope, receive, send)
        async with lane(label=scope.get("path", "")):
            for authenticator in self.authenticators:
                try:
                    user = await authenticator.authenticate(scope)
                    if user is not None:
                        _check_user(user, authenticator)
                        break
                except AuthenticationFailed as failure:
                    return await _refuse(failure, authenticator, scope, receive, send)
            else:
                user = scope.get("user")
                user = _anonymous() if user is None else user
            receive, send = self._with_accept(scope, receive, send)
            inner_scope = self._inner_scope(scope, user)
            async with watching(inner_scope, send):
                return await self.inner(inner_scope, receive, send)

    def _inner_scope(self, scope: Scope, user: Any) -> Scope:
        inner: Scope = {**scope, "user": user}
        for authenticator in self.authenticators:
            if isinstance(authenticator, HidesCredential):
                inner = authenticator.hide(inner)
        return inner

    def _with_accept(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Let authenticators change the accept; most scopes keep the server's own `send`."""
        wrapped = send
        for authenticator in self.authenticators:
            if isinstance(authenticator, OnAccept):
                accept = authenticator.on_accept(scope)
                if accept is not None:
                    wrapped = partial(_send_accepted, accept, wrapped)
        if wrapped is not send and type(receive) is DirectReceive and receive.send is send:
            # Nothing but the accept is changed, so a consumer may still read the
            # server's mailbox itself, and shared frames go straight to the socket.
            receive = DirectReceive(receive.mailbox, wrapped, receive.sink)
        return receive, wrapped


async def _send_accepted(accept: Accept, send: Send, message: Message) -> None:
    await send(accept(message) if message["type"] == "websocket.accept" else message)


def _check(authenticator: Any) -> None:
    method = getattr(authenticator, "authenticate", None)
    if isinstance(authenticator, type) or not iscoroutinefunction(method):
        raise TypeError(
            "An authenticator is an object with a coroutine method authenticate(scope), as "
            f"BearerHeader(verify) is, but came {authenticator!r:.80}."
        )


def _check_user(user: Any, authenticator: Authenticator) -> None:
    if not hasattr(user, "is_authenticated"):
        # Of True or of a token's claims nobody could be held to what they may do.
        raise TypeError(
            f"{authenticator!r} found a {type(user).__qualname__}, which is no user: it has "
            "no is_authenticated. Return a user, or None."
        )
    if not user.is_authenticated:
        raise AuthenticationFailed("the user found is not authenticated")
    if not getattr(user, "is_active", True):
        raise AuthenticationFailed("the user is not active")


def _anonymous() -> Any:
    # Here, not above: models can only be imported once the apps are loaded.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


async def _refuse(
    failure: AuthenticationFailed,
    authenticator: Authenticator,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    kind = "WebSocket" if scope["type"] == "websocket" else scope.get("method", "HTTP")
    logger.warning(
        "%s %r refused with 401: %r: %s", kind, scope.get("path"), authenticator, failure
    )
    challenge = getattr(authenticator, "challenge", None)
    headers: list[Header] = []
    if challenge is not None:
        headers.append((b"www-authenticate", challenge.encode("ascii")))
    await deny(scope, receive, send, 401, failure.told, headers)
