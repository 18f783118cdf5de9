"""The same consumers see and say the same on our server directly, where they take over
its mailbox, and behind a middleware that wraps `receive` and `send`, where a pump fills
one of their own. Other servers: tests/compat/test_foreign_servers.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from channels.broadcast import broadcast
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import URLRouter, url
from channels.server import Server, ServerConfig
from channels.types import Message, Receive, Scope, Send

seen: list[Any] = []
ended: asyncio.Queue[None]


def note_end(code: int, loop: asyncio.AbstractEventLoop) -> None:
    """A consumer's `disconnect` has run; also called from the threads of sync ones."""
    seen.append(("disconnect", code))
    loop.call_soon_threadsafe(ended.put_nowait, None)


class Echo(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        seen.append(("connect", self.scope["path"], self.scope["query_string"]))
        if b"deny" in self.scope["query_string"]:
            await self.close()
        elif self.scope["subprotocols"]:
            await self.accept(subprotocol=self.scope["subprotocols"][0])
        else:
            await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        seen.append(("receive", text_data, bytes_data))
        if text_data == "fail":
            raise RuntimeError("on purpose")
        if text_data == "close":
            await self.close(4001)
        else:
            await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        note_end(code, asyncio.get_running_loop())


class SyncEcho(WebsocketConsumer):
    @async_to_sync
    async def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        seen.append(("receive", text_data, bytes_data))
        self.send(text_data=text_data, bytes_data=bytes_data)

    def disconnect(self, code: int) -> None:
        note_end(code, self.loop())


class Room(AsyncJsonWebsocketConsumer):
    groups = ["room"]

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.channel_layer.group_send("room", {"type": content["via"], "text": "hello"})

    async def room_message(self, event: Message) -> None:
        await self.send_json({"ordinary": event["text"]})

    @broadcast
    def room_shared(cls, event: Message) -> Any:
        return {"shared": event["text"]}

    async def disconnect(self, code: int) -> None:
        note_end(code, asyncio.get_running_loop())


router = URLRouter([url(r"^echo/$", Echo), url(r"^sync/$", SyncEcho), url(r"^room/$", Room)])


def wrapped(application: Any) -> Any:
    """A middleware such as people write: it wraps both callables and counts."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        events = []

        async def counted_receive() -> Message:
            message = await receive()
            events.append(message["type"])
            return message

        async def counted_send(message: Message) -> None:
            events.append(message["type"])
            await send(message)

        await application(scope, counted_receive, counted_send)

    return middleware


@contextlib.asynccontextmanager
async def on_channels(application: Any) -> AsyncIterator[int]:
    server = Server(application, ServerConfig(port=0))
    await server.start()
    try:
        yield server.addresses[0][1]
    finally:
        await server.stop()


async def echo_texts(base: str) -> list[Any]:
    async with connect(f"{base}/echo/?a=b") as client:
        heard = []
        for message in ("hello", "", b"data", b"", "é" * 100, "x" * 70_000):
            await client.send(message)
            heard.append(await client.recv())
    return heard


async def sync_echo(base: str) -> list[Any]:
    async with connect(f"{base}/sync/") as client:
        heard = []
        for message in ("hello", b"data"):
            await client.send(message)
            heard.append(await client.recv())
    return heard


async def many_at_once(base: str) -> list[Any]:
    async with connect(f"{base}/echo/") as client:
        for number in range(50):
            await client.send(str(number))
        return [await client.recv() for _ in range(50)]


async def subprotocol(base: str) -> list[Any]:
    async with connect(f"{base}/echo/", subprotocols=["chat", "other"]) as client:  # type: ignore[list-item]
        return [client.subprotocol]


async def denied(base: str) -> list[Any]:
    try:
        await connect(f"{base}/echo/?deny")
    except InvalidStatus as error:
        return [error.response.status_code]
    raise AssertionError("was accepted")


async def server_closes(base: str) -> list[Any]:
    async with connect(f"{base}/echo/") as client:
        await client.send("close")
        with contextlib.suppress(ConnectionClosed):
            await client.recv()
    return [client.close_code]


async def client_closes(base: str) -> list[Any]:
    async with connect(f"{base}/echo/") as client:
        await client.close(4321, "bye")
    return [client.close_code]


async def handler_fails(base: str) -> list[Any]:
    async with connect(f"{base}/echo/") as client:
        await client.send("fail")
        with contextlib.suppress(ConnectionClosed):
            await client.recv()
    return [client.close_code]


async def group_messages(base: str) -> list[Any]:
    async with connect(f"{base}/room/") as one, connect(f"{base}/room/") as two:
        heard = []
        for via in ("room.message", "room.shared", "room.message"):
            await one.send(f'{{"via": "{via}"}}')
            heard += [await one.recv(), await two.recv()]
    return heard


SCENARIOS = [
    echo_texts,
    sync_echo,
    many_at_once,
    subprotocol,
    denied,
    server_closes,
    client_closes,
    handler_fails,
    group_messages,
]


async def observe(application: Any, scenario: Any) -> tuple[list[Any], list[Any]]:
    global ended
    seen.clear()
    ended = asyncio.Queue()
    channel_layers.set("default", InMemoryChannelLayer())
    async with asyncio.timeout(20), on_channels(application) as port:
        told = await scenario(f"ws://127.0.0.1:{port}")
        for _ in range(connections(scenario)):
            await ended.get()
    return told, list(seen)


def connections(scenario: Any) -> int:
    return 2 if scenario is group_messages else 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_clients_and_consumers_observe_the_same_behind_a_middleware(
    scenario: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    directly = asyncio.run(observe(router, scenario))
    assert directly[0], "a scenario observes something"
    assert asyncio.run(observe(wrapped(router), scenario)) == directly
    if scenario is handler_fails:
        assert directly[0] == [1011]


class ForeignServer:
    """What a server that is not ours gives to an application, kept by nobody else."""

    def __init__(self, *events: Message) -> None:
        self.events: asyncio.Queue[Message] = asyncio.Queue()
        for event in events:
            self.events.put_nowait(event)
        self.asked = False
        self.sent: list[tuple[str, bool]] = []

    async def receive(self) -> Message:
        self.asked = True
        try:
            return await self.events.get()
        finally:
            self.asked = False

    async def send(self, message: Message) -> None:
        self.sent.append((message["type"], self.asked))
        if message["type"] == "websocket.close":
            self.events.put_nowait({"type": "websocket.disconnect", "code": message["code"]})

    async def serve(self, application: Any, path: str) -> None:
        scope = {"type": "websocket", "path": path, "headers": [], "query_string": b""}
        scope["subprotocols"] = []
        async with asyncio.timeout(5):
            await application(scope, self.receive, self.send)


CONNECT = {"type": "websocket.connect"}


def text(text: str) -> Message:
    return {"type": "websocket.receive", "text": text}


def test_a_close_is_sent_while_nobody_waits_in_receive() -> None:
    async def main() -> ForeignServer:
        global ended
        ended = asyncio.Queue()
        server = ForeignServer(CONNECT, text("hello"), text("close"))
        await server.serve(router, "/echo/")
        return server

    seen.clear()
    # Granian keeps a close back for as long as somebody waits for the client.
    assert asyncio.run(main()).sent[-1] == ("websocket.close", False)
    assert seen[-1] == ("disconnect", 4001)


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("/echo/", {"type": "websocket.disconnect", "code": 1000}),
        ("/sync/", {"type": "websocket.disconnect", "code": 1000}),
        ("/echo/", text("fail")),
    ],
    ids=["ended", "a synchronous one ended", "failed"],
)
def test_what_a_server_gave_needs_no_garbage_collector(
    path: str, last: Message, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def serve(freed: asyncio.Event) -> None:
        global ended
        ended = asyncio.Queue()
        server = ForeignServer(CONNECT, text("hello"), last)
        weakref.finalize(server, freed.set)
        with contextlib.suppress(RuntimeError):
            await server.serve(router, path)

    async def main() -> None:
        freed = asyncio.Event()
        await serve(freed)
        # What the event loop and the thread still hold, they let go of by themselves.
        await asyncio.wait_for(freed.wait(), 5)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
