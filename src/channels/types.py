"""The shapes that cross ASGI: scopes, messages, and the callables between them.

A leaf: it imports the standard library alone, and everything else may import
it. ASGI 3.0, HTTP & WebSocket message format 2.5, lifespan 2.0.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Literal, NotRequired, Protocol, TypedDict

# Middleware adds keys of its own to scopes, and layers carry messages of any
# type, so the open forms are what most code is written against.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
Address = tuple[str, int | None]


class ASGIApplication(Protocol):
    """An ASGI 3 application: one awaitable call per scope."""

    def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> Awaitable[None]: ...


class ClientDisconnected(OSError):
    """Raised by `send` once the client has gone (ASGI HTTP & WebSocket 2.4)."""


class ASGIVersions(TypedDict):
    version: Literal["3.0"]
    spec_version: str


class HTTPScope(TypedDict):
    type: Literal["http"]
    asgi: ASGIVersions
    http_version: str
    method: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    root_path: str
    headers: list[Header]
    client: Address | None
    server: Address | None
    state: NotRequired[dict[str, Any]]
    extensions: NotRequired[dict[str, dict[str, Any]]]


class WebSocketScope(TypedDict):
    type: Literal["websocket"]
    asgi: ASGIVersions
    http_version: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    root_path: str
    headers: list[Header]
    client: Address | None
    server: Address | None
    subprotocols: list[str]
    state: NotRequired[dict[str, Any]]
    extensions: NotRequired[dict[str, dict[str, Any]]]


class LifespanScope(TypedDict):
    type: Literal["lifespan"]
    asgi: ASGIVersions
    state: NotRequired[dict[str, Any]]


class ChannelScope(TypedDict):
    """What a worker's consumer gets: the named channel it reads."""

    type: Literal["channel"]
    channel: str


class WebSocketAccept(TypedDict):
    type: Literal["websocket.accept"]
    subprotocol: NotRequired[str | None]
    headers: NotRequired[Iterable[Header]]


class WebSocketReceive(TypedDict):
    type: Literal["websocket.receive"]
    text: NotRequired[str | None]
    bytes: NotRequired[bytes | None]


class WebSocketDisconnect(TypedDict):
    type: Literal["websocket.disconnect"]
    code: int
    reason: NotRequired[str]
