"""The client's half of RFC 6455 framing, for tests: any frame, also an illegal one."""

from __future__ import annotations

MASK = b"\x37\xfa\x21\x3d"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    form: int | None = None,
) -> bytes:
    """Build a frame; `form` (0, 2 or 8 bytes of extended length) need not be the shortest."""
    length = len(payload)
    if form is None:
        form = 0 if length < 126 else 2 if length < 1 << 16 else 8
    return head(opcode, length, fin=fin, rsv=rsv, mask=mask, form=form) + (
        payload if mask is None else masked(payload, mask)
    )


def head(
    opcode: int,
    length: int,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    form: int = 0,
) -> bytes:
    short = {0: length, 2: 126, 8: 127}[form]
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    second = (0 if mask is None else 0x80) | short
    extended = length.to_bytes(form, "big") if form else b""
    return bytes((first, second)) + extended + (mask or b"")


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    if mask == bytes(4):
        return payload
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def parse_server_frame(data: bytes) -> tuple[int, bytes]:
    """Read one whole unmasked frame; answer its opcode and payload."""
    assert data[0] & 0xF0 == 0x80, "whole, and no reserved bits"
    length, start = data[1], 2
    assert length < 128, "servers do not mask"
    if length > 125:
        start = 4 if length == 126 else 10
        shortest = 126 if length == 126 else 1 << 16
        length = int.from_bytes(data[2:start], "big")
        assert length >= shortest
    assert len(data) == start + length
    return data[0] & 0x0F, data[start:]
