"""Refusing a WebSocket handshake with an HTTP response.

`websocket.close` before the accept is a 403; the extension
`websocket.http.response` lets the application answer whatever it likes. The
connection is not used again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

from ...types import Header, Message
from ..wire.events import Response, ResponseBody
from .headers import checked, checked_body, checked_status

Encode = Callable[[Response | ResponseBody], bytes]


class Denial:
    """The response to a handshake that is not accepted."""

    __slots__ = ("_encode", "_headers", "_started", "_status", "_write", "complete")

    def __init__(self, encode: Encode, write: Callable[[bytes], object]) -> None:
        self._encode = encode
        self._write = write
        self._headers: list[Header] = []
        self._status = 0
        self._started = False
        self.complete = False

    def start(self, message: Message) -> None:
        """Take `websocket.http.response.start`; it is written with its first body."""
        headers = checked(message.get("headers") or (), refused=b"connection")
        headers.append((b"connection", b"close"))
        self._status, self._headers = checked_status(message["status"]), headers

    def body(self, message: Message) -> None:
        data = checked_body(message.get("body", b""))
        more = message.get("more_body", False)
        if not self._started:
            self._write_head(data, more)
        if data or not more:
            self._write(self._encode(ResponseBody(data, more)))
        self.complete = not more

    def _write_head(self, data: bytes, more: bool) -> None:
        names = {name for name, _ in self._headers}
        if not more and b"content-length" not in names:
            self._headers.append((b"content-length", b"%d" % len(data)))
        self._started = True
        self._write(self._encode(Response(self._status, self._headers)))

    def plain(self, status: int, text: bytes) -> None:
        """Answer with a short text of our own."""
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        text += b"\n"
        self.start({"status": status, "headers": headers})
        self.body({"body": text})
