"""A layer in memory with a consumer of it, and what comes of a call within a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.compat.behaviours import async_outcome

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator

HELLO = {"type": "hello"}
# Long enough for a message to arrive, short enough to wait for one that does not.
SOON = 0.2


class Chatter(AsyncWebsocketConsumer):
    groups = ["chat"]

    async def chat_message(self, event: Any) -> None:
        await self.send(text_data=event["text"])


@asynccontextmanager
async def chatting(layer: Any) -> AsyncIterator[WebsocketCommunicator]:
    """A consumer in the group "chat" of `layer`."""
    before = channel_layers.set("default", layer)
    try:
        client = WebsocketCommunicator(Chatter.as_asgi(), "/")
        await client.connect()
        yield client
        await client.disconnect()
    finally:
        channel_layers.set("default", before)


async def soon(awaitable: Any) -> Any:
    return await async_outcome(asyncio.wait_for(awaitable, SOON))
