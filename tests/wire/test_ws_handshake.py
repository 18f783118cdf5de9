"""The opening handshake: RFC 6455 section 4.2, requirement by requirement."""

from __future__ import annotations

import pytest

from channels.server.wire.events import ProtocolError, Request
from channels.server.wire.ws.handshake import Handshake, accept_response, check

# The example of RFC 6455 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

HEADERS = {
    b"host": b"server.example.com",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": KEY,
    b"sec-websocket-version": b"13",
}


def request(
    changes: dict[bytes, bytes | None] | None = None,
    *more: tuple[bytes, bytes],
    method: str = "GET",
    version: str = "1.1",
    upgrade: bytes | None = b"websocket",
) -> Request:
    headers = {**HEADERS, **(changes or {})}
    fields = [(name, value) for name, value in headers.items() if value is not None]
    return Request(method, b"/chat", [*fields, *more], version, upgrade, False, True)


def test_a_good_request_is_understood() -> None:
    assert check(request()) == Handshake(KEY, [], [])


def test_offers_come_in_the_order_of_the_client() -> None:
    offers = request(
        {b"sec-websocket-protocol": b"chat, superchat ,"},
        (b"sec-websocket-protocol", b"graphql-ws"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits, x-other"),
    )
    assert check(offers) == Handshake(
        KEY,
        ["chat", "superchat", "graphql-ws"],
        [b"permessage-deflate; client_max_window_bits", b"x-other"],
    )


def test_an_empty_body_is_no_body() -> None:
    assert isinstance(check(request(None, (b"content-length", b"0"))), Handshake)


# (RFC section, what is wrong, request)
REFUSED = [
    ("4.2.1/1", "another method", request(method="POST")),
    ("4.2.1/1", "HTTP/1.0", request(version="1.0")),
    ("4.2.1/1", "a body", request(None, (b"content-length", b"5"))),
    ("4.2.1/1", "a chunked body", request(None, (b"transfer-encoding", b"chunked"))),
    ("4.2.1/2", "no host", request({b"host": None})),
    ("4.2.1/2", "two hosts", request(None, (b"host", b"other"))),
    ("4.2.1/3", "no upgrade", request(upgrade=None)),
    ("4.2.1/3", "another protocol", request(upgrade=b"h2c")),
    ("4.2.1/5", "no key", request({b"sec-websocket-key": None})),
    ("4.2.1/5", "two keys", request(None, (b"sec-websocket-key", KEY))),
    ("4.2.1/5", "a key of 15 bytes", request({b"sec-websocket-key": b"QUFBQUFBQUFBQUFBQUFB"})),
    ("4.2.1/5", "a key of 17 bytes", request({b"sec-websocket-key": b"QUFBQUFBQUFBQUFBQUFBQUE="})),
    ("4.2.1/5", "a key that is no base64", request({b"sec-websocket-key": b"!" * 24})),
    ("4.2.1/5", "an empty key", request({b"sec-websocket-key": b""})),
    ("4.1/10", "a subprotocol of two words", request({b"sec-websocket-protocol": b"chat two"})),
    ("4.1/10", "a subprotocol not in ASCII", request({b"sec-websocket-protocol": b"caf\xc3\xa9"})),
]


@pytest.mark.parametrize("bad", [r[2] for r in REFUSED], ids=[f"{r[0]} {r[1]}" for r in REFUSED])
def test_a_malformed_request_is_refused(bad: Request) -> None:
    answer = check(bad)
    assert isinstance(answer, ProtocolError)
    assert answer.status == 400
    assert answer.reason.startswith("WebSocket handshake refused: ")


@pytest.mark.parametrize("version", [b"8", b"12", b"14", b"13, 8", b"", None])
def test_another_version_is_told_ours(version: bytes | None) -> None:
    answer = check(request({b"sec-websocket-version": version}))
    assert isinstance(answer, ProtocolError)
    assert answer.status == 426
    assert (b"sec-websocket-version", b"13") in answer.headers


def test_the_response_proves_that_the_key_was_read() -> None:
    response = accept_response(Handshake(KEY, [], []), None, [])
    assert response == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"upgrade: websocket\r\n"
        b"connection: Upgrade\r\n"
        b"sec-websocket-accept: " + ACCEPT + b"\r\n\r\n"
    )


def test_the_response_names_the_subprotocol_and_the_headers_of_the_application() -> None:
    response = accept_response(
        Handshake(KEY, ["a", "chat"], []), "chat", [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b")]
    )
    head, end = response.split(b"\r\n", 1)
    lines = end.split(b"\r\n")
    assert b"sec-websocket-protocol: chat" in lines
    assert lines[-4:] == [b"Set-Cookie: a=1", b"set-cookie: b", b"", b""]


def test_a_subprotocol_that_was_not_offered_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'xmpp' was not offered by the client, which offered 1"):
        accept_response(Handshake(KEY, ["chat"], []), "xmpp", [])
    with pytest.raises(ValueError, match="which offered 0"):
        accept_response(Handshake(KEY, [], []), "xmpp", [])


def test_a_subprotocol_among_the_headers_is_refused() -> None:
    with pytest.raises(ValueError, match="`subprotocol` of websocket.accept"):
        accept_response(Handshake(KEY, ["a"], []), "a", [(b"Sec-WebSocket-Protocol", b"a")])


@pytest.mark.parametrize(
    "name",
    [
        b"Upgrade",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"sec-websocket-accept",
        b"Sec-WebSocket-Extensions",
    ],
)
def test_a_header_of_the_handshake_itself_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError, match="belongs to the WebSocket handshake"):
        accept_response(Handshake(KEY, [], []), None, [(name, b"x")])


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\rb"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"x\r\n", b"a"),
        (b"x: y", b"a"),
        (b"", b"a"),
        ("x", b"a"),
        (b"x", "a"),
        (b"x",),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="[Hh]eader.*; got "):
        accept_response(Handshake(KEY, [], []), None, [(b"fine", b"1"), header])
