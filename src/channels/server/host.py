"""What hosts the applications of one server: their tasks, connections, clocks and counters.

Supervision is by callbacks of the tasks themselves: there is no loop that looks
after them, so none that could die. What an application raised is handed to the
scope it belonged to, which knows what its client may still be told.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from ..types import ASGIApplication, ClientDisconnected, Receive, Scope, Send
from .asgi.ports import Ended
from .config import ServerConfig
from .timers import Deadline, Timers

logger = logging.getLogger("channels.server")

# protocol, action, details; see `channels.server.access`.
Action = Callable[[str, str, dict[str, Any]], None]


class OpenConnection(Protocol):
    """A connection of either kind, as a stopping server sees it."""

    def shut_down(self) -> None: ...
    def abort(self) -> None: ...


class RunningApplication:
    """One application at work: its task, and who is told of its end."""

    __slots__ = ("_cancelled", "_ended", "_host", "_task")

    def __init__(self, host: ApplicationHost, ended: Ended) -> None:
        self._host = host
        self._ended = ended
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._task = self._host.loop.create_task(coroutine)
        self._task.add_done_callback(self._done)

    @property
    def name(self) -> str:
        """The application and the innermost place it is waiting in."""
        outer = self._host.application
        name = getattr(outer, "__qualname__", None) or type(outer).__qualname__
        place = self._task and _innermost(self._task.get_coro())
        return f"{name} (in {place})" if place else str(name)

    def cancel(self) -> None:
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._host.applications.discard(self)
        error: BaseException | None
        if not task.cancelled():
            error = task.exception()
        elif self._cancelled:
            error = ClientDisconnected("cancelled by the server")
        else:
            error = asyncio.CancelledError("the application cancelled itself")
        ended, self._ended = self._ended, _nobody
        ended(error)
        self._host.check_empty()


class ApplicationHost:
    """All that the connections of one started server share."""

    def __init__(
        self,
        application: ASGIApplication,
        config: ServerConfig,
        loop: asyncio.AbstractEventLoop,
        on_action: Action | None,
    ) -> None:
        self.application = application
        self.config = config
        self.loop = loop
        self.timers = Timers(loop)
        self.state: dict[str, Any] = {}
        self.draining = False
        self.slow_clients = 0
        # Applications started, and after how many somebody wants to hear of it.
        self.started = 0
        self.enough = 0
        self.on_enough: Callable[[], None] = _nothing
        self.watched = on_action is not None
        self.connections: set[OpenConnection] = set()
        self.applications: set[RunningApplication] = set()
        self.on_forget: Callable[[], None] = _nothing
        self._on_action = on_action
        self._empty: asyncio.Future[None] | None = None

    def deadline(self, expire: Callable[[], None]) -> Deadline:
        return Deadline(self.timers, expire)

    def start_application(
        self, scope: Scope, receive: Receive, send: Send, ended: Ended
    ) -> RunningApplication:
        running = RunningApplication(self, ended)
        self.started += 1
        if self.started == self.enough:
            self.on_enough()
        self.applications.add(running)
        try:
            awaitable = self.application(scope, receive, send)
        except Exception as error:
            awaitable = _raise(error)
        if type(awaitable) is not types.CoroutineType:
            awaitable = _await(awaitable)
        running.run(awaitable)
        return running

    def action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        if self._on_action is None:
            return
        try:
            self._on_action(protocol, action, details)
        except Exception:
            # A full disk under the access log must not end the connection it tells of.
            logger.exception("The listener to actions failed on %r of %s.", action, protocol)

    def forget(self, connection: OpenConnection) -> None:
        """A connection is over."""
        self.connections.discard(connection)
        self.on_forget()
        self.check_empty()

    # -- stopping ------------------------------------------------------------

    async def drain(self) -> None:
        """Ask every connection to end, and return when all have and their applications too."""
        self.draining = True
        for connection in list(self.connections):
            connection.shut_down()
        if self.connections or self.applications:
            self._empty = self.loop.create_future()
            await self._empty
            self._empty = None

    def check_empty(self) -> None:
        if self._empty is None or self.connections or self.applications:
            return
        if not self._empty.done():
            self._empty.set_result(None)

    def cut(self) -> int:
        """End by force what is left; answers how many applications that were."""
        for connection in list(self.connections):
            connection.abort()
        left = len(self.applications)
        for application in list(self.applications):
            application.cancel()
        return left


def _nobody(error: BaseException | None) -> None:
    """Take the place of a scope that has been told."""


def _nothing() -> None:
    pass


async def _await(awaitable: Awaitable[None]) -> None:
    # ASGI asks for a coroutine; applications give futures and partials too.
    await awaitable


async def _raise(error: Exception) -> None:
    raise error


def _innermost(coroutine: Any) -> str:
    while isinstance(getattr(coroutine, "cr_await", None), types.CoroutineType):
        coroutine = coroutine.cr_await
    return getattr(coroutine, "__qualname__", "")
