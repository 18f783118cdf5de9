"""A consumer that sends back what it hears, and a client that has opened it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.testing import ApplicationCommunicator
from channels.types import Message

SCOPE = {"type": "websocket", "path": "/chat/", "headers": []}


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


class Recorder(AsyncConsumer):
    """Sends back what it hears; the tests read it there."""

    async def websocket_connect(self, message: Message) -> None:
        await self.send({"type": "websocket.accept", "channel": self.channel_name})

    async def websocket_receive(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": message["text"]})

    async def room_message(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": f"room: {message['text']}"})

    async def websocket_disconnect(self, message: Message) -> None:
        await self.send({"type": "told", "code": message["code"]})
        raise StopConsumer


async def opened(consumer: Any) -> tuple[ApplicationCommunicator, str]:
    client = ApplicationCommunicator(consumer, dict(SCOPE))
    await client.send_input({"type": "websocket.connect"})
    accept = await client.receive_output()
    return client, accept["channel"]
