"""The opening handshake, server side: RFC 6455 section 4.2.

`check` judges what the HTTP core read; `accept_response` writes the 101. Which
subprotocol is spoken is the application's choice, out of those offered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from ....types import Header
from ..events import ProtocolError, Request
from ..fields import is_token, list_items, write_fields

# RFC 6455 1.3: what a server adds to the key, so that only one that knows
# WebSocket can answer.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"

# What the 101 says itself, or must not say (RFC 9110 8.6 and RFC 9112 6.1: an
# interim answer has no length and no transfer coding). Besides all sec-websocket-*.
_OURS: Final = frozenset((b"upgrade", b"connection", b"content-length", b"transfer-encoding"))


class Handshake(NamedTuple):
    """What the client asked for; `extensions` are its offers as they came, in order."""

    key: bytes
    subprotocols: list[str]
    extensions: list[bytes]


def check(request: Request) -> Handshake | ProtocolError:
    """Judge a request that asks for a WebSocket."""
    return _check_request(request) or _check_fields(request)


def _check_request(request: Request) -> ProtocolError | None:
    # RFC 6455 4.2.1, 1: a GET of HTTP/1.1 (a body would be read as frames).
    if request.method != "GET" or request.http_version != "1.1":
        return _refuse("a WebSocket opens with a GET of HTTP/1.1")
    if _has_body(request):
        return _refuse("a request for a WebSocket has no body")
    # 2 to 4: the host, and both halves of the request to upgrade.
    if len(_values(request, b"host")) != 1:
        return _refuse("a request needs exactly one Host header")
    if request.upgrade != b"websocket":
        return _refuse("the headers must say Upgrade: websocket and Connection: Upgrade")
    return None


def _check_fields(request: Request) -> Handshake | ProtocolError:
    keys = _values(request, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return _refuse("there must be one Sec-WebSocket-Key, the base64 of 16 bytes")
    # RFC 6455 4.4: another version is answered with the one we speak.
    if _values(request, b"sec-websocket-version") != [_VERSION]:
        return ProtocolError(
            426,
            "Only version 13 of WebSocket is spoken here.",
            (
                (b"sec-websocket-version", _VERSION),
                # RFC 9110 15.5.22: a 426 names the protocol, as a hop's own field.
                (b"upgrade", b"websocket"),
                (b"connection", b"upgrade"),
            ),
        )
    subprotocols = list_items(_values(request, b"sec-websocket-protocol"))
    if not all(map(is_token, subprotocols)):
        return _refuse("a name in Sec-WebSocket-Protocol is not a token")
    extensions = list_items(_values(request, b"sec-websocket-extensions"))
    return Handshake(keys[0], [name.decode("ascii") for name in subprotocols], extensions)


def _values(request: Request, name: bytes) -> list[bytes]:
    return [value for key, value in request.headers if key == name]


def _has_body(request: Request) -> bool:
    lengths = _values(request, b"content-length")
    # Not int(): Python refuses thousands of digits, even if all are zero.
    return any(length.strip(b"0") for length in lengths) or bool(
        _values(request, b"transfer-encoding")
    )


def _is_key(value: bytes) -> bool:
    # RFC 6455 4.2.1, 5: 16 bytes in base64.
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def _refuse(why: str) -> ProtocolError:
    return ProtocolError(400, f"WebSocket handshake refused: {why}.")


def accept_response(
    handshake: Handshake, subprotocol: str | None, headers: Iterable[Header]
) -> bytes:
    """Write the 101 that opens the WebSocket.

    ValueError for a subprotocol that was not offered, and for a header that
    belongs to the handshake itself or cannot be sent.
    """
    fields = [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", _accept(handshake.key)),
    ]
    if subprotocol is not None:
        fields.append((b"sec-websocket-protocol", _chosen(handshake, subprotocol)))
    extra = list(headers)
    lines = write_fields(fields) + write_fields(extra)
    _check_extra(extra)
    return b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n"


def _accept(key: bytes) -> bytes:
    # RFC 6455 4.2.2, 5.4.
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _chosen(handshake: Handshake, subprotocol: str) -> bytes:
    # RFC 6455 4.2.2: the one chosen is one that the client offered.
    if subprotocol not in handshake.subprotocols:
        # Not which were offered: projects pass tokens among them, and this is logged.
        raise ValueError(
            f"Subprotocol {subprotocol!r} was not offered by the client, which offered "
            f"{len(handshake.subprotocols)}. Accept one of scope['subprotocols'], or none."
        )
    return subprotocol.encode("ascii")


def _check_extra(headers: list[Header]) -> None:
    for name, _ in headers:
        lower = name.lower()
        if lower == b"sec-websocket-protocol":
            raise ValueError(
                "The subprotocol goes into the `subprotocol` of websocket.accept, not into a "
                "Sec-WebSocket-Protocol header."
            )
        if lower in _OURS or lower.startswith(b"sec-websocket-"):
            raise ValueError(
                f"Header {name!r} belongs to the WebSocket handshake; leave it out of the "
                "headers of websocket.accept."
            )
