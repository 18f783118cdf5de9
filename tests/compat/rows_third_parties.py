"""What packages and projects' tests import, replace and look into."""

from __future__ import annotations

import asyncio
import functools
import importlib
from typing import Any
from unittest import mock

from tests.compat.behaviours import Rows, outcome, set_up_django

set_up_django()

import channels.layers  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.layers import InMemoryChannelLayer, get_channel_layer  # noqa: E402
from channels.testing import ApplicationCommunicator, WebsocketCommunicator  # noqa: E402

row = Rows()

NAMES = {
    "channels.auth": [
        "BACKEND_SESSION_KEY",
        "HASH_SESSION_KEY",
        "SESSION_KEY",
        "_get_user_session_key",
        "get_user_model",
        "load_backend",
        "user_logged_in",
        "user_logged_out",
    ],
    "channels.generic.websocket": ["json"],
    "channels.layers": ["ChannelFull", "InvalidChannelLayerError", "asyncio"],
    "channels.routing": ["URLResolver"],
}


@row(upstream=[])
def names_that_projects_import_from_where_they_were_not_made() -> Any:
    return [
        f"{module}.{name}"
        for module, names in NAMES.items()
        for name in names
        if not hasattr(importlib.import_module(module), name)
    ]


def with_greeting(function: Any) -> Any:
    @functools.wraps(function)
    async def wrapper(self: Any) -> None:
        await function(self, "hello")

    return wrapper


class Decorated(AsyncWebsocketConsumer):
    @with_greeting
    async def connect(self, greeting: str) -> None:
        await self.accept()
        await self.send(greeting)


@row(upstream="hello")
async def a_decorator_gives_connect_what_it_wants() -> Any:
    client = WebsocketCommunicator(Decorated.as_asgi(), "/")
    await client.connect()
    heard = await client.receive_from()
    await client.disconnect()
    return heard


def of_content(function: Any) -> Any:
    @functools.wraps(function)
    async def wrapper(self: Any, text_data: Any = None, bytes_data: Any = None) -> None:
        await function(self, text_data or bytes_data.decode())

    return wrapper


class DecoratedReceive(AsyncWebsocketConsumer):
    @of_content
    async def receive(self, content: str) -> None:  # type: ignore[override]
        await self.send(content)


class ReplacedReceive(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.receive = self.other  # type: ignore[method-assign]
        await self.accept()

    async def receive(self, text_data: Any) -> None:  # type: ignore[override]
        raise AssertionError("the other one is called")

    async def other(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data or bytes_data.decode())


@row(upstream=["data", "data"])
async def bytes_reach_a_receive_that_was_decorated_or_replaced() -> Any:
    heard = []
    for consumer in (DecoratedReceive, ReplacedReceive):
        client = WebsocketCommunicator(consumer.as_asgi(), "/")
        await client.connect()
        await client.send_to(bytes_data=b"data")
        heard.append(await client.receive_from())
        await client.disconnect()
    return heard


@row(upstream=[1, []])
async def a_mock_in_place_of_connect_is_called_and_nothing_more() -> Any:
    class Mocked(AsyncWebsocketConsumer):
        connect = mock.AsyncMock()

    consumer = Mocked()
    await consumer.websocket_connect({"type": "websocket.connect"})
    return [Mocked.connect.await_count, [str(c) for c in Mocked.connect.mock_calls if c[0]]]


@row(upstream=["ours", "a dict's", None])
def replacing_channel_layers_changes_what_get_channel_layer_finds() -> Any:
    with mock.patch("channels.layers.channel_layers", {"default": "ours"}):
        first = get_channel_layer()
    with mock.patch.object(channels.layers, "channel_layers", {"other": "a dict's"}):
        return [first, get_channel_layer("other"), get_channel_layer()]


@row(upstream=[2, False, [True, 1], [True, 2], True, "QueueEmpty"])
async def a_waiting_channel_in_memory_looks_like_a_queue() -> Any:
    layer = InMemoryChannelLayer()
    for number in (1, 2):
        await layer.send("work", {"type": "job", "number": number})
    queue = layer.channels["work"]
    seen: list[Any] = [queue.qsize(), queue.empty()]
    for _ in range(2):
        expiry, message = queue.get_nowait()
        seen.append([expiry > 0, message["number"]])
    return [*seen, queue.empty(), outcome(queue.get_nowait)["raises"]]


@row(upstream=[1, 7])
async def events_of_ones_own_may_hold_anything_as_text_and_body() -> Any:
    class Own(WebsocketConsumer):
        def test_print(self, message: Any) -> None:
            self.base_send({"type": "seen", "what": message.get("text", message.get("body"))})

    client = ApplicationCommunicator(Own.as_asgi(), {"type": "test", "path": "/", "headers": []})
    await client.send_input({"type": "test.print", "text": 1})
    await client.send_input({"type": "test.print", "body": 7})
    return [(await client.receive_output())["what"] for _ in range(2)]


@row(upstream=["new_channel", "receive"])
async def a_mock_in_place_of_the_layer_is_asked_for_a_channel_and_messages() -> Any:
    layer = mock.AsyncMock()
    layer.new_channel.return_value = "its-own"
    layer.receive.side_effect = never
    with mock.patch("channels.consumer.get_channel_layer", return_value=layer):
        client = WebsocketCommunicator(Echo.as_asgi(), "/")
        await client.connect()
        await client.disconnect()
    return sorted({call[0] for call in layer.mock_calls})


async def never(channel: str) -> Any:
    await asyncio.get_running_loop().create_future()


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data)
