"""HTTP/1.1, the server's end: RFC 9112 and the parts of RFC 9110 it stands on.

httptools (llhttp) reads every head, strictly. It cannot say where a message
ended, so it is never shown a byte behind the empty line that ends a head: what
follows is counted here, as body, and all behind that waits untouched, be it the
next request or another protocol's first bytes. What llhttp lets through and a
server should not is refused in `head.py`.

Nothing piles up: each call of `next_event` reads as far as the next event.
"""

from __future__ import annotations

import enum
from typing import Final

import httptools

from .chunked import ChunkedReader
from .events import (
    NEED_DATA,
    PAUSED,
    Body,
    EndOfRequest,
    Informational,
    LocalProtocolError,
    NeedData,
    Paused,
    ProtocolError,
    Request,
    Response,
    ResponseBody,
)
from .head import NOT_SPOKEN, H1Limits, Head, build_request, judge, malformed, too_large
from .response import ResponseWriter

__all__ = ["Event", "H1Connection", "H1Limits"]

Event = Request | Body | EndOfRequest | ProtocolError

_END_OF_HEAD: Final = b"\r\n\r\n"
# Beside target and fields a head has a method and a version (the longest method
# llhttp knows has 13 letters), and empty lines before it (RFC 9112 2.2).
_REST_OF_HEAD: Final = 64


class _Reading(enum.Enum):
    HEAD = enum.auto()
    COUNTED = enum.auto()
    CHUNKED = enum.auto()
    END = enum.auto()
    PAUSED = enum.auto()
    FAILED = enum.auto()


# Python 3.11 takes 90 ns to look up a member of an enum, ten times as much as a global.
_IN_HEAD: Final = _Reading.HEAD
_IN_COUNTED: Final = _Reading.COUNTED
_IN_CHUNKED: Final = _Reading.CHUNKED
_AT_END: Final = _Reading.END
_PAUSED: Final = _Reading.PAUSED
_FAILED: Final = _Reading.FAILED


