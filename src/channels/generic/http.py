"""HTTP consumers: the whole request in, a response sent in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..consumer import AsyncConsumer
from ..exceptions import StopConsumer
from ..types import Header, Message


class AsyncHttpConsumer(AsyncConsumer):
    """Answers an HTTP request; the response may be streamed for as long as it takes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.body: list[bytes] = []
        self._disconnected = False

    async def send_headers(
        self,
        *,
        status: int = 200,
        headers: Mapping[bytes, bytes] | Iterable[Header] | None = None,
    ) -> None:
        """Start the response. `headers`: a mapping, or pairs; names and values are bytes."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        await self.send({"type": "http.response.start", "status": status, "headers": list(pairs)})

    async def send_body(self, body: bytes, *, more_body: bool = False) -> None:
        """Send a piece of the body; the response ends unless `more_body`."""
        if not isinstance(body, bytes):
            raise TypeError(f"Body is not bytes: {type(body).__name__} {body!r:.80}")
        await self.send({"type": "http.response.body", "body": body, "more_body": more_body})

    async def send_response(self, status: int, body: bytes, **kwargs: Any) -> None:
        """Send a whole response; further arguments go to `send_headers`."""
        await self.send_headers(status=status, **kwargs)
        await self.send_body(body)

    async def handle(self, body: bytes) -> None:
        """Answer the request, with `send_response` or the methods below it."""
        raise NotImplementedError("Subclasses of AsyncHttpConsumer must provide a handle() method.")

    async def disconnect(self) -> None:
        """Clean up. Called once, after the response or when the client has gone."""

    async def http_request(self, message: Message) -> None:
        self.body.append(message.get("body", b""))
        if message.get("more_body"):
            return
        try:
            await self.handle(b"".join(self.body))
        finally:
            await self._disconnect_once()
        raise StopConsumer()

    async def http_disconnect(self, message: Message) -> None:
        await self._disconnect_once()
        raise StopConsumer()

    async def _disconnect_once(self) -> None:
        if not self._disconnected:
            self._disconnected = True
            await self.disconnect()
