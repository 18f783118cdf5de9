"""Refusing a request or a WebSocket with an HTTP status, from wherever it is refused.

A WebSocket is refused before it is accepted: with a response where the server
offers the denial response extension, else by closing, which servers answer 403.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..types import Header, Receive, Scope, Send

__all__ = ["deny"]


async def deny(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    reason: str,
    headers: Iterable[Header] = (),
) -> None:
    """Answer an HTTP request or a WebSocket's handshake with `status`; `reason` is the body.

    `headers` go beside those that tell the body's type and length. Whoever calls this
    has read no event of the scope yet. ValueError for other types of scope, which have
    no such answer.
    """
    type_ = scope["type"]
    if type_ == "http":
        await _respond(send, "http.response", status, reason, headers)
    elif type_ == "websocket":
        if (await receive())["type"] != "websocket.connect":
            # The client did not wait for its answer.
            return
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await _respond(send, "websocket.http.response", status, reason, headers)
        else:
            await send({"type": "websocket.close"})
    else:
        raise ValueError(
            f"A scope of type {type_!r} cannot be denied with {status}: only 'http' and "
            "'websocket' have a response. Let through or end other scopes yourself."
        )


async def _respond(
    send: Send, prefix: str, status: int, reason: str, headers: Iterable[Header]
) -> None:
    body = reason.encode()
    all_headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": f"{prefix}.start", "status": status, "headers": all_headers})
    await send({"type": f"{prefix}.body", "body": body})
