"""The client's side of a WebSocket, without a socket."""

# ruff: noqa: ASYNC109 - the parameter `timeout` is part of the API.
from __future__ import annotations

import json
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from ..types import Header, Message
from .application import ApplicationCommunicator


class WebsocketCommunicator(ApplicationCommunicator):
    """Connects to `path` (a path with a query string, or a whole URL).

    At the end of `async with` it disconnects, if it is still connected, and waits
    for the application to end.
    """

    def __init__(
        self,
        application: Any,
        path: str,
        headers: list[Header] | None = None,
        subprotocols: list[str] | None = None,
        spec_version: str | None = None,
    ) -> None:
        if not isinstance(path, str):
            raise TypeError(f"Expected str, got {type(path)}")
        url = urlsplit(path)
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": unquote(url.path),
            "query_string": url.query.encode("utf-8"),
            "headers": headers or [],
            "subprotocols": subprotocols or [],
        }
        if spec_version:
            scope["spec_version"] = spec_version
        super().__init__(application, scope)
        self.response_headers: list[Header] | None = None
        self._connected = False

    async def connect(self, timeout: float = 1) -> tuple[bool, Any]:
        """Open the connection.

        Returns (True, subprotocol or None), or (False, close code) if the
        application refuses, with the HTTP status in place of the code if it answers
        with a response of its own.
        """
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output(timeout)
        if answer["type"] == "websocket.close":
            return (False, answer.get("code", 1000))
        self.response_headers = list(answer.get("headers", []))
        if answer["type"] == "websocket.http.response.start":
            return (False, answer["status"])
        _expect(answer, "websocket.accept")
        self._connected = True
        return (True, answer.get("subprotocol"))

    # -- messages ----------------------------------------------------------

    async def send_to(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a text or a binary message; it may be empty."""
        if (text_data is None) == (bytes_data is None):
            raise AssertionError("You must supply exactly one of text_data or bytes_data")
        if text_data is not None:
            _check(text_data, str, "The text_data argument must be a str")
            await self.send_input({"type": "websocket.receive", "text": text_data})
        else:
            _check(bytes_data, bytes, "The bytes_data argument must be bytes")
            await self.send_input({"type": "websocket.receive", "bytes": bytes_data})

    async def send_json_to(self, data: Any) -> None:
        """Send `data` as JSON text."""
        await self.send_to(text_data=json.dumps(data))

    async def receive_from(self, timeout: float = 1) -> Any:
        """Return the next message: str if it is text, else bytes."""
        event = await self.receive_output(timeout)
        _expect(event, "websocket.send")
        text, data = event.get("text"), event.get("bytes")
        if (text is None) == (data is None):
            raise AssertionError("The response needs exactly one of 'text' or 'bytes'")
        if text is not None:
            _check(text, str, f"Text frame payload is not str, it is {type(text)}")
            return text
        _check(data, bytes, f"Binary frame payload is not bytes, it is {type(data)}")
        return data

    async def receive_json_from(self, timeout: float = 1) -> Any:
        """Return what the next message, JSON text, says."""
        payload = await self.receive_from(timeout)
        _check(payload, str, f"JSON data is not a text frame, it is {type(payload)}")
        return json.loads(payload)

    # -- ending ------------------------------------------------------------

    async def disconnect(self, code: int = 1000, timeout: float = 1) -> None:
        """Leave with `code` and wait until the application has ended."""
        self._connected = False
        await self.send_input({"type": "websocket.disconnect", "code": code})
        await self.wait(timeout)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._connected and not self.future.done():
                await self.disconnect()
        finally:
            await super().__aexit__(kind, error, trace)


def _check(value: object, kind: type[Any], says: str) -> None:
    if not isinstance(value, kind):
        raise AssertionError(says)


def _expect(event: Message, kind: str) -> None:
    if event["type"] != kind:
        raise AssertionError(f"Expected type '{kind}', but was '{event['type']}'")
