"""The scope of one request or socket, out of its request head.

The path is percent-decoded and read as UTF-8. Bytes which are no UTF-8 become
U+FFFD: a path with lone surrogates breaks the first template, log or database
it meets. What the client really sent stays in `raw_path`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from ...types import Address, Scope
from ..wire.events import Request

SPEC_VERSION: Final = "2.5"


class Peers(NamedTuple):
    """Both ends of a connection, as ASGI writes them."""

    client: Address | None
    server: Address | None


def peers(peername: Any, sockname: Any) -> Peers:
    """Both ends out of what the socket says; a Unix socket has a path and no port."""
    return Peers(_address(peername), _address(sockname))


def _address(name: Any) -> Address | None:
    if isinstance(name, tuple) and len(name) >= 2:
        return (name[0], name[1])
    if isinstance(name, bytes):
        name = name.decode("utf-8", "surrogateescape")
    if isinstance(name, str) and name:
        return (name, None)
    return None


def split_target(target: bytes) -> tuple[str, bytes, bytes]:
    """The decoded path, the raw path and the query string of a request target."""
    raw_path, _, query = target.partition(b"?")
    if not raw_path.startswith(b"/"):
        raw_path = _path_of_absolute(raw_path)
    if b"%" in raw_path:
        return unquote_to_bytes(raw_path).decode("utf-8", "replace"), raw_path, query
    return raw_path.decode("utf-8", "replace"), raw_path, query


def _path_of_absolute(target: bytes) -> bytes:
    # RFC 9112 3.2.2: servers accept the absolute form; "*" stays as it is.
    _, found, rest = target.partition(b"://")
    if not found:
        return target
    return b"/" + rest.partition(b"/")[2]


def http_scope(request: Request, peers: Peers, root_path: str, state: dict[str, Any]) -> Scope:
    path, raw_path, query = split_target(request.target)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": request.headers,
        "client": peers.client,
        "server": peers.server,
        "state": state.copy(),
    }


def websocket_scope(
    request: Request,
    subprotocols: list[str],
    peers: Peers,
    root_path: str,
    state: dict[str, Any],
) -> Scope:
    path, raw_path, query = split_target(request.target)
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": request.http_version,
        "scheme": "ws",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": request.headers,
        "client": peers.client,
        "server": peers.server,
        "subprotocols": subprotocols,
        "state": state.copy(),
        "extensions": {"websocket.http.response": {}},
    }
