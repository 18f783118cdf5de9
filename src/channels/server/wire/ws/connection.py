"""One WebSocket after its handshake: bytes to messages and messages to bytes.

RFC 6455 sections 5 to 8. Every limit is checked from the head of a frame, before
its payload is kept; bytes may arrive in pieces of any size at linear cost; and
after a close or an error nothing more is read.

`next_event` opens with a shortcut: what arrived is exactly one short, whole
message and nothing is open. That is nearly every frame of a chat, and costs a
third of the general way below it.
"""

from __future__ import annotations

import codecs
from typing import Final, NamedTuple

from ..events import NEED_DATA, LocalProtocolError, NeedData
from .frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV,
    TEXT,
    TEXT_HEADS,
    FrameHead,
    WSError,
    encode_binary,
    encode_control,
    encode_text,
    may_close_with,
    read_head,
    unmask,
)

__all__ = [
    "BinaryMessage",
    "CloseReceived",
    "Event",
    "Ping",
    "Pong",
    "TextMessage",
    "WSConnection",
    "WSError",
]


class TextMessage(NamedTuple):
    """A whole text message."""

    text: str


class BinaryMessage(NamedTuple):
    """A whole binary message."""

    data: bytes


class Ping(NamedTuple):
    """To be answered with `pong(data)`."""

    data: bytes


class Pong(NamedTuple):
    """The answer to a ping of ours, or unasked for."""

    data: bytes


class CloseReceived(NamedTuple):
    """The client closes; `code` is 1005 if it gave none (answer with `close(None)`)."""

    code: int
    reason: str


Event = TextMessage | BinaryMessage | Ping | Pong | CloseReceived | WSError

