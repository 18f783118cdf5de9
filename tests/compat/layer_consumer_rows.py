"""Rows over a layer: consumers and workers above it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import async_to_sync
from tests.compat.layer_table import (
    A_WHILE,
    SOON,
    LayerRows,
    got,
    job,
)
from tests.waiting import meanwhile

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from channels.worker import Worker

row = LayerRows()


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
        await meanwhile(A_WHILE, "the worker listens: some layers keep nothing for later")
        for number in range(3):
            await layer.send("work", job(number))
        handled = [await asyncio.wait_for(seen.get(), SOON) for _ in range(3)]
        worker.stop()
    return handled
