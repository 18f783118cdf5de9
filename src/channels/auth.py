"""Django's users for any scope that has a session.

Who may do what is `django.contrib.auth`'s to decide: here a scope is shown to it
as the request it expects.
"""

from __future__ import annotations

import io
from typing import Any

from django.contrib import auth

# Of Django, and imported from here by projects.
from django.contrib.auth import (  # noqa: F401
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
    user_logged_in,
    user_logged_out,
)
from django.core.handlers.asgi import ASGIRequest
from django.utils.functional import LazyObject, SimpleLazyObject, empty

from .db import database_sync_to_async
from .middleware import BaseMiddleware
from .security.announcements import announce_ends
from .security.watch import identify, watching, withdraw
from .sessions import CookieMiddleware, SessionMiddleware
from .threads import lane
from .types import Receive, Scope, Send

__all__ = [
    "AuthMiddleware",
    "AuthMiddlewareStack",
    "UserLazyObject",
    "get_user",
    "login",
    "logout",
]


def _session_of(scope: Scope) -> Any:
    if "session" not in scope:
        raise ValueError(
            "Cannot find session in scope. You should wrap your consumer in SessionMiddleware."
        )
    return scope["session"]


def _get_user_session_key(session: Any) -> Any:
    """The key of the session's user; projects that find users by another table ask for it."""
    return get_user_model()._meta.pk.to_python(session[SESSION_KEY])


def _anonymous() -> Any:
    # Here, not above: models can only be imported once the apps are loaded.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


async def get_user(scope: Scope) -> Any:
    """Return the user whom the scope's session names, else AnonymousUser.

    A session whose hash no longer fits the user's password is flushed. One signed
    with a key of SECRET_KEY_FALLBACKS gets a new hash. ValueError without a session.
    """
    session = _session_of(scope)
    if getattr(session, "session_key", "") is None and not await session.ahas_key(auth.SESSION_KEY):
        # Nobody, and no thread was needed to know it.
        return _anonymous()
    return await database_sync_to_async(auth.get_user)(_SessionOnly(session))


class _SessionOnly:
    """As much of a request as finding its user takes."""

    def __init__(self, session: Any) -> None:
        self.session = _KeepingKey(session)


class _KeepingKey:
    """A session whose key stays when its hash is renewed.

    Django gives it a new key then, and deletes the row of the old one. Here no
    cookie may ever go out (the consumer may deny the connection), and the browser
    would be left with a key that leads nowhere.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def __getitem__(self, name: str) -> Any:
        return self._session[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._session[name] = value

    def cycle_key(self) -> None:
        """Nothing to do: the same user goes on with the same session."""


async def login(scope: Scope, user: Any, backend: str | None = None) -> None:
    """Log `user` in to the scope's session; None stands for `scope["user"]`.

    During a WebSocket's `connect`, before `accept`, the browser gets the cookie.
    Later none can be sent, and the consumer saves the session itself.
    """
    _session_of(scope)
    if user is None:
        user = scope.get("user")
    if user is None:
        raise ValueError("User must be passed as an argument or must be present in the scope.")
    await database_sync_to_async(auth.login)(_request(scope), user, backend)
    scope["user"] = user
    identify(scope)


async def logout(scope: Scope) -> None:
    """Log the scope's user out: its session is deleted, `scope["user"]` becomes AnonymousUser.

    The scope's own WebSocket stays open; others of that session close.
    """
    session = _session_of(scope)
    withdraw(scope)
    try:
        if getattr(scope.get("user"), "is_authenticated", False):
            await database_sync_to_async(auth.logout)(_request(scope))
        else:
            await database_sync_to_async(session.flush)()
    except BaseException:
        # Nobody has logged out: the socket is its user's still.
        identify(scope)
        raise
    if "user" in scope:
        scope["user"] = _anonymous()


def _request(scope: Scope) -> ASGIRequest:
    """The scope as a request: what receivers of Django's login signals look into."""
    defaults = {"method": "GET", "path": "/", "query_string": b"", "headers": []}
    request = ASGIRequest({**defaults, **scope}, io.BytesIO())
    request.session = scope["session"]
    if "user" in scope:
        request.user = scope["user"]
    return request


class UserLazyObject(LazyObject):  # type: ignore[type-arg]
    """Stands in the scope for the user until AuthMiddleware has found it."""

    def _setup(self) -> None:
        raise ValueError("Accessing scope user before it is ready.")


def _is_unresolved(user: Any) -> bool:
    # type() and not isinstance(): the latter asks a lazy object for its content. One of
    # another middleware may be waiting for us too, unless it can find its content itself.
    kind = type(user)
    waits = issubclass(kind, LazyObject) and not issubclass(kind, SimpleLazyObject)
    return waits and user._wrapped is empty


class AuthMiddleware(BaseMiddleware):
    """Puts the session's user into `scope["user"]`; stands inside SessionMiddleware.

    The session has been read by then, so synchronous access to it works in
    asynchronous consumers too. A user whom another middleware put there stays. A
    WebSocket is closed when its user logs out (see security/watch.py).
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        # Here too: "channels" need not be in INSTALLED_APPS.
        announce_ends()

    def populate_scope(self, scope: Scope) -> None:
        """Make a place for the user in the scope."""
        if "session" not in scope:
            raise ValueError(
                "AuthMiddleware cannot find session in scope. SessionMiddleware must be above it."
            )
        if "user" not in scope:
            scope["user"] = UserLazyObject()

    async def resolve_scope(self, scope: Scope) -> None:
        """Find the user."""
        if _is_unresolved(scope["user"]):
            scope["user"]._wrapped = await get_user(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        scope = dict(scope)
        async with lane(label=scope.get("path", "")):
            self.populate_scope(scope)
            await self.resolve_scope(scope)
            async with watching(scope, send):
                return await super().__call__(scope, receive, send)


def AuthMiddlewareStack(inner: Any) -> CookieMiddleware:
    """Wrap an application in the user, the session and the cookies that lead to them."""
    return CookieMiddleware(SessionMiddleware(AuthMiddleware(inner)))
