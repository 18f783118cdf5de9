"""What a WebSocket's bytes mean: RFC 6455 sections 5, 7 and 8, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    head,
)
from wire_feeding import check_every_feeding

from channels.server.wire.events import NEED_DATA
from channels.server.wire.ws.connection import (
    BinaryMessage,
    CloseReceived,
    Ping,
    Pong,
    TextMessage,
    WSConnection,
    WSError,
)
from channels.server.wire.ws.frames import RSV, RSV1, FrameHead, read_head


class Broke:
    """Any WSError of one code: which words explain it is not part of a case."""

    def __init__(self, code: int) -> None:
        self.code = code

    def __eq__(self, other: object) -> bool:
        return type(other) is WSError and other.code == self.code

    def __repr__(self) -> str:
        return f"Broke({self.code})"


def read(connection: WSConnection, pieces: Sequence[bytes]) -> list[object]:
    said: list[object] = []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not NEED_DATA:
            said.append(event)
    return said


def check(data: bytes, expected: list[object], **limits: int) -> None:
    check_every_feeding(lambda pieces: read(WSConnection(**limits), pieces), data, expected)


MIXED = "κόσμε, 世界 🌍"
UTF8 = MIXED.encode()
SURROGATE = b"\xed\xa0\x80"

# (RFC 6455 section, what the case shows, bytes, events)
MESSAGES = [
    ("5.6", "a text message", frame(TEXT, b"Hello"), [TextMessage("Hello")]),
    ("5.6", "a binary message", frame(BINARY, b"\x00\xff\x80"), [BinaryMessage(b"\x00\xff\x80")]),
    ("5.6", "an empty text message", frame(TEXT), [TextMessage("")]),
    ("5.6", "an empty binary message", frame(BINARY), [BinaryMessage(b"")]),
    ("5.3", "a mask of zeros", frame(TEXT, b"plain", mask=bytes(4)), [TextMessage("plain")]),
    ("5.3", "a mask of ones", frame(TEXT, b"plain", mask=b"\xff" * 4), [TextMessage("plain")]),
    ("5.2", "125 bytes, the last short form", frame(TEXT, b"x" * 125), [TextMessage("x" * 125)]),
    ("5.2", "126 bytes, the first of 16 bits", frame(TEXT, b"x" * 126), [TextMessage("x" * 126)]),
    ("5.2", "127 bytes", frame(BINARY, b"x" * 127), [BinaryMessage(b"x" * 127)]),
    ("8.1", "characters of 1 to 4 bytes", frame(TEXT, UTF8), [TextMessage(MIXED)]),
    (
        "5.4",
        "messages one after the other",
        frame(TEXT, b"a") + frame(BINARY, b"b") + frame(TEXT, b"c" * 130) + frame(TEXT),
        [TextMessage("a"), BinaryMessage(b"b"), TextMessage("c" * 130), TextMessage("")],
    ),
    (
        "5.4",
        "a short frame after a longer one",
        frame(BINARY, b"y" * 200) + frame(TEXT, b"x" * 100) + frame(PING),
        [BinaryMessage(b"y" * 200), TextMessage("x" * 100), Ping(b"")],
    ),
    (
        "5.4",
        "a message of three fragments",
        frame(TEXT, b"He", fin=False)
        + frame(CONTINUATION, b"ll", fin=False)
        + frame(CONTINUATION, b"o"),
        [TextMessage("Hello")],
    ),
    (
        "5.4",
        "empty fragments",
        frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION),
        [BinaryMessage(b"")],
    ),
    (
        "5.4",
        "a fragmented message, then a whole one",
        frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"b") + frame(TEXT, b"c"),
        [BinaryMessage(b"ab"), TextMessage("c")],
    ),
    (
        "8.1",
        "a character cut by fragments at each of its bytes",
        b"".join(
            frame(TEXT if i == 0 else CONTINUATION, bytes((byte,)), fin=i == len(UTF8) - 1)
            for i, byte in enumerate(UTF8)
        ),
        [TextMessage(MIXED)],
    ),
]

CONTROL = [
    ("5.5.2", "a ping", frame(PING, b"beat"), [Ping(b"beat")]),
    ("5.5.2", "an empty ping", frame(PING), [Ping(b"")]),
    ("5.5.2", "a ping of 125 bytes", frame(PING, b"x" * 125), [Ping(b"x" * 125)]),
    ("5.5.3", "a pong nobody asked for", frame(PONG, b"beat"), [Pong(b"beat")]),
    (
        "5.4",
        "control frames between fragments",
        frame(TEXT, b"a", fin=False)
        + frame(PING, b"1")
        + frame(CONTINUATION, b"b", fin=False)
        + frame(PONG, b"2")
        + frame(CONTINUATION, b"c"),
        [Ping(b"1"), Pong(b"2"), TextMessage("abc")],
    ),
    (
        "5.5.1",
        "a close between fragments",
        frame(TEXT, b"a", fin=False) + close_frame(1001),
        [CloseReceived(1001, "")],
    ),
    ("5.5.1", "a close without a code", close_frame(), [CloseReceived(1005, "")]),
    ("5.5.1", "a close with a reason", close_frame(1000, UTF8), [CloseReceived(1000, MIXED)]),
    (
        "5.5.1",
        "a close with the longest reason",
        close_frame(4000, b"r" * 123),
        [CloseReceived(4000, "r" * 123)],
    ),
    (
        "5.5.1",
        "nothing is read after a close",
        close_frame(1000) + frame(TEXT, b"late") + frame(PING) + b"\xff\xff",
        [CloseReceived(1000, "")],
    ),
    (
        "7.1.7",
        "nothing is read after an error",
        frame(TEXT, b"ok") + frame(3) + frame(TEXT, b"late"),
        [TextMessage("ok"), Broke(1002)],
    ),
]

BROKEN = [
    ("5.1", "an unmasked frame", frame(TEXT, b"Hello", mask=None), 1002),
    ("5.1", "an unmasked empty frame", frame(TEXT, mask=None) + bytes(8), 1002),
    ("5.1", "an unmasked control frame", frame(PING, mask=None), 1002),
    *[("5.2", f"reserved bits {rsv:03b}", frame(TEXT, b"x", rsv=rsv), 1002) for rsv in range(1, 8)],
    ("5.2", "a reserved bit on a control frame", frame(PING, rsv=4), 1002),
    ("5.2", "a reserved bit on a close", frame(CLOSE, rsv=1), 1002),
    ("5.2", "a reserved bit on a short whole frame", frame(BINARY, b"x", rsv=4), 1002),
    *[
        ("5.2", f"reserved opcode {opcode:#x}", frame(opcode, b"x"), 1002)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ],
    ("5.2", "a length of 125 in 16 bits", frame(TEXT, b"x" * 125, form=2), 1002),
    ("5.2", "a length of 0 in 16 bits", frame(TEXT, form=2), 1002),
    ("5.2", "a length of 126 in 64 bits", frame(BINARY, b"x" * 126, form=8), 1002),
    ("5.2", "a length of 65535 in 64 bits", head(BINARY, 65535, form=8), 1002),
    ("5.2", "a length with its top bit set", head(BINARY, 1 << 63, form=8), 1002),
    ("5.5", "a ping of 126 bytes", frame(PING, b"x" * 126), 1002),
    ("5.5", "a close of 126 bytes", frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    ("5.5", "a fragmented ping", frame(PING, b"x", fin=False), 1002),
    ("5.5", "a fragmented close", frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    ("5.4", "a continuation of nothing", frame(CONTINUATION, b"x"), 1002),
    ("5.4", "an open continuation of nothing", frame(CONTINUATION, b"x", fin=False), 1002),
    ("5.4", "text within text", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    ("5.4", "binary within text", frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"), 1002),
    (
        "5.4",
        "a continuation after the last",
        frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION, rsv=1),
        1002,
    ),
    ("5.5.1", "a close of one byte", frame(CLOSE, b"\x03"), 1002),
    *[
        ("7.4", f"close code {code}", close_frame(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ],
    ("8.1", "a close reason that is not UTF-8", close_frame(1000, SURROGATE), 1007),
    *[
        ("8.1", f"text with {why}", frame(TEXT, b"ok " + data), 1007)
        for why, data in [
            ("a lone continuation byte", b"\x80"),
            ("an overlong slash", b"\xc0\xaf"),
            ("an overlong null", b"\xe0\x80\x80"),
            ("a surrogate", SURROGATE),
            ("a character over U+10FFFF", b"\xf4\x90\x80\x80"),
            ("a byte that never occurs", b"\xff"),
            ("its last character cut", "é".encode()[:1]),
        ]
    ],
    ("8.1", "long text with a bad byte", frame(TEXT, b"x" * 200 + b"\xfe"), 1007),
    (
        "8.1",
        "a bad fragment, long before the last",
        frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"\xce", fin=False),
        1007,
    ),
    (
        "8.1",
        "a message that ends within a character",
        frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONTINUATION, b"\x8c"),
        1007,
    ),
    (
        "8.1",
        "a character that an empty last fragment leaves open",
        frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION),
        1007,
    ),
]


def name(row: tuple[object, ...]) -> str:
    return f"{row[0]} {row[1]}"


@pytest.mark.parametrize(("data", "expected"), [r[2:] for r in MESSAGES], ids=map(name, MESSAGES))
def test_messages_are_read(data: bytes, expected: list[object]) -> None:
    check(data, expected)


@pytest.mark.parametrize(("data", "expected"), [r[2:] for r in CONTROL], ids=map(name, CONTROL))
def test_control_frames_are_read(data: bytes, expected: list[object]) -> None:
    check(data, expected)


@pytest.mark.parametrize(("data", "code"), [r[2:] for r in BROKEN], ids=map(name, BROKEN))
def test_a_broken_rule_has_its_close_code(data: bytes, code: int) -> None:
    check(data, [Broke(code)])


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
)
def test_a_close_code_that_may_be_sent_is_read(code: int) -> None:
    check(close_frame(code, b"why"), [CloseReceived(code, "why")])


@pytest.mark.parametrize("size", [65535, 65536])
def test_a_large_message_is_read(size: int) -> None:
    check(frame(BINARY, b"\x5a" * size, mask=bytes(4)), [BinaryMessage(b"\x5a" * size)])


LIMITS = [
    ("a message at the limit", frame(TEXT, b"x" * 10), [TextMessage("x" * 10)]),
    ("a message over it", frame(TEXT, b"x" * 11), [Broke(1009)]),
    ("the head alone of a message over it", head(BINARY, 1 << 40, form=8), [Broke(1009)]),
    ("the head alone of a short one over it", head(BINARY, 11), [Broke(1009)]),
    (
        "fragments that add up to it",
        frame(TEXT, b"x" * 6, fin=False) + frame(CONTINUATION, b"x" * 4),
        [TextMessage("x" * 10)],
    ),
    (
        "the head alone of the fragment that goes over it",
        frame(TEXT, b"x" * 6, fin=False) + head(CONTINUATION, 5),
        [Broke(1009)],
    ),
    ("control frames have their own", frame(PING, b"x" * 125), [Ping(b"x" * 125)]),
]


@pytest.mark.parametrize(
    ("data", "expected"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS]
)
def test_a_message_has_a_limit(data: bytes, expected: list[object]) -> None:
    check(data, expected, max_message_size=10)


def test_a_frame_has_a_limit_of_its_own() -> None:
    fragments = frame(TEXT, b"x" * 10, fin=False) + frame(CONTINUATION, b"x" * 10)
    check(fragments, [TextMessage("x" * 20)], max_frame_size=10)
    check(head(TEXT, 11), [Broke(1009)], max_frame_size=10)
    check(
        fragments + head(TEXT, 126, form=2), [TextMessage("x" * 20), Broke(1009)], max_frame_size=10
    )


def test_a_limit_of_zero_is_no_limit() -> None:
    connection = WSConnection(max_message_size=0, max_frame_size=0)
    data = b"x" * ((1 << 20) + 1)
    assert read(connection, [frame(BINARY, data, mask=bytes(4))]) == [BinaryMessage(data)]


def test_the_default_limit_is_one_mebibyte() -> None:
    data = bytes(1 << 20)
    assert read(WSConnection(), [frame(BINARY, data, mask=bytes(4))]) == [BinaryMessage(data)]
    assert read(WSConnection(), [head(BINARY, (1 << 20) + 1, form=8)]) == [Broke(1009)]


def test_the_reason_of_an_error_fits_a_close_frame() -> None:
    for size in (11, 1 << 62):
        connection = WSConnection(max_message_size=10)
        (error,) = read(connection, [head(BINARY, size, form=8 if size > 65535 else 0)])
        assert isinstance(error, WSError)
        assert connection.close(error.code, error.reason)


def test_empty_fragments_without_end_take_no_memory() -> None:
    connection = WSConnection()
    assert read(connection, [frame(TEXT, fin=False)]) == []
    assert read(connection, [frame(CONTINUATION, fin=False) * 1000]) == []
    assert len(connection._message) == 0
    assert read(connection, [frame(CONTINUATION, b"end")]) == [TextMessage("end")]


def test_a_head_is_not_there_before_its_bytes() -> None:
    for size in range(14):
        assert read_head(head(BINARY, 65536, form=8)[:size], 0) is None


def test_an_extension_gives_its_bit_a_meaning() -> None:
    compressed = head(TEXT, 1, rsv=RSV1 >> 4)
    assert isinstance(read_head(compressed, 0), WSError)
    allowed = read_head(compressed, 0, RSV & ~RSV1)
    assert isinstance(allowed, FrameHead)
    assert allowed.rsv1


def test_a_close_that_was_read_is_remembered() -> None:
    connection = WSConnection()
    assert not connection.close_received
    read(connection, [close_frame(1000)])
    assert connection.close_received
    assert not connection.close_sent


def test_an_error_is_not_a_close() -> None:
    connection = WSConnection()
    assert read(connection, [frame(3)]) == [Broke(1002)]
    assert not connection.close_received


# -- round trips ---------------------------------------------------------------

masks = st.binary(min_size=4, max_size=4)
# Characters of 1 to 4 bytes; all of Unicode would take longer to draw from than the rest.
characters = st.sampled_from("a\0\x7fé\u0800世\uffff🌍\U0010ffff")
contents = st.one_of(st.text(characters, max_size=150), st.binary(max_size=150))


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, object]:
    """Draw a message as the frames of a client, and its event."""
    content = draw(contents)
    payload = content.encode() if isinstance(content, str) else content
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    edges = [0, *cuts, len(payload)]
    frames = []
    for i, (begin, end) in enumerate(pairwise(edges)):
        opcode = CONTINUATION if i else TEXT if isinstance(content, str) else BINARY
        fin = i == len(edges) - 2
        frames.append(frame(opcode, payload[begin:end], fin=fin, mask=draw(masks)))
    event = TextMessage(content) if isinstance(content, str) else BinaryMessage(content)
    return b"".join(frames), event


@st.composite
def pings(draw: st.DrawFn) -> tuple[bytes, object]:
    data = draw(st.binary(max_size=125))
    return frame(PING, data, mask=draw(masks)), Ping(data)


@st.composite
def pieces_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@settings(max_examples=25, deadline=None, database=None)
@given(st.data())
def test_what_a_client_says_is_what_is_read(data: st.DataObject) -> None:
    said = data.draw(st.lists(st.one_of(messages(), pings()), max_size=5))
    wire = b"".join(frames for frames, _ in said)
    connection = WSConnection()
    assert read(connection, data.draw(pieces_of(wire))) == [event for _, event in said]


@settings(max_examples=25, deadline=None, database=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_do_more_than_break_a_rule(pieces: list[bytes]) -> None:
    whole = read(WSConnection(), [b"".join(pieces)])
    assert read(WSConnection(), pieces) == whole
    errors = [event for event in whole if isinstance(event, WSError)]
    assert errors == whole[-1:] or not errors


def test_every_mask_and_length_is_unmasked() -> None:
    payload = bytes(range(126))
    for length, mask in product(range(130), (b"\x01\x02\x03\x04", b"\xff\x00\x80\x7f")):
        data = (payload + payload)[:length]
        assert read(WSConnection(), [frame(BINARY, data, mask=mask)]) == [BinaryMessage(data)]
