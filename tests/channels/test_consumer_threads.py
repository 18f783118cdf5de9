"""Synchronous consumers, and the lane that each consumer has."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future
from typing import Any

import pytest
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import AsyncToSync, async_to_sync, sync_to_async
from recording_consumer import SCOPE, opened, run

from channels import pools
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.exceptions import StopConsumer
from channels.layers import InMemoryChannelLayer
from channels.testing import ApplicationCommunicator
from channels.threads import current_lane, lane
from channels.types import Message

pytestmark = pytest.mark.usefixtures("layer")


class SyncRecorder(SyncConsumer):
    def websocket_connect(self, message: Message) -> None:
        self.send({"type": "websocket.accept", "channel": self.channel_name})

    def websocket_receive(self, message: Message) -> None:
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.send({"type": "thread", "text": threading.current_thread().name})

    def room_message(self, message: Message) -> None:
        self.send({"type": "websocket.send", "text": f"room: {message['text']}"})

    def websocket_disconnect(self, message: Message) -> None:
        self.send({"type": "told", "code": message["code"]})
        raise StopConsumer


def test_a_sync_consumer_may_block_call_the_layer_and_stop(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        client, _ = await opened(SyncRecorder.as_asgi())
        await client.send_input({"type": "websocket.receive", "text": "join"})
        assert (await client.receive_output())["text"] != threading.main_thread().name
        await layer.group_send("room", {"type": "room.message", "text": "hello"})
        assert (await client.receive_output())["text"] == "room: hello"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        assert (await client.receive_output())["code"] == 1000
        await client.wait()
        assert layer.groups == {}

    run(test)


def test_a_task_of_a_consumer_holds_no_thread_between_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_pools", {})
    monkeypatch.setenv("CHANNELS_THREADS", "1")

    class Ticking(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            self.task = asyncio.ensure_future(self.tick())

        async def tick(self) -> None:
            await asyncio.sleep(0)
            await sync_to_async(threading.current_thread)()
            await self.send({"type": "ticked"})

        async def websocket_disconnect(self, message: Message) -> None:
            await self.task

    async def test() -> None:
        # The second would wait for the only thread for ever.
        for _ in range(2):
            events: asyncio.Queue[Message] = asyncio.Queue()
            said: asyncio.Queue[Message] = asyncio.Queue()
            events.put_nowait({"type": "websocket.connect"})
            tasks.append(
                asyncio.ensure_future(Ticking.as_asgi()(dict(SCOPE), events.get, said.put))
            )
            queues.append(events)
            assert await said.get() == {"type": "ticked"}
        for events in queues:
            events.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.gather(*tasks)

    tasks: list[asyncio.Future[None]] = []
    queues: list[asyncio.Queue[Message]] = []
    run(test)


def test_context_variables_last_for_the_connection_and_stay_in_it() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    class Remembers(SyncConsumer):
        def websocket_connect(self, message: Message) -> None:
            variable.set(self.scope["name"])

        def websocket_receive(self, message: Message) -> None:
            self.send({"type": "value", "text": variable.get()})

    async def test() -> list[str]:
        values = []
        clients = [
            ApplicationCommunicator(Remembers.as_asgi(), {**SCOPE, "name": name})
            for name in ("ada", "grace")
        ]
        for client in clients:
            await client.send_input({"type": "websocket.connect"})
        for client in clients:
            await client.send_input({"type": "websocket.receive"})
            values.append((await client.receive_output())["text"])
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()
        return [*values, variable.get()]

    assert run(test) == ["ada", "grace", "unset"]


def test_consumers_that_share_a_scope_have_lanes_of_their_own() -> None:
    """As behind a multiplexer: the end of one's event must not end another's."""
    lanes: list[Any] = []

    class Stream(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            lanes.append(await sync_to_async(current_lane)())
            both.set() if len(lanes) == 2 else None
            await both.wait()
            assert lanes[0].open
            assert lanes[1].open
            raise StopConsumer

    async def both_at_once(scope: Any, receive: Any, send: Any) -> None:
        async def connect() -> Message:
            return {"type": "websocket.connect"}

        async with lane(), asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(Stream()(dict(scope), connect, send))

    async def test() -> None:
        await both_at_once(dict(SCOPE), None, None)

    both = asyncio.Event()
    run(test)
    assert lanes[0] is not lanes[1]


def test_disconnect_runs_in_the_lane_whatever_executor_a_cancelled_call_left_behind() -> None:
    """asgiref can leave that of a thread which has ended."""
    told = []

    class Cancelled(SyncConsumer):
        def websocket_disconnect(self, message: Message) -> None:
            told.append(message["code"])

    class Leaving(Cancelled):
        async def _enter(self, *arguments: Any) -> None:
            await super()._enter(*arguments)
            ended = CurrentThreadExecutor(None)
            ended.run_until_future(done())
            AsyncToSync.executors.current = ended
            entered.set()

    def done() -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future

    async def test() -> None:
        client = ApplicationCommunicator(Leaving, dict(SCOPE))
        running = client.future
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    entered = asyncio.Event()
    run(test)
    assert told == [1006]