class H1Connection:
    """The server's end of one HTTP/1.1 (or 1.0) connection, request after request."""

    __slots__ = (
        "_chunks",
        "_eof",
        "_fed",
        "_head",
        "_limits",
        "_most",
        "_parser",
        "_pieces",
        "_position",
        "_reading",
        "_remaining",
        "_tail",
        "_writer",
    )

    def __init__(self, limits: H1Limits) -> None:
        self._limits = limits
        self._most = limits.max_line + limits.max_headers_size + _REST_OF_HEAD
        self._writer = ResponseWriter()
        # What arrived and was not read yet; reading stands at _position of the first.
        # A list, and not a deque, which is 600 bytes for every connection.
        self._pieces: list[bytes] = []
        self._position = 0
        self._eof = False
        self._reading: _Reading = _IN_HEAD
        # While a head is being read: how much of it was, and its last three bytes.
        self._parser: httptools.HttpRequestParser | None = None
        self._head: Head | None = None
        self._fed = 0
        self._tail = b""
        # While a body is being read.
        self._remaining = 0
        self._chunks: ChunkedReader | None = None

    # -- reading -----------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they came; `b""` says that none will follow."""
        if not data:
            self._eof = True
        elif self._reading is not _FAILED:
            self._pieces.append(data)

    def next_event(self) -> Event | NeedData | Paused:
        """Answer what comes next; after a ProtocolError that is nothing."""
        while True:
            if self._reading is _AT_END:
                self._reading = _PAUSED
                return EndOfRequest()
            if self._reading is _PAUSED:
                return PAUSED
            if not self._pieces:
                return self._starve()
            event = self._read()
            if event is not None:
                return event

    def _starve(self) -> ProtocolError | NeedData:
        head = self._head
        between = self._reading is _IN_HEAD and (head is None or not head.started)
        if not self._eof or between or self._reading is _FAILED:
            return NEED_DATA
        # RFC 9112 8: a request cut off is incomplete, and not to be acted on.
        return self._fail(ProtocolError(400, "The client closed in the middle of a request."))

    def _read(self) -> Event | None:
        if self._reading is _IN_HEAD:
            return self._read_head()
        if self._reading is _IN_COUNTED:
            return self._read_counted()
        return self._read_chunked()

    def _advance(self, position: int) -> None:
        self._position = position
        if position == len(self._pieces[0]):
            # Joined, what has piled up meanwhile is gone through at linear cost.
            self._pieces[:] = [b"".join(self._pieces[1:])] if len(self._pieces) > 1 else []
            self._position = 0

    def _fail(self, error: ProtocolError) -> ProtocolError:
        self._reading = _FAILED
        self._writer.keep_alive = False
        self._pieces.clear()
        self._position = 0
        self._parser = self._head = self._chunks = None
        return error

    # -- heads -------------------------------------------------------------

    def _read_head(self) -> Request | ProtocolError | None:
        if self._parser is None or self._head is None:
            self._head = Head(self._limits)
            self._parser = httptools.HttpRequestParser(self._head)
        error = _feed(self._parser, self._head, self._take_of_head())
        if error is not None:
            return self._fail(error)
        if self._fed > self._most:
            return self._fail(too_large(self._limits))
        return self._finish_head(self._parser, self._head) if self._head.complete else None

    def _take_of_head(self) -> bytes:
        """Take what belongs to this head: up to an empty line, and a byte over the limit."""
        piece, start = self._pieces[0], self._position
        end = min(self._find_end(piece, start), start + self._most + 1 - self._fed)
        part = piece[start:end]
        self._fed += end - start
        self._tail = (self._tail + part[-3:])[-3:]
        self._advance(end)
        return part

    def _find_end(self, piece: bytes, start: int) -> int:
        # The empty line may have begun in earlier pieces.
        if self._tail:
            seam = (self._tail + piece[start : start + 3]).find(_END_OF_HEAD)
            if seam >= 0:
                return start + seam + 4 - len(self._tail)
        found = piece.find(_END_OF_HEAD, start)
        return found + 4 if found >= 0 else len(piece)

    def _finish_head(
        self, parser: httptools.HttpRequestParser, head: Head
    ) -> Request | ProtocolError:
        method, version = parser.get_method(), parser.get_http_version()
        error = head.settle(self._fed) or judge(method, version, head)
        if error is not None:
            return self._fail(error)
        self._expect_body(head)
        request = build_request(method, version, head, self._reading is not _AT_END)
        self._parser = self._head = None
        self._fed = 0
        self._tail = b""
        self._writer.begin(request)
        return request

    def _expect_body(self, head: Head) -> None:
        # RFC 9112 6.3: chunks, a length, or no body. That only one is given was checked.
        if b"transfer-encoding" in head.known:
            self._chunks = ChunkedReader(self._limits.max_headers_size)
            self._reading = _IN_CHUNKED
            return
        (length,) = head.known.get(b"content-length", (b"0",))
        # Python refuses numbers of thousands of digits, even if all are zero.
        self._remaining = int(length.lstrip(b"0") or b"0")
        self._reading = _IN_COUNTED if self._remaining else _AT_END

    # -- bodies ------------------------------------------------------------

    def _read_counted(self) -> Body:
        piece, start = self._pieces[0], self._position
        data = piece[start : start + self._remaining]
        self._remaining -= len(data)
        if not self._remaining:
            self._reading = _AT_END
        self._advance(start + len(data))
        self._writer.body_arrived()
        return Body(data)

    def _read_chunked(self) -> Body | ProtocolError | None:
        chunks = self._chunks
        assert chunks is not None, "a chunked body has its reader from its head on"
        if chunks.error is not None:
            return self._fail(chunks.error)
        data, end = chunks.read(self._pieces[0], self._position)
        self._writer.body_arrived()
        if chunks.error is not None and not data:
            return self._fail(chunks.error)
        # The error of a piece that still had some body comes with the next call.
        if chunks.error is None:
            self._advance(end)
        if chunks.done:
            self._chunks = None
            self._reading = _AT_END
        return Body(data) if data else None

    # -- turning over ------------------------------------------------------

    def start_next_cycle(self) -> None:
        """Go on to the next request, after this one was read and answered whole."""
        if self._reading is not _PAUSED or not self._writer.complete or not self.keep_alive:
            raise LocalProtocolError(
                "The next request can be read only after EndOfRequest, a complete response, and "
                "if the connection is kept alive."
            )
        self._reading = _IN_HEAD
        self._writer.rest()

    @property
    def has_unread(self) -> bool:
        """Whether bytes arrived that no event has told of yet, the next requests among them."""
        return bool(self._pieces)

    def take_remainder(self) -> bytes:
        """Take what arrived behind the head of a request that changes the protocol."""
        if self._reading not in (_AT_END, _PAUSED):
            raise LocalProtocolError("Only a request without a body can change the protocol.")
        remainder = b"".join(self._pieces)[self._position :]
        self._pieces.clear()
        self._position = 0
        return remainder

    # -- writing -----------------------------------------------------------

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may be used again after this response.

        It must be closed all the same if the request's body is not read to its end.
        """
        return self._writer.keep_alive

    def send(self, event: Informational | Response | ResponseBody) -> bytes:
        """Write the bytes of `event`; LocalProtocolError if it may not be sent now, or at all.

        The body of an answer to HEAD, of a 204 and of a 304 is left out.
        """
        return self._writer.send(event)


def _feed(parser: httptools.HttpRequestParser, head: Head, part: bytes) -> ProtocolError | None:
    head.started = head.started or bool(part.strip(b"\r\n"))
    try:
        parser.feed_data(part)
    except httptools.HttpParserUpgrade:
        # What stands behind the head is ours to read in any case.
        pass
    except httptools.HttpParserError as error:
        return head.error or _explain(str(error))
    return head.error


def _explain(error: str) -> ProtocolError:
    # RFC 9110 15.6.6: another major version gets 505. llhttp has one text for a version that
    # it does not know, and another for the preface of HTTP/2.
    if error in ("Invalid HTTP version", "Pause on PRI/Upgrade"):
        return NOT_SPOKEN
    return malformed(error)
