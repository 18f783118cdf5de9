"""Who may get past: applications that ask about the user first.

    path("admin/", login_required(AdminConsumer.as_asgi()))
    path("press/", permission_required("news.add_story")(PressConsumer))

They stand around any ASGI application: a consumer, a router, Django's views. Nobody
logged in is answered 401, a user who may not 403, and the application is not called.
A WebSocket is denied before it is accepted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable, iscoroutinefunction
from typing import Any, Final

from ..consumer import as_application
from ..db import database_sync_to_async
from ..threads import lane
from ..types import ASGIApplication, Receive, Scope, Send
from .denial import deny

__all__ = ["Guard", "login_required", "permission_required", "user_passes_test"]

logger = logging.getLogger("channels.security")

Test = Callable[[Any], Awaitable[bool]]

# Of a consumer's application; whoever asks it there may ask here.
OF_CONSUMERS: Final = ("consumer_class", "consumer_initkwargs")


class Guard:
    """An application that lets those through whom `test` says may pass.

    `name` is that of the function it was made with, for errors.
    """

    def __init__(self, application: Any, test: Test, name: str) -> None:
        self.inner: ASGIApplication = as_application(application)
        self._guarded: Any = application
        self._test = test
        self._name = name
        for attribute in OF_CONSUMERS:
            if hasattr(self.inner, attribute):
                setattr(self, attribute, getattr(self.inner, attribute))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "lifespan":
            # Of the whole process, and so of no user.
            return await self.inner(scope, receive, send)
        user = self._user_of(scope)
        async with lane(label=scope.get("path", "")):
            known = bool(getattr(user, "is_authenticated", False))
            if await self._test(user):
                return await self.inner(scope, receive, send)
        status, reason = (403, "You may not do this.") if known else (401, "Log in first.")
        logger.info("%s %r denied with %d", scope["type"], scope.get("path"), status)
        await deny(scope, receive, send, status, reason)

    def _user_of(self, scope: Scope) -> Any:
        if "user" not in scope:
            raise ValueError(
                f"{self._name} cannot find the user in the scope. AuthMiddlewareStack, or another "
                "middleware that puts the user there, must be above it."
            )
        return scope["user"]

    def as_asgi(self, **initkwargs: Any) -> Guard:
        """Return the guarded consumer with arguments: of a consumer class that was decorated."""
        # Never by `consumer_class`: guards and middleware in between would be lost.
        is_class = isinstance(self._guarded, (type, Guard))
        if not is_class or not hasattr(self, "consumer_class"):
            raise TypeError(
                f"{self._guarded!r:.80} is no consumer class; use the guard itself as application."
            )
        return Guard(self._guarded.as_asgi(**initkwargs), self._test, self._name)


async def _is_logged_in(user: Any) -> bool:
    return bool(getattr(user, "is_authenticated", False))


def login_required(application: Any) -> Guard:
    """Let users through who are logged in; answer 401 to others."""
    return Guard(application, _is_logged_in, "login_required")


def permission_required(permissions: str | Iterable[str]) -> Callable[[Any], Guard]:
    """Let users through who have the permission, or all of several; answer 401 or 403.

    A permission is named as in Django: "app.codename".
    """
    wanted = _permissions(permissions)

    async def test(user: Any) -> bool:
        # The backends ask the database.
        return await _is_logged_in(user) and await database_sync_to_async(user.has_perms)(wanted)

    return lambda application: Guard(application, test, "permission_required")


def _permissions(given: str | Iterable[str]) -> tuple[str, ...]:
    wanted = (given,) if isinstance(given, str) else tuple(given)
    if not wanted or not all(isinstance(name, str) for name in wanted):
        # None at all would let everybody pass.
        raise TypeError(
            'permission_required takes "app.codename", or several of them in a list, '
            f"but came {given!r:.80}."
        )
    return wanted


def user_passes_test(test: Callable[[Any], Any]) -> Callable[[Any], Guard]:
    """Let users through for whom `test(user)` is true; answer 401 or 403.

    `test` is a function, and may ask the database, or a coroutine function.
    """
    if not callable(test):
        raise TypeError(f"user_passes_test takes a function of the user, but came {test!r:.80}.")
    waits = iscoroutinefunction(test) or iscoroutinefunction(type(test).__call__)

    async def ask(user: Any) -> bool:
        answer = test(user) if waits else await database_sync_to_async(test)(user)
        return bool(await answer if isawaitable(answer) else answer)

    return lambda application: Guard(application, ask, "user_passes_test")
