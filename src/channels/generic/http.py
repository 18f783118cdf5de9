"""HTTP consumers: the whole request in, a response sent in pieces.

`handle()` may end with the response still open (`more_body=True`): then the
consumer lives on, and a message of the layer can finish it. That is long-polling.
A client that leaves in the middle of a response cancels `handle()`, as Django does
with its views; one that leaves before lets it finish, since the request may have
been a write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from ..consumer import AsyncConsumer
from ..exceptions import StopConsumer
from ..intake import Intake
from ..mailbox import Mailbox
from ..types import ClientDisconnected, Header, Message, Receive


class AsyncHttpConsumer(AsyncConsumer):
    """Answers an HTTP request; the response may be streamed for as long as it takes."""

    # The response has begun; all of it has been sent; the client has left.
    _begun = _complete = _left = False
    _disconnected = False
    # Around a running handle().
    _handling: asyncio.Timeout | None = None
    _mailbox: Mailbox | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.body: list[bytes] = []

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
        """Answer the request, with `send_response` or the methods below it.

        A response that is left open here is finished later, from a handler of a layer
        message; until then the client waits.
        """
        raise NotImplementedError("Subclasses of AsyncHttpConsumer must provide a handle() method.")

    async def disconnect(self) -> None:
        """Clean up. Called once, after the response or when the client has gone."""

    # -- inside ------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Send one ASGI event; ClientDisconnected if the client has left."""
        if self._left and not self._complete:
            # Not every server tells; a stream without an end would go on for nobody.
            raise ClientDisconnected("The client has left.")
        before = self._complete
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # Before it is sent: a server may tell of the end while it takes the last
            # piece, and what handle() does after its response is not to be cancelled.
            self._complete = True
        try:
            await super().send(message)
        except Exception:
            self._complete = before
            raise
        self._begun = True

    async def http_request(self, message: Message) -> None:
        self.body.append(message.get("body", b""))
        if message.get("more_body"):
            return
        try:
            await self._handle_while_there(b"".join(self.body))
        except BaseException:
            await self._disconnect_once()
            raise
        if self._begun and not self._complete and not self._left:
            self._go_on_until_the_client_leaves()
            return
        await self._disconnect_once()
        raise StopConsumer()

    async def http_disconnect(self, message: Message) -> None:
        await self._disconnect_once()
        raise StopConsumer()

    async def dispatch(self, message: Message) -> None:
        """Call the handler of one message; the consumer ends with its response."""
        await super().dispatch(message)
        if self._complete:
            await self._disconnect_once()
            raise StopConsumer()

    async def _handle_while_there(self, body: bytes) -> None:
        # A timeout of no time: it can be made to expire, and then cancels this block alone.
        handling = self._handling = asyncio.timeout(None)
        try:
            async with handling:
                await self.handle(body)
        except TimeoutError:
            if not handling.expired():
                raise
        finally:
            self._handling = None

    async def _enter(self, intake: Intake, receive: Receive) -> None:
        # Here and not in __init__: an instance may be an application, for one request
        # after another, and a subclass may have an __init__ of its own.
        self.body = []
        self._begun = self._complete = self._left = self._disconnected = False
        self._mailbox = intake.mailbox
        intake.mailbox.on_disconnect = self._client_left
        await super()._enter(intake, receive)

    def _leave(self) -> None:
        self._mailbox = None
        super()._leave()

    def _go_on_until_the_client_leaves(self) -> None:
        if self._mailbox is not None:
            self._mailbox.endless = True

    def _client_left(self) -> None:
        self._left = True
        if self._handling is not None and self._begun and not self._complete:
            self._handling.reschedule(asyncio.get_running_loop().time())

    async def _disconnect_once(self) -> None:
        if not self._disconnected:
            self._disconnected = True
            await self.disconnect()
