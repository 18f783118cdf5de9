"""The chunked transfer coding, read: RFC 9112 section 7.1.

httptools decodes it too, but does not say at which byte a message ended, and the
bytes behind it may belong to another request or another protocol. So heads are
httptools' and bodies are counted here: every byte is still parsed once.

Strict on purpose, since a lenient reader behind a stricter proxy (or the reverse)
is how requests are smuggled: CRLF only, hexadecimal digits only, no spaces.
Chunk extensions and trailers are checked, bounded and dropped.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from .events import ProtocolError

# RFC 9112 7.1.1: a recipient bounds chunk extensions. Real size lines have some
# ten bytes; the longest extension known to be used, a signature, has a hundred.
MAX_SIZE_LINE: Final = 1024

# 15 digits: more bytes than exist, and no number that grows without end.
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class _Reading(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILERS = enum.auto()


class ChunkedReader:
    """Takes a chunked body apart, in pieces of any size.

    `done` is set at the end of the body, `error` where it is malformed.
    """

    __slots__ = ("_line", "_reading", "_remaining", "_trailer_room", "done", "error")

    def __init__(self, max_trailers: int) -> None:
        self.done = False
        self.error: ProtocolError | None = None
        self._reading = _Reading.SIZE
        self._line = bytearray()
        self._remaining = 0
        self._trailer_room = max_trailers

    def read(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Answer the body found in `data` from `start` on, and where reading stopped."""
        found: list[bytes] = []
        while start < len(data) and not self.done and self.error is None:
            if self._reading is _Reading.DATA:
                piece = data[start : start + self._remaining]
                start += len(piece)
                self._take(piece)
                found.append(piece)
            else:
                start = self._read_line(data, start)
        return (found[0] if len(found) == 1 else b"".join(found)), start

    def _take(self, piece: bytes) -> None:
        self._remaining -= len(piece)
        if not self._remaining:
            self._reading = _Reading.DATA_END

    def _read_line(self, data: bytes, start: int) -> int:
        end = data.find(b"\n", start) + 1
        whole = end > 0
        end = end or len(data)
        room = self._room() - len(self._line)
        self._line += data[start : min(end, start + room + 1)]
        if len(self._line) > self._room():
            self.error = self._too_long()
        elif whole:
            line = bytes(self._line)
            self._line.clear()
            self._receive_line(line)
        return end

    def _room(self) -> int:
        if self._reading is _Reading.SIZE:
            return MAX_SIZE_LINE
        return 2 if self._reading is _Reading.DATA_END else self._trailer_room

    def _too_long(self) -> ProtocolError:
        if self._reading is _Reading.TRAILERS:
            return ProtocolError(431, "The trailers are over the limit for headers.")
        return _malformed("a chunk's size line is too long or its end is missing")

    def _receive_line(self, line: bytes) -> None:
        if self._reading is _Reading.SIZE:
            self._receive_size(line)
        elif self._reading is _Reading.DATA_END:
            self._reading = _Reading.SIZE
            if line != b"\r\n":
                self.error = _malformed("a chunk is longer than its size")
        elif line == b"\r\n":
            self.done = True
        else:
            self._receive_trailer(line)

    def _receive_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            self.error = _malformed("a chunk's size is not a hexadecimal number")
            return
        self._remaining = int(match[1], 16)
        # The chunk of size 0 is the last one; only trailers follow it.
        self._reading = _Reading.DATA if self._remaining else _Reading.TRAILERS

    def _receive_trailer(self, line: bytes) -> None:
        # RFC 9110 6.5.1: trailers are not merged into headers; ASGI has no place for them.
        self._trailer_room -= len(line)
        if _TRAILER_LINE.fullmatch(line) is None:
            self.error = _malformed("a trailer is not a header field")


def _malformed(why: str) -> ProtocolError:
    return ProtocolError(400, f"Malformed chunked body: {why}.")
