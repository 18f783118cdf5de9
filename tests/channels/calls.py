"""Calling ASGI applications directly, with fakes that record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

TIMEOUT = 5.0
CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1005}


def websocket_scope(path: str = "/", **more: Any) -> dict[str, Any]:
    return {"type": "websocket", "path": path, "headers": [], "subprotocols": [], **more}


def http_scope(path: str = "/", **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        **more,
    }


class Recorder:
    """An application that records the scopes it gets and then sends what it was told."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.scopes: list[Any] = []
        self.messages = messages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        for message in self.messages:
            await send(dict(message))

    @property
    def scope(self) -> Any:
        assert len(self.scopes) == 1, f"{len(self.scopes)} scopes instead of one"
        return self.scopes[0]


async def acall(
    application: Any, scope: dict[str, Any], events: Iterable[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Run one scope to its end and return what was sent; past `events` receive() waits."""
    waiting = list(events)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.get_running_loop().create_future()
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with asyncio.timeout(TIMEOUT):
        await application(scope, receive, send)
    return sent


def call(
    application: Any, scope: dict[str, Any], events: Iterable[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    return asyncio.run(acall(application, scope, events))


def routed(router: Any, path: str, **more: Any) -> list[dict[str, Any]]:
    """What a router sends to a WebSocket that comes to `path`, and leaves."""
    return call(router, websocket_scope(path, **more), [CONNECT, DISCONNECT])
