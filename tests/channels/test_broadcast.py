"""@broadcast: the same result on the fast lane and off it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from channels.broadcast import broadcast, renderer_of
from channels.consumer import AsyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.mailbox import DirectReceive, Mailbox, SharedMessage
from channels.testing import WebsocketCommunicator
from channels.types import Message


@pytest.fixture(autouse=True)
def layer() -> InMemoryChannelLayer:
    made = InMemoryChannelLayer()
    channel_layers.set("default", made)
    return made


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


class Room(AsyncWebsocketConsumer):
    groups = ["room"]
    rendered = 0

    @broadcast
    def room_message(cls, event: Message) -> Any:
        cls.rendered += 1
        return event["content"]


class SyncRoom(WebsocketConsumer):
    groups = ["room"]

    @broadcast
    def room_message(cls, event: Message) -> Any:
        return event["content"]


class NotingMailbox(Mailbox):
    """Says when its reader waits: then no handler is running."""

    __slots__ = ("reader_waits",)

    def arrival(self) -> asyncio.Future[None]:
        self.reader_waits.set()
        return super().arrival()


class Server:
    """The server's side of a socket, recording what is written to it."""

    kind = "websocket"

    def __init__(self) -> None:
        self.writable = False
        self.log: list[Any] = []
        self.mailbox = NotingMailbox(asyncio.get_running_loop())
        self.mailbox.reader_waits = asyncio.Event()
        self.accepted = asyncio.Event()
        self.receive = DirectReceive(self.mailbox, self.send, self)

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.writable = True
            self.accepted.set()
        self.log.append(message.get("text", message["type"]))

    def encode(self, text: str | None, data: bytes | None) -> bytes:
        return b"frame:" + (text or "").encode() + (data or b"")

    def write_frame(self, frame: bytes) -> None:
        self.log.append(frame)


async def serve(consumer: Any) -> tuple[Server, asyncio.Task[None]]:
    server = Server()
    # The very object: a bound method is a new one at each access.
    send = server.receive.send
    task = asyncio.ensure_future(
        consumer.as_asgi()({"type": "websocket", "path": "/"}, server.receive, send)
    )
    server.mailbox.put_client({"type": "websocket.connect"}, 0)
    await server.accepted.wait()
    # A sync handler goes on for a moment after accept(), in its thread.
    server.mailbox.reader_waits.clear()
    if server.mailbox.waiter is None:
        await server.mailbox.reader_waits.wait()
    return server, task


async def finish(server: Server, task: asyncio.Task[None]) -> None:
    server.mailbox.put_disconnect({"type": "websocket.disconnect", "code": 1000})
    await task


@pytest.mark.parametrize(
    ("content", "frame"),
    [("text", b"frame:text"), (b"data", b"frame:data"), ({"a": 1}, b'frame:{"a": 1}')],
)
@pytest.mark.parametrize("consumer", [Room, SyncRoom])
def test_members_on_the_fast_lane_get_one_shared_frame(
    layer: InMemoryChannelLayer, consumer: Any, content: Any, frame: bytes
) -> None:
    async def test() -> None:
        members = [await serve(consumer) for _ in range(3)]
        await layer.group_send("room", {"type": "room.message", "content": content})
        for server, task in members:
            await finish(server, task)
            assert server.log == ["websocket.accept", frame]
        frames = [server.log[1] for server, _ in members]
        assert all(shared is frames[0] for shared in frames)

    run(test)


def test_it_is_rendered_once_for_all(layer: InMemoryChannelLayer) -> None:
    class Counted(Room):
        rendered = 0

    async def test() -> None:
        members = [await serve(Counted) for _ in range(5)]
        await layer.group_send("room", {"type": "room.message", "content": "x"})
        for server, task in members:
            await finish(server, task)

    run(test)
    assert Counted.rendered == 1


