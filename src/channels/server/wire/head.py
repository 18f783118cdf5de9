"""The head of an HTTP/1.1 request: collected, judged, and made a Request.

llhttp has checked every line of it; here stand the limits, and the rules about
what the lines mean together (RFC 9112 3.2, 6.1 and 6.3), which decide where the
body ends and so whether two readers can disagree about it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ...types import Header
from .events import ProtocolError, Request
from .fields import list_items

# RFC 9112 3.2, RFC 3986 3.2.2: what a host and its port are made of.
_HOST: Final = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=%:\[\]]*")
# The fields that are acted on.
_KNOWN: Final = frozenset(
    (b"host", b"connection", b"upgrade", b"expect", b"content-length", b"transfer-encoding")
)

NOT_SPOKEN: Final = ProtocolError(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")


@dataclass(frozen=True)
class H1Limits:
    """How large a head may be, in bytes."""

    # Twisted's longest line, and twice what RFC 9112 3 asks for.
    max_line: int = 16 * 1024
    # Room for single sign-on tokens; nginx allows 32 KiB, h11 64.
    max_headers_size: int = 64 * 1024
    # Apache's LimitRequestFields.
    max_header_count: int = 100


def too_large(limits: H1Limits) -> ProtocolError:
    return ProtocolError(
        431,
        f"The headers are over {limits.max_headers_size} bytes "
        f"or {limits.max_header_count} fields.",
    )


def malformed(why: str) -> ProtocolError:
    return ProtocolError(400, f"Malformed request: {why}.")


class Head:
    """What httptools calls back with, for one request."""

    __slots__ = ("_fields", "_limits", "complete", "error", "headers", "known", "started", "target")

    def __init__(self, limits: H1Limits) -> None:
        self._limits = limits
        self._fields: list[Header] = []
        self.started = False
        self.complete = False
        self.error: ProtocolError | None = None
        self.target = b""
        # Filled by `settle`: all fields, and the values of those that are acted on.
        self.headers: list[Header] = []
        self.known: dict[bytes, list[bytes]] = {}

    def on_url(self, part: bytes) -> None:
        self.target += part
        if len(self.target) > self._limits.max_line:
            limit = self._limits.max_line
            self.error = self.error or ProtocolError(414, f"The target is over {limit} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._fields) < self._limits.max_header_count:
            self._fields.append((name, value))
        else:
            self.error = self.error or too_large(self._limits)

    def on_headers_complete(self) -> None:
        self.complete = True

    def settle(self, size: int) -> ProtocolError | None:
        """Take the fields over, once they are complete; the head had `size` bytes in all."""
        fields = self._fields
        limit = self._limits.max_headers_size
        if size > limit and sum(len(name) + len(value) + 4 for name, value in fields) > limit:
            return too_large(self._limits)
        # RFC 9112 5: space around a value does not belong to it. CVE-2015-0219: X_Auth and
        # X-Auth become one name in WSGI's (and Django's) environ, so a client could put
        # itself in the place of a proxy.
        self.headers = [
            (name.lower(), value.strip(b" \t")) for name, value in fields if b"_" not in name
        ]
        for name, value in self.headers:
            if name in _KNOWN:
                self.known.setdefault(name, []).append(value)
        return None


def judge(method: bytes, version: str, head: Head) -> ProtocolError | None:
    """Refuse what llhttp lets through and a server should not."""
    if version not in ("1.0", "1.1"):
        return NOT_SPOKEN
    # RFC 9110 9.3.6: CONNECT asks for a tunnel; this is no proxy.
    if method == b"CONNECT":
        return ProtocolError(501, "CONNECT is for proxies.")
    # RFC 9112 3.2: a target has no fragment; proxies disagree on what it would mean.
    if b"#" in head.target:
        return malformed("the target has a fragment")
    return _judge_host(version, head.known.get(b"host", [])) or _judge_coding(version, head.known)


def _judge_host(version: str, hosts: list[bytes]) -> ProtocolError | None:
    # RFC 9112 3.2: exactly one Host (HTTP/1.0 may do without), and a valid one.
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        return malformed(f"it needs one Host header, not {len(hosts)}")
    if hosts and not _HOST.fullmatch(hosts[0]):
        return malformed("its Host header is not a host")
    return None


def _judge_coding(version: str, known: dict[bytes, list[bytes]]) -> ProtocolError | None:
    coding = known.get(b"transfer-encoding", [])
    lengths = known.get(b"content-length", [])
    if not coding and not lengths:
        return None
    codings = [name.lower() for name in list_items(coding)]
    # RFC 9112 6.1: both at once, or chunks from HTTP/1.0, are how requests are smuggled.
    if coding and (lengths or version == "1.0"):
        return malformed("Transfer-Encoding stands with Content-Length or with HTTP/1.0")
    if coding and codings != [b"chunked"]:
        return ProtocolError(501, "The only transfer coding understood is chunked.")
    if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
        return malformed("Content-Length is not one number")
    return None


def build_request(method: bytes, version: str, head: Head, has_body: bool) -> Request:
    """Make a Request of a head that was judged."""
    known = head.known
    options = [option.lower() for option in list_items(known.get(b"connection", []))]
    # RFC 9112 9.3: HTTP/1.1 goes on unless told to close, HTTP/1.0 only if told to go on.
    keep_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
    expects = version == "1.1" and has_body and _expects_continue(known.get(b"expect", []))
    upgrade = _upgrade(version, options, known.get(b"upgrade", []))
    return Request(
        method.decode("ascii"), head.target, head.headers, version, upgrade, expects, keep_alive
    )


def _expects_continue(values: list[bytes]) -> bool:
    # RFC 9110 10.1.1.
    return b"100-continue" in (value.lower() for value in values)


def _upgrade(version: str, options: list[bytes], values: list[bytes]) -> bytes | None:
    # RFC 9110 7.8: Upgrade counts if Connection names it, and never from HTTP/1.0.
    if not values or version == "1.0" or b"upgrade" not in options:
        return None
    protocols = [protocol.lower() for protocol in list_items(values)]
    return b"websocket" if b"websocket" in protocols else b", ".join(protocols)
