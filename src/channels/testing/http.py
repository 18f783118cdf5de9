"""Sends one HTTP request to an application and collects the response."""

# ruff: noqa: ASYNC109 - the parameter `timeout` is part of the API.
from __future__ import annotations

from typing import Any, TypedDict
from urllib.parse import unquote, urlsplit

from ..types import Header, Message
from .application import ApplicationCommunicator


class Response(TypedDict):
    """What `get_response` returns."""

    status: int
    headers: list[Header]
    body: bytes


class HttpCommunicator(ApplicationCommunicator):
    """One request: `path` may have a query string; `body` is sent whole."""

    def __init__(
        self,
        application: Any,
        method: str,
        path: str,
        body: bytes = b"",
        headers: list[Header] | None = None,
    ) -> None:
        _require("method", method, str)
        _require("path", path, str)
        _require("body", body, bytes)
        url = urlsplit(path)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method.upper(),
            "path": unquote(url.path),
            "query_string": url.query.encode("utf-8"),
            "headers": headers or [],
        }
        super().__init__(application, scope)
        self.body = body
        self.sent_request = False

    async def get_response(self, timeout: float = 1) -> Response:
        """Send the request, at the first call, and return the whole response.

        `timeout` is the longest wait for each event of it.
        """
        if not self.sent_request:
            self.sent_request = True
            await self.send_input({"type": "http.request", "body": self.body})
        start = await self.receive_output(timeout)
        _expect(start, "http.response.start")
        body = await self._body(timeout)
        return {"status": start["status"], "headers": start.get("headers", []), "body": body}

    async def _body(self, timeout: float) -> bytes:
        body = b""
        while True:
            part = await self.receive_output(timeout)
            _expect(part, "http.response.body")
            chunk = part.get("body", b"")
            if not isinstance(chunk, bytes):
                raise AssertionError(f"The body of a response is bytes, but this is {chunk!r}")
            body += chunk
            if not part.get("more_body", False):
                return body


def _require(name: str, value: object, kind: type[Any]) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind.__name__}, not {value!r}")


def _expect(event: Message, kind: str) -> None:
    if event["type"] != kind:
        raise AssertionError(f"Expected type '{kind}', but was '{event['type']}'")
