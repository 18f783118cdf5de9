"""The base of middleware."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from calls import CONNECT, DISCONNECT, Recorder, call, websocket_scope

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.middleware import BaseMiddleware
from channels.threads import current_lane


def test_inner_gets_a_copy_of_the_scope() -> None:
    app = Recorder()
    scope = websocket_scope()
    call(BaseMiddleware(app), scope)
    assert app.scope == scope
    assert app.scope is not scope


def test_a_subclass_adds_to_the_scope_without_touching_the_servers() -> None:
    class Tagging(BaseMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            return await super().__call__({**scope, "tag": "t"}, receive, send)

    app = Recorder()
    scope = websocket_scope()
    call(Tagging(app), scope)
    assert app.scope["tag"] == "t"
    assert "tag" not in scope


def test_a_consumer_class_can_be_wrapped() -> None:
    class Greeter(AsyncConsumer):
        async def websocket_connect(self, message: Any) -> None:
            await self.send({"type": "websocket.accept"})

    sent = call(BaseMiddleware(Greeter), websocket_scope(), [CONNECT, DISCONNECT])
    assert sent == [{"type": "websocket.accept"}]


def test_blocking_calls_behind_middleware_run_in_one_lane_of_their_scope() -> None:
    lanes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        lanes.append(current_lane())
        threads = {await database_sync_to_async(threading.get_ident)() for _ in range(3)}
        assert len(threads) == 1

    async def two_scopes() -> None:
        stack = BaseMiddleware(BaseMiddleware(app))
        await asyncio.gather(*(stack(websocket_scope(), None, None) for _ in range(2)))  # type: ignore[arg-type]

    asyncio.run(two_scopes())
    assert lanes[0] is not lanes[1]
    assert None not in lanes
