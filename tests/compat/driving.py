"""Drives an ASGI application for the rows: events in, what it sends and how it ends out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tests.compat.behaviours import failure

# An application that has sent nothing for so long, with nothing to hear, goes on waiting.
IDLE_SECONDS: Final = 0.3
LOST_SECONDS: Final = 5.0

CONNECT: Final = {"type": "websocket.connect"}
DISCONNECT: Final = {"type": "websocket.disconnect", "code": 1001}


def text(content: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": content}


def websocket_scope(**more: Any) -> dict[str, Any]:
    return {"type": "websocket", "path": "/", "headers": [], "subprotocols": [], **more}


class Client:
    """One client of an application: `say` events, `sent` is what came, `ended` how it ended."""

    def __init__(self, application: Any, scope: dict[str, Any] | None = None) -> None:
        self.application = application
        self.scope = websocket_scope() if scope is None else scope
        self.sent: list[Any] = []
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._news = asyncio.Event()
        self.task: asyncio.Task[Any]

    async def __aenter__(self) -> Client:
        self.task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self) -> Any:
        try:
            return await self.application(self.scope, self._events.get, self._send)
        finally:
            self._news.set()

    async def _send(self, event: Any) -> None:
        self.sent.append(event)
        self._news.set()

    def say(self, *events: Any) -> None:
        for event in events:
            self._events.put_nowait(event)

    async def wait_for(self, condition: Callable[[], Any]) -> None:
        """Return when `condition` holds; what changes it is a `send`, or the end."""
        async with asyncio.timeout(LOST_SECONDS):
            while not condition() and not self.task.done():
                self._news.clear()
                await self._news.wait()

    async def ending(self, seconds: float = LOST_SECONDS) -> Any:
        """How the application ended: "returned", or as `failure` has it, or "goes on"."""
        await asyncio.wait([self.task], timeout=seconds)
        if not self.task.done():
            return "goes on"
        error = self.task.exception()
        return "returned" if error is None else failure(error)  # type: ignore[arg-type]


async def drive(
    application: Any, *events: Any, scope: dict[str, Any] | None = None, ends: bool = True
) -> dict[str, Any]:
    """What an application sends for these events, and how it ends.

    `ends=False`: it is expected to go on waiting, and given only a moment to show otherwise.
    """
    async with Client(application, scope) as client:
        client.say(*events)
        ended = await client.ending(LOST_SECONDS if ends else IDLE_SECONDS)
        return {"sent": list(client.sent), "ended": ended}
