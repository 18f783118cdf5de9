"""Tokens that open WebSockets, under our server and another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from tokens import OTHER, TOKEN, user_of
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from channels.broadcast import broadcast
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter, url
from channels.security.authentication import (
    AuthenticationMiddleware,
    BearerHeader,
    SubprotocolToken,
)
from channels.server import Server, ServerConfig

pytestmark = pytest.mark.usefixtures("nothing_logged_holds_a_token")


class Hello(AsyncWebsocketConsumer):
    groups = ["all"]

    async def connect(self) -> None:
        await self.accept()
        await self.send(f"{self.scope['user']} {TOKEN in repr(self.scope)}")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("all", {"type": "said", "text": text_data})

    @broadcast
    def said(cls, event: Any) -> str:
        return str(event["text"])


class Failing(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(subprotocol="soap")


APPLICATION = ProtocolTypeRouter(
    {
        "websocket": AuthenticationMiddleware(
            URLRouter([url(r"^hello/$", Hello), url(r"^failing/$", Failing)]),
            [BearerHeader(user_of), SubprotocolToken(user_of)],
        )
    }
)


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[str]:
    server = Server(APPLICATION, ServerConfig(port=0))
    await server.start()
    try:
        host, port = server.addresses[0]
        yield f"ws://{host}:{port}"
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def under_uvicorn() -> AsyncIterator[str]:
    config = uvicorn.Config(
        APPLICATION, port=0, lifespan="off", log_config=None, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"
    finally:
        await server.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("layer")
@pytest.mark.parametrize("serving", [ours, under_uvicorn])
def test_tokens_open_websockets_under_servers(serving: Any) -> None:
    async def run() -> None:
        async with serving() as base:
            header = {"Authorization": f"Bearer {TOKEN}"}
            async with connect(f"{base}/hello/", additional_headers=header) as client:
                assert await client.recv() == "ada False"
            offered = [Subprotocol("bearer"), Subprotocol(f"bearer.{TOKEN}")]
            async with connect(f"{base}/hello/", subprotocols=offered) as client:
                assert client.subprotocol == "bearer"
                assert await client.recv() == "ada False"
                await client.send("to all")
                assert await client.recv() == "to all"
            async with connect(f"{base}/hello/") as client:
                assert await client.recv() == "AnonymousUser False"
            for wrong in (
                {"additional_headers": {"Authorization": f"Bearer {OTHER}"}},
                {"subprotocols": [Subprotocol("bearer"), Subprotocol(f"bearer.{OTHER}")]},
            ):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(f"{base}/hello/", **wrong)
                response = caught.value.response
                assert response.status_code == 401
                assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
                assert response.body.strip() == b"Authentication failed."
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"{base}/failing/", subprotocols=offered)
            assert caught.value.response.status_code == 500

    asyncio.run(asyncio.wait_for(run(), 30))
