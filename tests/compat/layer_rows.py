"""Rows over a layer: what a project does with whatever stands in CHANNEL_LAYERS.

A row gets `make(**config)`, which makes a layer, and answers what it saw; `expected`
is what our own layers answer. What others do otherwise stands in
`test_layer_behaviours`.
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from tests.compat.behaviours import async_outcome

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from channels.worker import Worker

HELLO = {"type": "hello"}
# Within this, what is sent arrives; within the other, what is not sent would have.
SOON = 5.0
A_WHILE = 0.15


class LayerRow(NamedTuple):
    observe: Callable[[Callable[..., Any]], Awaitable[Any]]
    expected: Any


ROWS: dict[str, LayerRow] = {}


def row(expected: Any) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        assert function.__name__ not in ROWS
        ROWS[function.__name__] = LayerRow(function, expected)
        return function

    return add


async def got(layer: Any, channel: str, seconds: float = SOON) -> Any:
    """The next message of a channel; "nothing" if none comes."""
    try:
        return await asyncio.wait_for(layer.receive(channel), seconds)
    except TimeoutError:
        return "nothing"


async def rest_of(layer: Any, channel: str) -> list[Any]:
    """Everything that waits in a channel."""
    messages = []
    while (message := await got(layer, channel, A_WHILE)) != "nothing":
        messages.append(message)
    return messages


async def raised(awaitable: Awaitable[Any]) -> str:
    seen = await async_outcome(awaitable)
    return str(seen["raises"]) if isinstance(seen, dict) else "nothing"


def job(number: int) -> dict[str, Any]:
    return {"type": "job", "number": number}


async def members(layer: Any, group: str, count: int) -> list[str]:
    channels = [await layer.new_channel() for _ in range(count)]
    for channel in channels:
        await layer.group_add(group, channel)
    return channels


# -- channels --------------------------------------------------------------------


@row([0, 1, 2])
async def messages_of_a_channel_come_in_order(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    for number in range(3):
        await layer.send(channel, job(number))
    return [(await got(layer, channel))["number"] for _ in range(3)]


@row(HELLO)
async def a_channel_with_a_name_keeps_what_nobody_reads_yet(make: Any) -> Any:
    layer = make()
    await layer.send("work", HELLO)
    return await got(layer, "work", 1.0)


@row([True, True, True, 20])
async def names_of_new_channels(make: Any) -> Any:
    layer = make()
    name, mine = await layer.new_channel(), await layer.new_channel(prefix="mine")
    names = {await layer.new_channel() for _ in range(20)}
    return [name.startswith("specific."), mine.startswith("mine"), "!" in name, len(names)]


@row("ChannelFull")
async def a_full_channel_refuses(make: Any) -> Any:
    layer = make(capacity=2)
    channel = await layer.new_channel()
    for _ in range(2):
        await layer.send(channel, HELLO)
    return await raised(layer.send(channel, HELLO))


@row([None, 2])
async def a_group_message_for_a_full_member_is_dropped_in_silence(make: Any) -> Any:
    layer = make(capacity=2)
    (channel,) = await members(layer, "all", 1)
    answers = [await async_outcome(layer.group_send("all", HELLO)) for _ in range(4)]
    # A layer may send ahead; what is read before the last arrives makes room for it.
    await asyncio.sleep(A_WHILE)
    return [answers[3], len(await rest_of(layer, channel))]


@row("nothing")
async def a_full_channel_leaves_room_in_others(make: Any) -> Any:
    layer = make(capacity=2)
    full, other = await layer.new_channel(), await layer.new_channel()
    for _ in range(2):
        await layer.send(full, HELLO)
    return await raised(layer.send(other, HELLO))


@row([HELLO, HELLO])
async def parameters_may_be_given_by_name(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add(group="all", channel=channel)
    await layer.group_send(group="all", message=HELLO)
    await layer.send(channel=channel, message=HELLO)
    seen = [await asyncio.wait_for(layer.receive(channel=channel), SOON) for _ in range(2)]
    await layer.group_discard(group="all", channel=channel)
    return seen


@row(["TypeError"] * 5)
async def names_that_no_layer_may_take(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    return [
        await raised(layer.send("a b", HELLO)),
        await raised(layer.group_add("a b", channel)),
        await raised(layer.group_add("all", "a b")),
        await raised(layer.group_discard("a:b", channel)),
        await raised(layer.group_send("x" * 100, HELLO)),
    ]


@row(["bool", "bytes", "dict", "float", "int", "list", "NoneType", "str"])
async def plain_values_arrive_as_they_are(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    values = [True, b"\x00\xff", {"a": {"b": [1]}}, 1.5, 1 << 40, [1, [2]], None, "é😀"]
    await layer.send(channel, {"type": "job", "values": values})
    arrived = (await got(layer, channel))["values"]
    assert arrived == values
    return [type(value).__name__ for value in arrived]


@row(["tuple", "set", "datetime", "date", "Decimal", "UUID", "int key"])
async def other_values_arrive_as_they_are(make: Any) -> Any:
    layer = make()
    moment = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
    values = [(1, "a"), {1}, moment, moment.date(), decimal.Decimal("1.10"), uuid.UUID(int=5)]
    seen = [await _arrived(layer, value) for value in values]
    keys = await _arrived(layer, {1: "one"})
    return [*seen, "int key" if keys == "dict" else keys]


async def _arrived(layer: Any, value: Any) -> str:
    channel = await layer.new_channel()

    async def there() -> Any:
        await layer.send(channel, {"type": "job", "value": value})
        return (await layer.receive(channel))["value"]

    seen = await async_outcome(asyncio.wait_for(there(), SOON))
    failed = isinstance(seen, dict) and "raises" in seen
    return str(seen["raises"]) if failed else type(seen).__name__


@row(1 << 20)
async def a_message_may_have_a_megabyte(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "job", "text": "x" * (1 << 20)})
    return len((await got(layer, channel))["text"])


# -- groups -------------------------------------------------------------------------


@row([[HELLO], [HELLO], []])
async def a_group_message_reaches_every_member_and_nobody_else(make: Any) -> Any:
    layer = make()
    channels = [*await members(layer, "all", 2), *await members(layer, "others", 1)]
    await layer.group_send("all", HELLO)
    return [await rest_of(layer, channel) for channel in channels]


@row([HELLO])
async def joining_twice_delivers_once(make: Any) -> Any:
    layer = make()
    (channel,) = await members(layer, "all", 1)
    await layer.group_add("all", channel)
    await layer.group_send("all", HELLO)
    return await rest_of(layer, channel)


@row(["nothing", "nothing", []])
async def who_leaves_gets_nothing_and_a_stranger_may_leave(make: Any) -> Any:
    layer = make()
    (channel,) = await members(layer, "all", 1)
    stranger = await layer.new_channel()
    answers = [
        await raised(layer.group_discard("all", stranger)),
        await raised(layer.group_discard("nobody", channel)),
    ]
    await layer.group_discard("all", channel)
    await layer.group_send("all", HELLO)
    return [*answers, await rest_of(layer, channel)]


@row("nothing")
async def a_group_without_members_takes_messages(make: Any) -> Any:
    return await raised(make().group_send("nobody", HELLO))


@row([[1], [1, "mine"]])
async def a_receiver_that_changes_its_message_changes_nobody_elses(make: Any) -> Any:
    layer = make()
    one, two = await members(layer, "all", 2)
    await layer.group_send("all", {"type": "job", "list": [1]})
    first = await got(layer, one)
    first["list"].append("mine")
    return [(await got(layer, two))["list"], first["list"]]


@row([[], []])
async def flush_forgets_messages_and_groups(make: Any) -> Any:
    layer = make()
    (channel,) = await members(layer, "all", 1)
    await layer.send(channel, HELLO)
    await layer.flush()
    before = await rest_of(layer, channel)
    await layer.group_send("all", HELLO)
    return [before, await rest_of(layer, channel)]


# -- consumers -------------------------------------------------------------------------


class Chat(AsyncWebsocketConsumer):
    groups = ["chat"]
    names: list[str] = []

    async def connect(self) -> None:
        self.names.append(self.channel_name)
        await self.accept()

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        if text_data == "leave":
            await self.channel_layer.group_discard("chat", self.channel_name)
            await self.send(text_data="left")
        elif text_data == "echo":
            await self.send(text_data="echo")
        else:
            message = {"type": "chat.message", "text": text_data}
            await self.channel_layer.group_send("chat", message)

    async def chat_message(self, event: Any) -> None:
        await self.send(text_data=event["text"])


class SyncChat(WebsocketConsumer):
    groups = ["chat"]

    def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        message = {"type": "chat.message", "text": text_data}
        async_to_sync(self.channel_layer.group_send)("chat", message)

    def chat_message(self, event: Any) -> None:
        self.send(text_data=event["text"])


@asynccontextmanager
async def under(layer: Any) -> AsyncIterator[Any]:
    """`layer` is what consumers find under the default alias."""
    before = channel_layers.set("default", layer)
    Chat.names = []
    try:
        yield layer
    finally:
        channel_layers.set("default", before)


@asynccontextmanager
async def client(consumer: Any = Chat) -> AsyncIterator[WebsocketCommunicator]:
    made = WebsocketCommunicator(consumer.as_asgi(), "/chat/")
    assert (await made.connect(SOON))[0]
    yield made
    await made.disconnect(timeout=SOON)


@row(["from outside", "to it alone"])
async def a_consumer_in_a_declared_group(make: Any) -> Any:
    async with under(make()) as layer, client() as one:
        await layer.group_send("chat", {"type": "chat.message", "text": "from outside"})
        first = await one.receive_from(SOON)
        await layer.send(Chat.names[0], {"type": "chat.message", "text": "to it alone"})
        return [first, await one.receive_from(SOON)]


@row(["hello", "hello", "answer", "answer"])
async def two_consumers_talk_and_hear_themselves(make: Any) -> Any:
    async with under(make()), client() as one, client() as two:
        seen = []
        for speaker, text in ((one, "hello"), (two, "answer")):
            await speaker.send_to(text_data=text)
            seen += [await one.receive_from(SOON), await two.receive_from(SOON)]
        return seen


@row(["hello", "hello", "answer", "answer"])
async def consumers_that_block_talk_to_those_that_do_not(make: Any) -> Any:
    async with under(make()), client(SyncChat) as one, client() as two:
        seen = []
        for speaker, text in ((one, "hello"), (two, "answer")):
            await speaker.send_to(text_data=text)
            seen += [await one.receive_from(SOON), await two.receive_from(SOON)]
        return seen


@row("from a view")
async def blocking_code_elsewhere_sends_to_the_group(make: Any) -> Any:
    async with under(make()) as layer, client() as one:
        message = {"type": "chat.message", "text": "from a view"}
        await asyncio.to_thread(async_to_sync(layer.group_send), "chat", message)
        return await one.receive_from(SOON)


@row(["left", True])
async def a_consumer_may_leave_its_group(make: Any) -> Any:
    async with under(make()) as layer, client() as one:
        await one.send_to(text_data="leave")
        left = await one.receive_from(SOON)
        await layer.group_send("chat", {"type": "chat.message", "text": "not for it"})
        return [left, await one.receive_nothing(A_WHILE)]


@row("nothing")
async def a_consumer_that_disconnects_has_left_its_group(make: Any) -> Any:
    async with under(make()) as layer:
        async with client():
            pass
        await layer.group_send("chat", {"type": "chat.message", "text": "too late"})
        return await got(layer, Chat.names[0], A_WHILE)


@row(list(range(100)))
async def a_hundred_messages_reach_a_consumer_in_order(make: Any) -> Any:
    async with under(make(capacity=1000)) as layer, client() as one:
        for number in range(100):
            await layer.group_send("chat", {"type": "chat.message", "text": str(number)})
        return [int(await one.receive_from(SOON)) for _ in range(100)]


@row(["echo", "still here"])
async def what_no_layer_may_call_is_ignored_and_the_socket_stays(make: Any) -> Any:
    async with under(make()) as layer, client() as one:
        for type_ in ("websocket.disconnect", "websocket.close", "close", "send", "nobody.knows"):
            await layer.group_send("chat", {"type": type_, "code": 1000})
        await one.send_to(text_data="echo")
        first = await one.receive_from(SOON)
        await layer.group_send("chat", {"type": "chat.message", "text": "still here"})
        return [first, await one.receive_from(SOON)]


# -- workers -----------------------------------------------------------------------------


@row([0, 1, 2])
async def a_worker_handles_the_messages_of_a_channel_in_order(make: Any) -> Any:
    layer = make()
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "job":
                seen.put_nowait(message["number"])

    worker = Worker(application, ["work"], layer)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.handle())
        # A layer that keeps nothing for later is sent to once the worker listens.
        await asyncio.sleep(A_WHILE)
        for number in range(3):
            await layer.send("work", job(number))
        handled = [await asyncio.wait_for(seen.get(), SOON) for _ in range(3)]
        worker.stop()
    return handled
