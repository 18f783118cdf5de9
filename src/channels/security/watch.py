"""The sockets that must close when a session ends or a password changes.

Each event loop has a registry of its open sockets, by session and by user. It is
filled and emptied by whatever puts the user into the scope, in plain dicts: no
connection waits for the layer's engine, joins a group or has its `receive` and
`send` wrapped. While somebody is registered, tasks hear what is announced and look
again at sessions; they end with the last one.

A socket is closed with 4401; its consumer hears of that from the server, as ever.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import AbstractEventLoop, Task
from collections.abc import Coroutine, Iterable
from contextvars import Context, copy_context
from dataclasses import replace
from types import TracebackType
from typing import Any, Final

from .. import DEFAULT_CHANNEL_LAYER
from ..layers import channel_layers
from ..threads import CallerLane, current_lane
from ..types import Scope, Send
from .announcements import closes_on_logout, has_just_ended, remember_ended
from .hearing import Hearing
from .identity import Identity, digest, identity_of, session_key_naming
from .revalidation import Revalidation, revalidate_seconds

__all__ = ["CLOSE_CODE", "identify", "registered", "watching", "withdraw"]

logger = logging.getLogger("channels.security")

# Of the range that RFC 6455 7.4.2 leaves to applications; after HTTP's 401.
CLOSE_CODE: Final = 4401
# What a client that does not read may hold up the closing of its own socket.
CLOSE_SECONDS: Final = 5.0
# What the last connection waits for the end of the tasks.
LEAVE_SECONDS: Final = 2.0
# Sockets closed before others get their turn.
PER_TURN: Final = 100


class Watched:
    """One open socket: how to close it, and whom it belongs to."""

    __slots__ = ("closing", "context", "identity", "path", "send", "session", "slot")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.path = scope.get("path", "")
        self.send = send
        # The object, by which login() and logout() find this.
        self.session = scope.get("session")
        # In a test the database is to be seen from the test's own thread.
        in_test = isinstance(current_lane(), CallerLane)
        self.context: Context | None = copy_context() if in_test else None
        self.identity: Identity | None = None
        self.closing: Task[None] | None = None
        self.slot: int | None = None

    def whom(self) -> Identity | None:
        """Return whom it belongs to; a session that was new gets its key when it is saved."""
        identity = self.identity
        if identity is None or identity.session_key is not None:
            return identity
        return replace(identity, session_key=session_key_naming(identity.user, self.session))


class _Index:
    """Sockets by a key."""

    def __init__(self) -> None:
        self._found: dict[Any, dict[Watched, None]] = {}

    def add(self, key: Any, one: Watched) -> None:
        self._found.setdefault(key, {})[one] = None

    def discard(self, key: Any, one: Watched) -> None:
        found = self._found.get(key)
        if found is not None:
            found.pop(one, None)
            if not found:
                del self._found[key]

    def __getitem__(self, key: Any) -> list[Watched]:
        return list(self._found.get(key, ()))


class Registry:
    """The sockets of one event loop, used on that loop alone."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._by_object = _Index()
        self._by_session = _Index()
        self._by_user = _Index()
        # Those whose session may not have a key yet.
        self._by_no_key = _Index()
        self.sockets: dict[Watched, None] = {}
        # Those of them that belong to somebody.
        self.identified: dict[Watched, None] = {}
        self._tasks: list[Task[None]] = []
        self._catching_up: Task[None] | None = None
        self._revalidation = Revalidation(self.close, None)

    # -- who is there --------------------------------------------------------

    def add(self, one: Watched) -> None:
        self.sockets[one] = None
        if one.session is not None:
            self._by_object.add(id(one.session), one)

    def with_session(self, session: Any) -> list[Watched]:
        return [] if session is None else self._by_object[id(session)]

    def identify(self, one: Watched, identity: Identity | None) -> None:
        """Register `one` as somebody's, or as nobody's with None."""
        if one.identity is not None:
            self._forget_identity(one, one.identity)
        one.identity = identity
        if identity is None:
            return
        if not self._tasks:
            self._start()
        self.identified[one] = None
        self._by_user.add(identity.user, one)
        self._revalidation.add(one)
        if identity.session_key is None:
            self._by_no_key.add(one.session is not None, one)
        else:
            session = digest(identity.session_key)
            self._by_session.add(session, one)
            if closes_on_logout() and has_just_ended(session):
                self.close(one)

    def _forget_identity(self, one: Watched, identity: Identity) -> None:
        self.identified.pop(one, None)
        self._by_user.discard(identity.user, one)
        self._revalidation.remove(one)
        if identity.session_key is None:
            self._by_no_key.discard(one.session is not None, one)
        else:
            self._by_session.discard(digest(identity.session_key), one)

    async def leave(self, one: Watched) -> None:
        """Forget a socket whose application has ended, and what nobody needs any more."""
        self.identify(one, None)
        self.sockets.pop(one, None)
        self._by_object.discard(id(one.session), one)
        if not self.sockets:
            _forget(self._loop, self)
        try:
            await _end([one.closing] if one.closing is not None else [])
        finally:
            # Also where we are cancelled meanwhile: nobody else would end them.
            if not self.identified:
                await self.rest()

    # -- the tasks -----------------------------------------------------------

    def _start(self) -> None:
        seconds = revalidate_seconds()
        self._revalidation = Revalidation(self.close, seconds)
        if seconds is not None:
            self._tasks.append(self._begin(self._revalidation.run()))
        if closes_on_logout() and DEFAULT_CHANNEL_LAYER in channel_layers:
            self._tasks.append(self._begin(Hearing(self).run()))

    def _begin(self, work: Coroutine[Any, Any, None]) -> Task[None]:
        # With a context of its own: that of whoever came first ends with its connection.
        return self._loop.create_task(work, context=Context())

    async def rest(self) -> None:
        """End the tasks; who comes from now on starts others."""
        tasks, self._tasks = self._tasks, []
        if self._catching_up is not None:
            tasks.append(self._catching_up)
            self._catching_up = None
        await _end(tasks)

    # -- Listeners -----------------------------------------------------------

    async def logged_out(self, session: str) -> None:
        """Close the sockets of a session, named by the digest of its key."""
        remember_ended(session)
        for one in self._by_no_key[True]:
            identity = one.whom()
            if identity is not None and identity.session_key is not None:
                self.identify(one, identity)
        await self._close_all(self._by_session[session])

    async def password_changed(self, user: str, password: str) -> None:
        """Close the sockets of a user that were opened with another password."""
        await self._close_all(
            one
            for one in self._by_user[user]
            if one.identity is not None and one.identity.password != password
        )

    def may_have_missed(self) -> None:
        """Look at everybody once, from the start if that is under way."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._catching_up = self._begin(self._revalidation.look_at(self.identified))

    # -- closing -------------------------------------------------------------

    async def _close_all(self, those: Iterable[Watched]) -> None:
        for number, one in enumerate(those, 1):
            self.close(one)
            if number % PER_TURN == 0:
                await asyncio.sleep(0)

    def close(self, one: Watched) -> None:
        """Close a socket, in a task of its own: a slow client holds up nobody else."""
        if one.closing is None:
            one.closing = self._loop.create_task(_close(one), context=Context())


async def _close(one: Watched) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await one.send({"type": "websocket.close", "code": CLOSE_CODE})
    except TimeoutError:
        logger.warning("WebSocket %r does not take its close %d", one.path, CLOSE_CODE)
    except OSError:
        # The client was faster.
        return
    except Exception:
        logger.exception("WebSocket %r could not be closed with %d", one.path, CLOSE_CODE)


async def _end(tasks: list[Task[None]]) -> None:
    unfinished = [task for task in tasks if not task.done()]
    for task in unfinished:
        task.cancel()
    if unfinished:
        await asyncio.wait(unfinished, timeout=LEAVE_SECONDS)


# -- the registries of this process ------------------------------------------------

_registries: dict[AbstractEventLoop, Registry] = {}
_lock = threading.Lock()


def _registry() -> Registry:
    loop = asyncio.get_running_loop()
    with _lock:
        registry = _registries.get(loop)
        if registry is None:
            # Loops that were closed under their connections, as by a test that failed.
            for closed in [other for other in _registries if other.is_closed()]:
                del _registries[closed]
            registry = _registries[loop] = Registry(loop)
        return registry


def _forget(loop: AbstractEventLoop, registry: Registry) -> None:
    with _lock:
        if _registries.get(loop) is registry:
            del _registries[loop]


def registered() -> list[Watched]:
    """Return the sockets of this event loop that belong to somebody."""
    registry = _registries.get(asyncio.get_running_loop())
    return list(registry.identified) if registry is not None else []


def _anybody_cares() -> bool:
    # Asked in any case: a wrong value is told before anything has begun.
    looks_again = revalidate_seconds() is not None
    return looks_again or (closes_on_logout() and DEFAULT_CHANNEL_LAYER in channel_layers)


class watching:
    """Watch the socket of a scope while its application runs: `async with watching(...)`.

    `scope["user"]` is known by then. What is no WebSocket passes; so does what is being
    watched already as the same user's.
    """

    __slots__ = ("_one", "_registry")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._one: Watched | None = None
        if scope.get("type") != "websocket" or not _anybody_cares():
            return
        identity = identity_of(scope)
        if identity is None and scope.get("session") is None:
            # Nobody, and nobody could log in.
            return
        self._registry = registry = _registry()
        present = registry.with_session(scope.get("session"))
        if present:
            # Middleware further out watches it. Further in it may have become another's,
            # by a token: then the end of the session's own user is none of its.
            for one in present:
                if one.identity != identity:
                    registry.identify(one, identity)
            return
        self._one = one = Watched(scope, send)
        registry.add(one)
        registry.identify(one, identity)

    async def __aenter__(self) -> None:
        """Nothing to wait for."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._one is not None:
            await self._registry.leave(self._one)


# -- a socket that changes hands ---------------------------------------------------


def _those_with(session: Any) -> tuple[Registry | None, list[Watched]]:
    registry = _registries.get(asyncio.get_running_loop())
    return registry, [] if registry is None else registry.with_session(session)


def identify(scope: Scope) -> None:
    """Take the scope's socket for that of its user from now on."""
    registry, those = _those_with(scope.get("session"))
    for one in those:
        assert registry is not None
        registry.identify(one, identity_of(scope))


def withdraw(scope: Scope) -> None:
    """Take the scope's socket for nobody's: what its user's session comes to is none of its."""
    registry, those = _those_with(scope.get("session"))
    for one in those:
        assert registry is not None
        registry.identify(one, None)