_UNLIMITED: Final = 1 << 63
# The longest payload of the shortcut: it fits the short form of the length.
_SHORT: Final = 125
_WHOLE_TEXT: Final = 0x80 | TEXT
_WHOLE_BINARY: Final = 0x80 | BINARY
_WHOLE: Final = frozenset((_WHOLE_TEXT, _WHOLE_BINARY))
# A short frame read as one little-endian number: two bytes of head, four of mask,
# the payload (RFC 6455 5.2). What _MASK leaves of it, times the number at the
# payload's length, is the mask repeated over the payload, at its place.
_MASK: Final = 0xFFFFFFFF0000
_REPEAT: Final = tuple(
    int.from_bytes(b"\1\0\0\0" * ((length + 3) // 4), "little") << 32
    for length in range(_SHORT + 1)
)
_from_bytes: Final = int.from_bytes
# A named tuple's own constructor costs twice as much.
_new: Final = tuple.__new__
_Decoder: Final = codecs.getincrementaldecoder("utf-8")


class WSConnection:
    """The server's end of one WebSocket.

    `max_message_size`, `max_frame_size`: bytes of payload; 0 is no limit.
    """

    __slots__ = (
        "_data",
        "_decoder",
        "_ended",
        "_max_frame",
        "_max_message",
        "_message",
        "_needed",
        "_opcode",
        "_position",
        "_refused_bits",
        "_short",
        "_shortest",
        "close_received",
        "close_sent",
    )

    def __init__(self, max_message_size: int = 1 << 20, max_frame_size: int = 1 << 20) -> None:
        self.close_sent = False
        self.close_received = False
        self._max_message = max_message_size or _UNLIMITED
        self._max_frame = max_frame_size or _UNLIMITED
        self._shortest = min(_SHORT, self._max_message, self._max_frame)
        # The longest payload that may take the shortcut now: none (-1) while a
        # message is open.
        self._short = self._shortest
        # What arrived and was not read yet starts at _position of _data; fewer
        # than _needed bytes are not worth a look.
        self._data: bytes | bytearray = b""
        self._position = 0
        self._needed = 0
        self._ended = False
        # The message that is open: its opcode (0: none), its bytes so far, and
        # for text what checks its UTF-8 across fragments.
        self._opcode = 0
        self._message = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        # An extension that uses RSV1 takes that bit out of here.
        self._refused_bits = RSV

    # -- reading -----------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they came from the client."""
        if self._data:
            self._append(data)
        elif not self._ended:
            self._data = data

    def _append(self, data: bytes) -> None:
        # A bytearray grows at its end and shrinks at its start without moving the
        # rest, so small pieces cost no more than large ones.
        buffer = self._data
        if not isinstance(buffer, bytearray):
            buffer = self._data = bytearray(buffer)
        if self._position:
            del buffer[: self._position]
            self._position = 0
        buffer += data

    def next_event(self) -> Event | NeedData:
        """Answer what the bytes say next; nothing follows a CloseReceived or WSError."""
        data = self._data
        if not data:
            return NEED_DATA
        length = len(data) - 6
        # Where more than one frame has arrived, byte 1 never fits the length of all.
        if 0 <= length <= self._short and data[1] == 0x80 | length:
            first = data[0]
            if first == _WHOLE_TEXT or first == _WHOLE_BINARY:
                self._data = b""
                number = _from_bytes(data, "little")
                number ^= (number & _MASK) * _REPEAT[length]
                payload = number.to_bytes(length + 9, "little")[6 : 6 + length]
                if first == _WHOLE_BINARY:
                    return _new(BinaryMessage, (payload,))
                try:
                    return _new(TextMessage, (payload.decode(),))
                except UnicodeDecodeError:
                    return self._fail(_BAD_UTF8)
        return self._next_frame()

    def _next_frame(self) -> Event | NeedData:
        while True:
            payload = self._take_short()
            if payload is not None:
                return self._finish(*payload)
            frame = self._take_frame()
            if frame is NEED_DATA:
                return NEED_DATA
            event = self._fail(frame) if isinstance(frame, WSError) else self._receive(*frame)
            if event is not None:
                return event

    def _take_short(self) -> tuple[int, bytes] | None:
        """Take a short, whole message, one of several that arrived together."""
        data, start = self._data, self._position
        if len(data) - start < 6 or data[start] not in _WHOLE:
            return None
        begin = start + 6
        end = begin + data[start + 1] - 0x80
        if not begin <= end <= min(begin + self._short, len(data)):
            return None
        payload = unmask(data[begin:end], bytes(data[start + 2 : begin]))
        opcode = data[start] & 0x0F
        self._consume(end)
        return opcode, payload

    def _take_frame(self) -> tuple[FrameHead, bytes] | WSError | NeedData:
        data, start = self._data, self._position
        if len(data) - start < self._needed:
            return NEED_DATA
        head = read_head(data, start, self._refused_bits)
        if head is None:
            return NEED_DATA
        if isinstance(head, WSError):
            return head
        error = self._check(head)
        if error is not None:
            return error
        begin = start + head.size
        end = begin + head.length
        if len(data) < end:
            # The shortcut must never leave this behind, so it is for longer frames.
            self._needed = end - start if head.length > _SHORT else 0
            return NEED_DATA
        payload = unmask(data[begin:end], head.mask)
        self._consume(end)
        return head, payload

    def _consume(self, end: int) -> None:
        self._needed = 0
        self._position = end
        if end == len(self._data):
            self._data = b""
            self._position = 0

    def _check(self, head: FrameHead) -> WSError | None:
        if head.opcode >= CLOSE:
            return None
        # RFC 6455 5.4: fragments of one message are not mixed with another's.
        if head.opcode == CONTINUATION and not self._opcode:
            return WSError(1002, "A continuation frame, but no message is open.")
        if head.opcode != CONTINUATION and self._opcode:
            return WSError(1002, "A new message before the open one was finished.")
        # RFC 6455 10.4: limits on frames and on what fragments add up to.
        if head.length > self._max_frame:
            return WSError(1009, f"A frame may have {self._max_frame} bytes, not {head.length}.")
        total = len(self._message) + head.length
        if total > self._max_message:
            return WSError(1009, f"A message may have {self._max_message} bytes, not {total}.")
        return None

    def _receive(self, head: FrameHead, payload: bytes) -> Event | None:
        if head.opcode == PING:
            return Ping(payload)
        if head.opcode == PONG:
            return Pong(payload)
        if head.opcode == CLOSE:
            return self._receive_close(payload)
        if head.fin and not self._opcode:
            return self._finish(head.opcode, payload)
        return self._receive_fragment(head, payload)

    def _receive_fragment(self, head: FrameHead, payload: bytes) -> Event | None:
        if head.opcode != CONTINUATION:
            self._open(head.opcode)
        # RFC 6455 8.1: text is checked as it comes, not when it is whole, so bad
        # text cannot be sent for as long as the client likes.
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, head.fin)
            except UnicodeDecodeError:
                return self._fail(_BAD_UTF8)
        self._message += payload
        if not head.fin:
            return None
        opcode, message = self._opcode, bytes(self._message)
        self._shut()
        return self._finish(opcode, message)

    def _open(self, opcode: int) -> None:
        self._opcode = opcode
        self._decoder = _Decoder() if opcode == TEXT else None
        self._short = -1

    def _shut(self) -> None:
        self._opcode = 0
        self._decoder = None
        self._message.clear()
        self._short = self._shortest

    def _finish(self, opcode: int, payload: bytes) -> Event:
        if opcode == BINARY:
            return BinaryMessage(payload)
        try:
            return TextMessage(payload.decode())
        except UnicodeDecodeError:
            return self._fail(_BAD_UTF8)

    def _receive_close(self, payload: bytes) -> Event:
        # RFC 6455 5.5.1: nothing at all, or a code of two bytes and a UTF-8 reason.
        if len(payload) == 1:
            return self._fail(WSError(1002, "A close frame of one byte has no code."))
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        if payload and not may_close_with(code):
            return self._fail(WSError(1002, f"Close code {code} must not be sent."))
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            return self._fail(_BAD_UTF8)
        self.close_received = True
        self._end()
        return CloseReceived(code, reason)

    def _fail(self, error: WSError) -> WSError:
        # RFC 6455 7.1.7: after a failure no more of the peer's data is processed.
        self._end()
        return error

    def _end(self) -> None:
        self._ended = True
        self._shut()
        self._data = b""
        self._position = 0

    # -- writing -----------------------------------------------------------

    def text(self, text: str) -> bytes:
        """Frame a text message."""
        if self.close_sent:
            raise _closed()
        payload = text.encode()
        length = len(payload)
        if length < 126:
            return TEXT_HEADS[length] + payload
        return encode_text(text)

    def binary(self, data: bytes) -> bytes:
        """Frame a binary message."""
        if self.close_sent:
            raise _closed()
        return encode_binary(data)

    def ping(self, data: bytes = b"") -> bytes:
        """Frame a ping of at most 125 bytes."""
        if self.close_sent:
            raise _closed()
        return encode_control(PING, data)

    def pong(self, data: bytes) -> bytes:
        """Frame the answer to a ping, carrying its data (RFC 6455 5.5.3)."""
        if self.close_sent:
            raise _closed()
        return encode_control(PONG, data)

    def close(self, code: int | None = 1000, reason: str = "") -> bytes:
        """Frame a close; `b""` if one was sent already.

        `code` None sends none. ValueError for a code that no frame may carry, and
        for a reason over 123 bytes of UTF-8.
        """
        if self.close_sent:
            return b""
        frame = encode_control(CLOSE, _close_payload(code, reason))
        self.close_sent = True
        return frame


_BAD_UTF8: Final = WSError(1007, "Text must be UTF-8.")


def _close_payload(code: int | None, reason: str) -> bytes:
    if code is None:
        if reason:
            raise ValueError(f"A close reason needs a code; got {reason[:40]!r} without one.")
        return b""
    # RFC 6455 7.4.1: 1005, 1006 and 1015 are never sent.
    if not may_close_with(code):
        raise ValueError(
            f"Close code {code} must not be sent; use 1000 to 1003, 1007 to 1014, or a code "
            "of your own from 3000 to 4999."
        )
    payload = reason.encode()
    if len(payload) > 123:
        raise ValueError(
            f"A close reason has at most 123 bytes of UTF-8; got {len(payload)}: {reason[:40]!r}..."
        )
    return code.to_bytes(2, "big") + payload


def _closed() -> LocalProtocolError:
    # RFC 6455 5.5.1: no data frames after a close frame.
    return LocalProtocolError("Nothing may be sent on a WebSocket after its close frame.")
