"""Code as people write it, old and new, runs as written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from channels.consumer import AsyncConsumer
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter, url
from channels.testing import ApplicationCommunicator, HttpCommunicator, WebsocketCommunicator


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


class ChatConsumer(WebsocketConsumer):
    def connect(self):
        self.username = "Anonymous"
        self.accept()
        self.send(text_data=f"[Welcome {self.username}!]")

    def receive(self, *, text_data):
        if text_data.startswith("/name"):
            self.username = text_data[5:].strip()
            self.send(text_data=f"[set your username to {self.username}]")
        else:
            self.send(text_data=self.username + ": " + text_data)

    def disconnect(self, message):
        pass


class LogConsumer(WebsocketConsumer):
    """A blocking ORM call, safe in the event loop; `connect` takes the event."""

    def connect(self, message):
        ContentType.objects.create(app_label="log", model=self.scope["client"][0])
        self.accept()


class PingConsumer(AsyncConsumer):
    """Fully asynchronous; no disconnect handler needed."""

    async def websocket_connect(self, message):
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message):
        await asyncio.sleep(0)
        await self.send({"type": "websocket.send", "text": "pong"})


class AdminChatConsumer(ChatConsumer):
    def connect(self):
        super().connect()
        self.send(text_data="[you are admin]")


class ChattyBotConsumer(AsyncConsumer):
    async def telegram_message(self, message):
        await self.send({"type": "telegram.message", "text": message["text"] + "?"})


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                url(r"^chat/admin/$", AdminChatConsumer),
                url(r"^chat/$", ChatConsumer),
                url(r"^ping/$", PingConsumer.as_asgi()),
                url(r"^log/$", LogConsumer),
            ]
        ),
        "telegram": ChattyBotConsumer,
    }
)


def test_the_chat_consumer_greets_names_and_echoes() -> None:
    async def test() -> list[str]:
        client = WebsocketCommunicator(application, "/chat/")
        assert (await client.connect())[0]
        heard = [await client.receive_from()]
        for text in ("hello", "/name ada", "hello"):
            await client.send_to(text_data=text)
            heard.append(await client.receive_from())
        await client.disconnect()
        return heard

    assert run(test) == [
        "[Welcome Anonymous!]",
        "Anonymous: hello",
        "[set your username to ada]",
        "ada: hello",
    ]


def test_binary_data_for_a_consumer_of_text_closes_with_1003() -> None:
    async def test() -> dict[str, Any]:
        client = WebsocketCommunicator(application, "/chat/")
        await client.connect()
        await client.receive_from()
        await client.send_to(bytes_data=b"\x00")
        closed = await client.receive_output()
        await client.disconnect(code=1003)
        return dict(closed)

    assert run(test)["code"] == 1003


def test_the_first_route_that_matches_is_taken() -> None:
    async def test() -> list[str]:
        client = WebsocketCommunicator(application, "/chat/admin/")
        await client.connect()
        heard = [await client.receive_from() for _ in range(2)]
        await client.disconnect()
        return heard

    assert run(test)[1] == "[you are admin]"


def test_connect_may_take_the_event_and_block_on_the_database(db: None) -> None:
    async def test() -> None:
        client = WebsocketCommunicator(application, "/log/")
        client.scope["client"] = ["203.0.113.7", 5000]
        assert (await client.connect())[0]
        await client.disconnect()

    run(test)
    assert ContentType.objects.filter(app_label="log", model="203.0.113.7").count() == 1


def test_a_plain_consumer_needs_no_disconnect_handler() -> None:
    async def test() -> str:
        client = WebsocketCommunicator(application, "/ping/")
        await client.connect()
        await client.send_to(text_data="ping")
        answer = await client.receive_from()
        await client.disconnect()
        return answer

    assert run(test) == "pong"


def test_a_protocol_of_ones_own_is_routed_by_its_name() -> None:
    async def test() -> str:
        client = ApplicationCommunicator(application, {"type": "telegram"})
        await client.send_input({"type": "telegram.message", "text": "hello"})
        answer = await client.receive_output()
        await client.send_input({"type": "telegram.disconnect"})
        await client.wait()
        return answer["text"]

    assert run(test) == "hello?"


@pytest.mark.parametrize("path", ["/hello/", "hello/"])
def test_without_an_http_key_djangos_views_answer(path: str) -> None:
    async def test() -> dict[str, Any]:
        client = HttpCommunicator(application, "GET", "/hello/", headers=[(b"host", b"localhost")])
        return await client.get_response(timeout=10)

    response = run(test)
    assert response["status"] == 200
    assert response["body"] == b"Hello from a Django view"
