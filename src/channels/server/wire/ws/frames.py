"""Frames of RFC 6455 section 5: one head read, one payload unmasked, one frame written.

Only what a server needs: it reads masked frames and writes unmasked ones, each
whole (RFC 6455 5.1). XOR of two integers is the fastest unmasking that plain
Python has: a bytearray filled by slices and tables is level with it only from
some 16 kB on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
# RFC 6455 5.5: the payload of a control frame fits the short form of the length.
MAX_CONTROL: Final = 125

# Bits of the first byte. RSV1 marks a compressed message where an extension has
# been agreed on; until one is, all three reserved bits are refused.
FIN: Final = 0x80
RSV1: Final = 0x40
RSV: Final = 0x70


class WSError(NamedTuple):
    """The client broke the protocol or a limit: close with this code and reason."""

    code: int
    reason: str


class FrameHead(NamedTuple):
    """All of a frame but its payload; `size` is the bytes of the head itself."""

    opcode: int
    fin: bool
    rsv1: bool
    length: int
    mask: bytes
    size: int


def read_head(
    data: bytes | bytearray, start: int, refused_bits: int = RSV
) -> FrameHead | WSError | None:
    """Read the head at `start`; None while it is incomplete.

    `refused_bits`: the reserved bits that no extension has given a meaning to.
    What is wrong is told as soon as the byte that shows it is there.
    """
    available = len(data) - start
    if available < 1:
        return None
    first = data[start]
    error = _check_first(first, refused_bits)
    if error is not None or available < 2:
        return error
    second = data[start + 1]
    error = _check_second(first, second)
    if error is not None:
        return error
    return _read_rest(data, start, first, second & 0x7F)


def _check_first(first: int, refused_bits: int) -> WSError | None:
    # RFC 6455 5.2: a reserved bit that was not negotiated fails the connection,
    # and so does a reserved opcode.
    if first & refused_bits:
        return WSError(1002, "A reserved bit is set, but no extension was agreed on.")
    opcode = first & 0x0F
    if opcode not in OPCODES:
        return WSError(1002, f"Opcode {opcode:#x} is reserved.")
    # RFC 6455 5.5: control frames are not fragmented.
    if opcode >= CLOSE and not first & FIN:
        return WSError(1002, "A control frame must not be fragmented.")
    return None


def _check_second(first: int, second: int) -> WSError | None:
    # RFC 6455 5.1: a server closes on a frame that is not masked.
    if not second & 0x80:
        return WSError(1002, "A frame from a client must be masked.")
    if first & 0x0F >= CLOSE and second & 0x7F > MAX_CONTROL:
        return WSError(1002, "A control frame carries at most 125 bytes.")
    return None


def _read_rest(
    data: bytes | bytearray, start: int, first: int, length: int
) -> FrameHead | WSError | None:
    size = 2
    if length > 125:
        size = 4 if length == 126 else 10
        if len(data) - start < size:
            return None
        short = length == 126
        length = int.from_bytes(data[start + 2 : start + size], "big")
        # RFC 6455 5.2: the shortest form that fits, and the top bit of 64 is zero.
        if length < (126 if short else 0x10000):
            return WSError(1002, f"A length of {length} must use its shortest form.")
        if length >> 63:
            return WSError(1002, "The top bit of a 64-bit length must be zero.")
    mask = bytes(data[start + size : start + size + 4])
    if len(mask) < 4:
        return None
    return FrameHead(first & 0x0F, first >= FIN, bool(first & RSV1), length, mask, size + 4)


def unmask(payload: bytes | bytearray, mask: bytes) -> bytes:
    """RFC 6455 5.3: XOR each byte with the byte of the mask at its place modulo 4."""
    length = len(payload)
    words = (length + 3) // 4
    plain = int.from_bytes(payload, "little") ^ int.from_bytes(mask * words, "little")
    whole = plain.to_bytes(words * 4, "little")
    return whole[:length] if length & 3 else whole


def frame_head(first: int, length: int) -> bytes:
    """Write the head of an unmasked frame; `first` is its first byte."""
    # RFC 6455 5.2: the shortest form of the length.
    if length < 126:
        return bytes((first, length))
    if length < 0x10000:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


# The heads of short messages, ready: a table costs a third of building one.
TEXT_HEADS: Final = tuple(frame_head(FIN | TEXT, length) for length in range(126))
BINARY_HEADS: Final = tuple(frame_head(FIN | BINARY, length) for length in range(126))


def encode_text(text: str) -> bytes:
    """Frame a whole text message."""
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return TEXT_HEADS[length] + payload
    return frame_head(FIN | TEXT, length) + payload


def encode_binary(data: bytes) -> bytes:
    """Frame a whole binary message."""
    length = len(data)
    if length < 126:
        return BINARY_HEADS[length] + data
    return frame_head(FIN | BINARY, length) + data


def encode_control(opcode: int, payload: bytes) -> bytes:
    """Frame a ping, pong or close; ValueError over 125 bytes."""
    if len(payload) > MAX_CONTROL:
        raise ValueError(
            f"A control frame carries at most {MAX_CONTROL} bytes; got {len(payload)}. "
            "Send a shorter payload or reason."
        )
    return frame_head(FIN | opcode, len(payload)) + payload


def may_close_with(code: int) -> bool:
    """Whether `code` may stand in a close frame, sent or received.

    RFC 6455 7.4: 1004 is reserved; 1005, 1006 and 1015 name states that no frame
    tells; 1012 to 1014 were registered later; 3000 to 4999 are for libraries and
    applications; anything else is undefined.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
