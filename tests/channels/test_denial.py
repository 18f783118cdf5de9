"""A scope that is denied: a response where one can be sent, else a close."""

from __future__ import annotations

from typing import Any

import pytest
from calls import CONNECT, call, http_scope, websocket_scope
from tokens import EXTENSION

from channels.security.denial import deny


def test_a_request_is_denied_with_a_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await deny(scope, receive, send, 403, "Not för you.", [(b"x-why", b"1")])

    start, body = call(app, http_scope())
    assert (start["type"], start["status"]) == ("http.response.start", 403)
    assert start["headers"] == [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"13"),
        (b"x-why", b"1"),
    ]
    assert body == {"type": "http.response.body", "body": "Not för you.".encode()}
    start, body = call(app, websocket_scope(**EXTENSION), [CONNECT])
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert body["type"] == "websocket.http.response.body"


def test_a_websocket_without_the_extension_is_denied_by_closing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await deny(scope, receive, send, 403, "No.")

    assert call(app, websocket_scope(), [CONNECT]) == [{"type": "websocket.close"}]
    gone = {"type": "websocket.disconnect", "code": 1006}
    assert call(app, websocket_scope(), [gone]) == []
    with pytest.raises(ValueError, match="A scope of type 'channel' cannot be denied with 403"):
        call(app, {"type": "channel"})
