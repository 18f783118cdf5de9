"""What the server writes on a WebSocket: whole, unmasked frames, and no reserved code."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_client import BINARY, CLOSE, PING, PONG, TEXT, parse_server_frame

from channels.server.wire.events import LocalProtocolError
from channels.server.wire.ws.connection import WSConnection
from channels.server.wire.ws.frames import encode_binary, encode_text

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 65537]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_is_one_whole_frame_of_the_shortest_form(size: int) -> None:
    connection = WSConnection()
    assert parse_server_frame(connection.text("x" * size)) == (TEXT, b"x" * size)
    assert parse_server_frame(connection.binary(b"x" * size)) == (BINARY, b"x" * size)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_for_many_sockets_is_the_frame_of_one(size: int) -> None:
    assert encode_text("x" * size) == WSConnection().text("x" * size)
    assert encode_binary(b"x" * size) == WSConnection().binary(b"x" * size)


@settings(max_examples=20, deadline=None, database=None)
@given(st.text(st.sampled_from("a\0é世🌍"), max_size=300))
def test_text_goes_out_as_utf8(text: str) -> None:
    assert parse_server_frame(WSConnection().text(text)) == (TEXT, text.encode())


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        WSConnection().text("\ud800")


def test_pings_and_pongs_carry_their_data() -> None:
    connection = WSConnection()
    assert parse_server_frame(connection.ping()) == (PING, b"")
    assert parse_server_frame(connection.ping(b"x" * 125)) == (PING, b"x" * 125)
    assert parse_server_frame(connection.pong(b"beat")) == (PONG, b"beat")


def test_a_control_frame_has_at_most_125_bytes() -> None:
    with pytest.raises(ValueError, match="at most 125 bytes; got 126"):
        WSConnection().ping(b"x" * 126)


def test_a_close_carries_code_and_reason() -> None:
    assert parse_server_frame(WSConnection().close()) == (CLOSE, b"\x03\xe8")
    frame = WSConnection().close(4001, "Café")
    assert parse_server_frame(frame) == (CLOSE, b"\x0f\xa1" + "Café".encode())
    assert parse_server_frame(WSConnection().close(None)) == (CLOSE, b"")


def test_a_close_is_sent_once() -> None:
    connection = WSConnection()
    assert not connection.close_sent
    assert connection.close(1001)
    assert connection.close_sent
    assert connection.close(1000) == b""


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536])
def test_a_code_that_is_reserved_is_never_sent(code: int) -> None:
    connection = WSConnection()
    with pytest.raises(ValueError, match=f"Close code {code} must not be sent"):
        connection.close(code)
    assert not connection.close_sent


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1014, 3000, 4999])
def test_a_code_that_may_be_sent_is_sent(code: int) -> None:
    assert parse_server_frame(WSConnection().close(code)) == (CLOSE, code.to_bytes(2, "big"))


def test_a_reason_has_at_most_123_bytes_of_utf8() -> None:
    assert WSConnection().close(1000, "é" * 61)
    connection = WSConnection()
    with pytest.raises(ValueError, match="at most 123 bytes of UTF-8; got 124"):
        connection.close(1000, "é" * 62)
    assert not connection.close_sent


def test_a_reason_needs_a_code() -> None:
    with pytest.raises(ValueError, match="needs a code"):
        WSConnection().close(None, "bye")


def test_nothing_is_sent_after_the_close() -> None:
    connection = WSConnection()
    connection.close()
    for send in (
        lambda: connection.text("late"),
        lambda: connection.binary(b"late"),
        connection.ping,
        lambda: connection.pong(b""),
    ):
        with pytest.raises(LocalProtocolError, match="after its close frame"):
            send()