def test_none_sends_nothing(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        server, task = await serve(Room)
        await layer.group_send("room", {"type": "room.message", "content": None})
        await finish(server, task)
        assert server.log == ["websocket.accept"]

    run(test)


@pytest.mark.parametrize("consumer", [Room, SyncRoom])
@pytest.mark.parametrize("content", ["text", b"data", {"a": 1}])
def test_off_the_fast_lane_the_handler_runs_the_ordinary_way(
    layer: InMemoryChannelLayer, consumer: Any, content: Any
) -> None:
    async def test() -> Any:
        client = WebsocketCommunicator(consumer, "/")
        await client.connect()
        await layer.group_send("room", {"type": "room.message", "content": content})
        await layer.group_send("room", {"type": "room.message", "content": None})
        event = await client.receive_output()
        assert await client.receive_nothing()
        await client.disconnect()
        return event

    key = "bytes" if isinstance(content, bytes) else "text"
    expected = '{"a": 1}' if isinstance(content, dict) else content
    assert run(test) == {"type": "websocket.send", key: expected}


def test_a_shared_frame_waits_for_the_handler_that_is_running(
    layer: InMemoryChannelLayer,
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Room):
        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            started.set()
            await go_on.wait()
            await self.send(text_data="handler done")

    async def test() -> list[Any]:
        server, task = await serve(Slow)
        server.mailbox.put_client({"type": "websocket.receive", "text": "go"}, 2)
        await started.wait()
        await layer.group_send("room", {"type": "room.message", "content": "shared"})
        go_on.set()
        await finish(server, task)
        return server.log

    log = run(test)
    assert [str(entry) for entry in log] == ["websocket.accept", "handler done", "shared"]


def test_a_class_that_sends_in_its_own_way_is_not_on_the_fast_lane(
    layer: InMemoryChannelLayer,
) -> None:
    class Loud(Room):
        async def send(self, text_data: Any = None, bytes_data: Any = None, close: Any = False):
            await super().send(text_data=text_data.upper(), close=close)

    assert renderer_of(Room) is not None
    assert renderer_of(Loud) is None

    async def test() -> list[Any]:
        server, task = await serve(Loud)
        await layer.group_send("room", {"type": "room.message", "content": "hello"})
        await finish(server, task)
        return server.log

    assert run(test) == ["websocket.accept", "HELLO"]


def test_a_subclass_that_replaces_the_handler_is_heard() -> None:
    class Replaced(Room):
        async def room_message(self, event: Message) -> None:  # type: ignore[override]
            await self.send(text_data="mine")

    assert renderer_of(Replaced) is None


def test_a_renderer_that_raises_is_logged_and_no_member_dies(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(AsyncWebsocketConsumer):
        groups = ["room"]

        @broadcast
        def room_message(cls, event: Message) -> Any:
            raise RuntimeError("on purpose")

    async def test() -> None:
        members = [await serve(Broken) for _ in range(3)]
        await layer.group_send("room", {"type": "room.message"})
        for server, task in members:
            await finish(server, task)
            assert server.log == ["websocket.accept"]

    run(test)
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_a_classmethod_is_refused_since_the_class_comes_by_itself() -> None:
    def event(cls: Any, event: Any) -> str:
        return "x"

    with pytest.raises(TypeError, match="remove @classmethod"):
        broadcast(classmethod(event))  # type: ignore[arg-type]


def test_wrong_functions_are_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="write it with `def`"):

        class Waits(AsyncWebsocketConsumer):
            @broadcast
            async def room_message(cls, event: Message) -> Any:
                return "x"

    with pytest.raises(TypeError, match=r"expected the parameters \(cls, event\), got \(self"):

        class HasSelf(AsyncWebsocketConsumer):
            @broadcast
            def room_message(self, event: Message) -> Any:
                return "x"


def test_on_a_consumer_of_another_kind_it_is_an_error_that_says_what_to_do() -> None:
    class Plain(AsyncConsumer):
        @broadcast
        def room_message(cls, event: Message) -> Any:
            return "x"

    assert renderer_of(Plain) is None
    with pytest.raises(TypeError, match=r"Plain should derive from a class of channels\.generic"):
        Plain().room_message  # noqa: B018


def test_nothing_goes_past_a_consumer_that_is_ending(layer: InMemoryChannelLayer) -> None:
    ending, go_on = asyncio.Event(), asyncio.Event()

    class Ending(Room):
        async def disconnect(self, code: int) -> None:
            ending.set()
            await go_on.wait()

    async def test() -> list[Any]:
        server, task = await serve(Ending)
        task.cancel()
        await ending.wait()
        server.mailbox.put_shared(SharedMessage("late", None), float("inf"), 10)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.mailbox.put_shared(SharedMessage("later", None), float("inf"), 10)
        return server.log

    assert run(test) == ["websocket.accept"]
