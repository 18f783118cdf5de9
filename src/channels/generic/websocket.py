"""WebSocket consumers: connect, receive, disconnect, and groups joined by name.

Each comes in two colours: with coroutine methods, and with ordinary methods that
may block. What they say and hear is built in messages.py; here is only when.
"""

from __future__ import annotations

import json  # noqa: F401 - projects take it from here, with a star.
from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync

from ..consumer import AsyncConsumer, SyncConsumer
from ..exceptions import AcceptConnection, DenyConnection, StopConsumer
from ..mailbox import SharedMessage
from ..types import Header, Message
from .json_text import dumps, loads
from .messages import (
    UNSUPPORTED_DATA,
    accept_event,
    check_groups_supported,
    close_event,
    received,
    send_event,
    takes_bytes,
    takes_event,
)


class WebsocketConsumer(SyncConsumer):
    """A WebSocket with ordinary methods, which may block: they run in a thread.

    `groups`: names of the groups to join before `connect()` and to leave after the
    client has gone.
    """

    groups: Iterable[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.groups is None:
            self.groups = []

    def websocket_connect(self, message: Message) -> None:
        for group in self.groups or ():
            check_groups_supported(self.channel_layer, self.channel_layer_alias)
            async_to_sync(self.channel_layer.group_add)(group, self.channel_name)
        try:
            if takes_event(self.connect):
                self.connect(message)  # type: ignore[call-arg]
            else:
                self.connect()
        except AcceptConnection:
            self.accept()
        except DenyConnection:
            self.close()

    def connect(self) -> None:
        """Accept or refuse the client; accepts, unless overridden."""
        self.accept()

    def accept(
        self, subprotocol: str | None = None, headers: Iterable[Header] | None = None
    ) -> None:
        """Accept the WebSocket. `subprotocol`: one that the client offered."""
        super().send(accept_event(subprotocol, headers))

    def websocket_receive(self, message: Message) -> None:
        data = received(message)
        if "bytes_data" in data and not takes_bytes(self.receive):
            self.close(UNSUPPORTED_DATA, "This endpoint takes text messages only")
            return
        self.receive(**data)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle a frame of the client: one of the two arguments is given."""

    def send(  # type: ignore[override]
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,
    ) -> None:
        """Send a frame to the client; then close, with `close` as the code if it is one."""
        super().send(send_event(text_data, bytes_data))
        if close:
            self.close(close)

    def send_rendered(self, shared: SharedMessage | None) -> None:
        if shared is not None:
            self.send(text_data=shared.text, bytes_data=shared.data)

    def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the WebSocket; before it was accepted, refuse it."""
        super().send(close_event(code, reason))

    def websocket_disconnect(self, message: Message) -> None:
        try:
            for group in self.groups or ():
                check_groups_supported(self.channel_layer, self.channel_layer_alias)
                async_to_sync(self.channel_layer.group_discard)(group, self.channel_name)
        finally:
            self.disconnect(message["code"])
        raise StopConsumer()

    def disconnect(self, code: int) -> None:
        """Clean up. Called once, whatever ended the connection, accepted or not."""


class JsonWebsocketConsumer(WebsocketConsumer):
    """A WebSocket whose text frames hold JSON."""

    def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        if not text_data:
            raise ValueError("No text section for incoming WebSocket frame!")
        self.receive_json(self.decode_json(text_data), **kwargs)

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Handle a decoded message of the client."""

    def send_json(self, content: Any, close: bool | int = False) -> None:
        """Send `content` as JSON."""
        super().send(text_data=self.encode_json(content), close=close)

    @classmethod
    def decode_json(cls, text_data: str) -> Any:
        return loads(text_data)

    @classmethod
    def encode_json(cls, content: Any) -> str:
        return dumps(content)


class AsyncWebsocketConsumer(AsyncConsumer):
    """A WebSocket with coroutine methods.

    `groups`: names of the groups to join before `connect()` and to leave after the
    client has gone.
    """

    groups: Iterable[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.groups is None:
            self.groups = []

    async def websocket_connect(self, message: Message) -> None:
        for group in self.groups or ():
            check_groups_supported(self.channel_layer, self.channel_layer_alias)
            await self.channel_layer.group_add(group, self.channel_name)
        try:
            if takes_event(self.connect):
                await self.connect(message)  # type: ignore[call-arg]
            else:
                await self.connect()
        except AcceptConnection:
            await self.accept()
        except DenyConnection:
            await self.close()

    async def connect(self) -> None:
        """Accept or refuse the client; accepts, unless overridden."""
        await self.accept()

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[Header] | None = None
    ) -> None:
        """Accept the WebSocket. `subprotocol`: one that the client offered."""
        await super().send(accept_event(subprotocol, headers))

    async def websocket_receive(self, message: Message) -> None:
        text = message.get("text")
        if text is not None:
            await self.receive(text_data=text)
        elif takes_bytes(self.receive):
            await self.receive(bytes_data=message["bytes"])
        else:
            await self.close(UNSUPPORTED_DATA, "This endpoint takes text messages only")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Handle a frame of the client: one of the two arguments is given."""

    async def send(  # type: ignore[override]
        self,
        text_data: str | None = None,
        bytes_data: bytes | None = None,
        close: bool | int = False,
    ) -> None:
        """Send a frame to the client; then close, with `close` as the code if it is one."""
        # What AsyncConsumer.send does; super() would take 8 % of a message (W1).
        await self.base_send(send_event(text_data, bytes_data))
        if close:
            await self.close(close)

    async def send_rendered(self, shared: SharedMessage | None) -> None:
        if shared is not None:
            await self.send(text_data=shared.text, bytes_data=shared.data)

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close the WebSocket; before it was accepted, refuse it."""
        await super().send(close_event(code, reason))

    async def websocket_disconnect(self, message: Message) -> None:
        try:
            for group in self.groups or ():
                check_groups_supported(self.channel_layer, self.channel_layer_alias)
                await self.channel_layer.group_discard(group, self.channel_name)
        finally:
            await self.disconnect(message["code"])
        raise StopConsumer()

    async def disconnect(self, code: int) -> None:
        """Clean up. Called once, whatever ended the connection, accepted or not."""


class AsyncJsonWebsocketConsumer(AsyncWebsocketConsumer):
    """A WebSocket whose text frames hold JSON, with coroutine methods."""

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        if not text_data:
            raise ValueError("No text section for incoming WebSocket frame!")
        await self.receive_json(await self.decode_json(text_data), **kwargs)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Handle a decoded message of the client."""

    async def send_json(self, content: Any, close: bool | int = False) -> None:
        """Send `content` as JSON."""
        await super().send(text_data=await self.encode_json(content), close=close)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        return loads(text_data)

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        return dumps(content)
