"""The consumers of W1 and W2, written as the documentation of Channels writes them."""

from __future__ import annotations

import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

GROUP = "benchmark"


def event_of(size: int) -> dict[str, str]:
    """Make the event whose answer, `json.dumps({"message": ...})`, has `size` bytes."""
    return {"type": "chat.message", "message": "x" * (size - len(json.dumps({"message": ""})))}


class Member(AsyncWebsocketConsumer):
    """One of the N sockets of a group: in it before the client is accepted."""

    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"message": event["message"]}))


class Trigger(AsyncWebsocketConsumer):
    """Sends `count` events of `size` bytes to the group for each message of its client."""

    async def connect(self) -> None:
        arguments = self.scope["url_route"]["kwargs"]
        self.count = arguments["count"]
        self.event = event_of(arguments["size"])
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        for _ in range(self.count):
            await self.channel_layer.group_send(GROUP, self.event)


class AsyncEcho(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data)


class SyncEcho(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=text_data)
