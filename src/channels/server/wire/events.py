"""What an HTTP core says and is told, whatever the version of HTTP.

Named tuples, because they are made once or more per request and a frozen
dataclass costs twice as much. Header names are lower-case bytes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from ...types import Header


class Waiting(enum.Enum):
    """Why `next_event` has no event."""

    NEED_DATA = "need data"
    PAUSED = "paused"


# More bytes must arrive first.
NEED_DATA: Final = Waiting.NEED_DATA
# The request is read to its end; what follows waits for `start_next_cycle`.
PAUSED: Final = Waiting.PAUSED

NeedData = Literal[Waiting.NEED_DATA]
Paused = Literal[Waiting.PAUSED]


class Request(NamedTuple):
    """The head of a request.

    `target` is the bytes of the request line, untouched. `upgrade` is None
    unless the client may and does ask to change protocols; it is `b"websocket"`
    whenever that is among the protocols asked for. `keep_alive` is what the
    client asks; `expects_continue`: its body waits for a `100 Continue`.
    """

    method: str
    target: bytes
    headers: list[Header]
    http_version: str
    upgrade: bytes | None
    expects_continue: bool
    keep_alive: bool


class Body(NamedTuple):
    """Some of the request's body, as it arrived; never empty."""

    data: bytes


class EndOfRequest(NamedTuple):
    """The request has been read whole."""


class ProtocolError(NamedTuple):
    """The client broke the protocol: answer `status` with `headers`, then close."""

    status: int
    reason: str
    headers: tuple[Header, ...] = ()


class Informational(NamedTuple):
    """An interim answer (1xx), such as `100 Continue`."""

    status: int
    headers: Iterable[Header] = ()


class Response(NamedTuple):
    """The head of the answer."""

    status: int
    headers: Iterable[Header]


class ResponseBody(NamedTuple):
    """Some of the answer's body; with `more` false, the last of it."""

    data: bytes
    more: bool


class LocalProtocolError(Exception):
    """Our own side asked for something that the protocol does not allow."""
