"""Consumers: handlers by name, and one mailbox for client and layer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recording_consumer import SCOPE, Recorder, opened, run
from tests.waiting import turns_until

from channels.consumer import AsyncConsumer, get_handler_name
from channels.exceptions import UnknownMessageType
from channels.handlers import types_open_to_layers
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.testing import ApplicationCommunicator
from channels.types import Message

pytestmark = pytest.mark.usefixtures("layer")


def test_a_handler_is_named_after_the_type() -> None:
    assert get_handler_name({"type": "websocket.receive"}) == "websocket_receive"
    with pytest.raises(ValueError, match="Incoming message has no 'type' attribute"):
        get_handler_name({"text": "hello"})
    for type_ in ("_private", ".private"):
        with pytest.raises(ValueError, match="Malformed type in message"):
            get_handler_name({"type": type_})


def test_client_events_and_layer_messages_meet_in_one_order(layer: InMemoryChannelLayer) -> None:
    async def test() -> list[str]:
        client, channel = await opened(Recorder.as_asgi())
        for number in range(3):
            await client.send_input({"type": "websocket.receive", "text": str(number)})
            assert (await client.receive_output())["text"] == str(number)
            await layer.send(channel, {"type": "room.message", "text": str(number)})
            assert (await client.receive_output())["text"] == f"room: {number}"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        told = await client.receive_output()
        await client.wait()
        return told["code"]

    assert run(test) == 1000


def test_tasks_that_a_handler_made_get_a_turn_before_the_next_event() -> None:
    class Eager(AsyncConsumer):
        async def websocket_receive(self, message: Message) -> None:
            if message["text"] == "first":
                self.task = asyncio.create_task(self.send({"type": "task"}))
            else:
                await self.send({"type": message["text"]})

    async def test() -> list[str]:
        client = ApplicationCommunicator(Eager, dict(SCOPE))
        for text in ("first", "second"):
            await client.send_input({"type": "websocket.receive", "text": text})
        sent = [(await client.receive_output())["type"] for _ in range(2)]
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.wait()
        return sent

    assert run(test) == ["task", "second"]


@pytest.mark.parametrize("attribute", ["channel_layer", "channel_name"])
def test_what_a_handler_puts_in_place_of_layer_or_name_leaves_nothing_behind(
    layer: InMemoryChannelLayer, attribute: str
) -> None:
    class Swapping(Recorder):
        async def websocket_receive(self, message: Message) -> None:
            await self.channel_layer.group_add("all", self.channel_name)
            other = InMemoryChannelLayer() if attribute == "channel_layer" else "other"
            setattr(self, attribute, other)
            await self.send({"type": "swapped"})

    async def test() -> None:
        client, _ = await opened(Swapping)
        await client.send_input({"type": "websocket.receive"})
        await client.receive_output()
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()
        assert layer.channels == layer.groups == {}

    run(test)


def test_a_long_or_multiline_type_of_a_layer_is_neither_remembered_nor_a_line_of_its_own(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    types = ["x\nERROR forged", "y" * 500_000, "websocket.send", "send.json", "nobody.knows"]

    async def test() -> None:
        client, channel = await opened(Recorder)
        for type_ in types:
            await layer.send(channel, {"type": type_})
        await layer.send(channel, {"type": "room.message", "text": "last"})
        assert (await client.receive_output())["text"] == "room: last"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(types)
    assert all(len(line.splitlines()) == 1 and len(line) < 500 for line in lines)
    assert types_open_to_layers(Recorder) == {"room.message"}


def test_an_event_of_the_client_without_a_handler_is_an_error() -> None:
    async def test() -> None:
        client, _ = await opened(Recorder.as_asgi())
        await client.send_input({"type": "websocket.unheard"})
        assert (await client.receive_output())["type"] == "told"
        with pytest.raises(
            UnknownMessageType, match=r"No handler for message type websocket\.unheard"
        ):
            await client.wait()

    run(test)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "room.unheard"},
        {"text": "no type"},
        {"type": 3},
        {"type": ["a", "list"]},
        # Names that are no handlers, or are not a layer's to call.
        {"type": "scope"},
        {"type": "channel.name"},
        {"type": "channel_layer"},
        {"type": "dispatch"},
        {"type": "send"},
        {"type": "base.send"},
        {"type": "channel.receive"},
        {"type": "as.asgi"},
        {"type": "_leave"},
        {"type": ".leave"},
        {"type": "websocket.receive", "text": "not from the client"},
        {"type": "websocket.disconnect", "code": 1000},
    ],
    ids=repr,
)
def test_a_layer_message_without_a_handler_is_logged_and_ignored(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, message: dict[str, Any]
) -> None:
    async def test() -> None:
        client, channel = await opened(Recorder.as_asgi())
        await layer.send(channel, message)
        await layer.send(channel, {"type": "room.message", "text": "after"})
        assert (await client.receive_output())["text"] == "room: after"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
    ignored = [record for record in caplog.records if "ignored a layer message" in record.message]
    assert len(ignored) == 1
    assert "Recorder at '/chat/'" in ignored[0].message


def test_a_consumer_serves_without_lifespan() -> None:
    async def test() -> None:
        async def receive() -> Message:
            raise AssertionError("nothing is to be read")

        async def send(message: Message) -> None:
            raise AssertionError("nothing is to be said")

        with pytest.raises(UnknownMessageType, match="no handler for lifespan events"):
            await Recorder.as_asgi()({"type": "lifespan"}, receive, send)

    run(test)


# -- foreign parts -----------------------------------------------------------------


class ForeignLayer:
    """What a third-party layer offers: `receive(channel)` and nothing of ours."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.taken = 0

    async def new_channel(self) -> str:
        return "foreign!1"

    async def receive(self, channel: str) -> Message:
        message = await self.queue.get()
        self.taken += 1
        if isinstance(message, Exception):
            raise message
        return message


def test_a_layer_of_somebody_else_is_pumped_and_its_failures_leave_the_socket_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        foreign = ForeignLayer()
        channel_layers.set("default", foreign)
        client, channel = await opened(Recorder.as_asgi())
        assert channel == "foreign!1"
        for number in range(3):
            foreign.queue.put_nowait({"type": "room.message", "text": str(number)})
        texts = [(await client.receive_output())["text"] for _ in range(3)]
        assert texts == ["room: 0", "room: 1", "room: 2"]
        foreign.queue.put_nowait(ConnectionError("engine away"))
        foreign.queue.put_nowait({"type": "room.message", "text": "back"})
        assert (await client.receive_output())["text"] == "room: back"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
    assert [r.message for r in caplog.records if "layer failed" in r.message]


def test_a_layer_of_somebody_else_keeps_what_the_consumer_has_no_time_for() -> None:
    async def test() -> None:
        foreign = ForeignLayer()
        channel_layers.set("default", foreign)
        busy, done = asyncio.Event(), asyncio.Event()

        class Busy(Recorder):
            async def room_message(self, message: Message) -> None:
                busy.set()
                await done.wait()

        client, _ = await opened(Busy.as_asgi())
        for number in range(10):
            foreign.queue.put_nowait({"type": "room.message", "text": str(number)})
        await busy.wait()
        # The one that is handled, and one ahead.
        await turns_until(lambda: foreign.taken == 2)
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await turns_until(client.input_queue.empty)
        assert foreign.taken == 2
        done.set()
        await client.receive_output()
        await client.wait()

    run(test)
