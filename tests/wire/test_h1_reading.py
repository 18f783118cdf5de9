"""What the bytes of an HTTP/1.1 client mean: RFC 9112 and RFC 9110, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_feeding import check_every_feeding, feedings

from channels.server.wire.events import (
    NEED_DATA,
    PAUSED,
    Body,
    EndOfRequest,
    Informational,
    LocalProtocolError,
    ProtocolError,
    Request,
    Response,
    ResponseBody,
)
from channels.server.wire.h1 import H1Connection, H1Limits
from channels.server.wire.head import Head, judge

END = EndOfRequest()
EOF = b""


class Refused:
    """Any ProtocolError of one status: which words explain it is not part of a case."""

    def __init__(self, status: int) -> None:
        self.status = status

    def __eq__(self, other: object) -> bool:
        return type(other) is ProtocolError and other.status == self.status

    def __repr__(self) -> str:
        return f"Refused({self.status})"


def answer(connection: H1Connection) -> None:
    connection.send(Response(204, []))
    connection.send(ResponseBody(b"", False))


def read(connection: H1Connection, pieces: Sequence[bytes]) -> list[object]:
    """Read requests, answer each, and join what arrived of one body."""
    said: list[object] = []
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not NEED_DATA:
            if event is PAUSED:
                if not connection.keep_alive:
                    return said
                answer(connection)
                connection.start_next_cycle()
            elif isinstance(event, Body) and said and isinstance(said[-1], Body):
                said[-1] = Body(said[-1].data + event.data)
            else:
                said.append(event)
    return said


def check(data: bytes, expected: list[object], limits: H1Limits | None = None) -> None:
    check_every_feeding(
        lambda pieces: read(H1Connection(limits or H1Limits()), pieces), data, expected
    )


def request(
    method: str = "GET",
    target: bytes = b"/",
    *fields: tuple[bytes, bytes],
    version: str = "1.1",
    host: bool = True,
    upgrade: bytes | None = None,
    expects_continue: bool = False,
    keep_alive: bool = True,
) -> Request:
    headers = ([(b"host", b"a")] if host else []) + list(fields)
    return Request(method, target, headers, version, upgrade, expects_continue, keep_alive)


def lines(*parts: bytes) -> bytes:
    return b"".join(part + b"\r\n" for part in parts) + b"\r\n"


def get(*fields: bytes, first: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return lines(first, host, *fields)


def post(*fields: bytes) -> bytes:
    return get(*fields, first=b"POST / HTTP/1.1")


CHUNKED = b"Transfer-Encoding: chunked"
chunked = (b"transfer-encoding", b"chunked")


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(size).encode())


# (RFC section, what the case shows, bytes, events)
READ = [
    ("9112 3", "a request", get(), [request(), END]),
    (
        "9112 3.2",
        "the target as it came",
        get(first=b"GET /a%2Fb/%ff?q=%20&x=[1] HTTP/1.1"),
        [request("GET", b"/a%2Fb/%ff?q=%20&x=[1]"), END],
    ),
    (
        "9112 3.2.2",
        "a target in absolute form",
        get(first=b"GET http://a/b?c HTTP/1.1"),
        [request("GET", b"http://a/b?c"), END],
    ),
    (
        "9112 3.2.4",
        "a target of *",
        get(first=b"OPTIONS * HTTP/1.1"),
        [request("OPTIONS", b"*"), END],
    ),
    ("9112 2.2", "empty lines before a request", b"\r\n\r\n" + get(), [request(), END]),
    (
        "9110 5.1",
        "names in lower case, values as they came",
        get(b"X-Name: A b", b"aCCept:*/*"),
        [request("GET", b"/", (b"x-name", b"A b"), (b"accept", b"*/*")), END],
    ),
    (
        "9112 5",
        "no space around values, and empty ones",
        get(b"X: \t a \t ", b"Y:", b"Z:   "),
        [request("GET", b"/", (b"x", b"a"), (b"y", b""), (b"z", b"")), END],
    ),
    (
        "9110 5.5",
        "values beyond ASCII, as bytes",
        get(b"X: caf\xc3\xa9 \xff"),
        [request("GET", b"/", (b"x", b"caf\xc3\xa9 \xff")), END],
    ),
    (
        "9110 5.2",
        "repeated fields, in order",
        get(b"Cookie: a=1", b"X: 1", b"Cookie: b=2"),
        [request("GET", b"/", (b"cookie", b"a=1"), (b"x", b"1"), (b"cookie", b"b=2")), END],
    ),
    (
        "CVE-2015-0219",
        "names with an underscore are dropped",
        get(b"X_Forwarded_For: 1", b"Content_Length: 5", b"X-B: 2"),
        [request("GET", b"/", (b"x-b", b"2")), END],
    ),
    (
        "9112 6.3",
        "a body of a length",
        post(b"Content-Length: 5") + b"hello",
        [request("POST", b"/", length(5)), Body(b"hello"), END],
    ),
    (
        "9112 6.3",
        "a body of length 0",
        post(b"Content-Length: 0"),
        [request("POST", b"/", length(0)), END],
    ),
    (
        "9110 8.6",
        "a length with zeros before it",
        post(b"Content-Length: 005") + b"hello",
        [request("POST", b"/", (b"content-length", b"005")), Body(b"hello"), END],
    ),
    (
        "9112 7.1",
        "a chunked body",
        post(CHUNKED) + b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n",
        [request("POST", b"/", chunked), Body(b"hello, world"), END],
    ),
    (
        "9112 7.1",
        "an empty chunked body",
        post(CHUNKED) + b"0\r\n\r\n",
        [request("POST", b"/", chunked), END],
    ),
    (
        "9112 7.1",
        "chunk sizes in both cases, with zeros",
        post(CHUNKED) + b"00A\r\n0123456789\r\nb\r\n0123456789a\r\n000\r\n\r\n",
        [request("POST", b"/", chunked), Body(b"01234567890123456789a"), END],
    ),
    (
        "9112 7.1",
        "chunks that contain line ends and chunks",
        post(CHUNKED) + b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
        [request("POST", b"/", chunked), Body(b"0\r\n\r\n\r\n"), END],
    ),
    (
        "9112 7.1.1",
        "chunk extensions, left out",
        post(CHUNKED) + b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n',
        [request("POST", b"/", chunked), Body(b"hello"), END],
    ),
    (
        "9112 7.1.2",
        "trailers, left out",
        post(CHUNKED) + b"1\r\nx\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n",
        [request("POST", b"/", chunked), Body(b"x"), END],
    ),
    (
        "9112 7",
        "Chunked in any case",
        post(b"Transfer-Encoding: CHUNKED") + b"0\r\n\r\n",
        [request("POST", b"/", (b"transfer-encoding", b"CHUNKED")), END],
    ),
    (
        "9112 9.3",
        "Connection: close",
        get(b"Connection: foo, Close"),
        [request("GET", b"/", (b"connection", b"foo, Close"), keep_alive=False), END],
    ),
    (
        "9112 9.3",
        "close among several Connection fields",
        get(b"Connection: keep-alive", b"Connection: close"),
        [
            request(
                "GET",
                b"/",
                (b"connection", b"keep-alive"),
                (b"connection", b"close"),
                keep_alive=False,
            ),
            END,
        ],
    ),
    (
        "9112 9.3",
        "HTTP/1.0 closes",
        lines(b"GET / HTTP/1.0"),
        [request(version="1.0", host=False, keep_alive=False), END],
    ),
    (
        "9112 9.3",
        "HTTP/1.0 with keep-alive",
        get(b"Connection: Keep-Alive", first=b"GET / HTTP/1.0"),
        [request("GET", b"/", (b"connection", b"Keep-Alive"), version="1.0"), END],
    ),
    (
        "9110 10.1.1",
        "an expectation of 100-continue",
        post(b"Expect: 100-Continue", b"Content-Length: 1") + b"x",
        [
            request("POST", b"/", (b"expect", b"100-Continue"), length(1), expects_continue=True),
            Body(b"x"),
            END,
        ],
    ),
    (
        "9110 10.1.1",
        "an expectation without a body",
        post(b"Expect: 100-continue"),
        [request("POST", b"/", (b"expect", b"100-continue")), END],
    ),
    (
        "9110 10.1.1",
        "an expectation from HTTP/1.0",
        get(b"Expect: 100-continue", b"Content-Length: 1", first=b"POST / HTTP/1.0") + b"x",
        [
            request(
                "POST",
                b"/",
                (b"expect", b"100-continue"),
                length(1),
                version="1.0",
                keep_alive=False,
            ),
            Body(b"x"),
            END,
        ],
    ),
    (
        "9110 7.8",
        "an upgrade to something else is plain HTTP, with its body",
        post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3") + b"abc" + get(),
        [
            request(
                "POST",
                b"/",
                (b"connection", b"Upgrade"),
                (b"upgrade", b"h2c"),
                length(3),
                upgrade=b"h2c",
            ),
            Body(b"abc"),
            END,
            request(),
            END,
        ],
    ),
    (
        "9110 7.8",
        "an Upgrade that Connection does not name",
        get(b"Upgrade: websocket"),
        [request("GET", b"/", (b"upgrade", b"websocket")), END],
    ),
    (
        "9110 7.8",
        "an Upgrade from HTTP/1.0",
        get(b"Connection: upgrade", b"Upgrade: websocket", first=b"GET / HTTP/1.0"),
        [
            request(
                "GET",
                b"/",
                (b"connection", b"upgrade"),
                (b"upgrade", b"websocket"),
                version="1.0",
                keep_alive=False,
            ),
            END,
        ],
    ),
    (
        "9110 7.8",
        "websocket among other protocols",
        get(b"Connection: keep-alive, Upgrade", b"Upgrade: h2c, WebSocket"),
        [
            request(
                "GET",
                b"/",
                (b"connection", b"keep-alive, Upgrade"),
                (b"upgrade", b"h2c, WebSocket"),
                upgrade=b"websocket",
            ),
            END,
        ],
    ),
    (
        "9112 9.3.2",
        "three requests at once, with bodies of each kind",
        post(b"Content-Length: 2") + b"ab" + post(CHUNKED) + b"1\r\nx\r\n0\r\n\r\n" + get(),
        [
            request("POST", b"/", length(2)),
            Body(b"ab"),
            END,
            request("POST", b"/", chunked),
            Body(b"x"),
            END,
            request(),
            END,
        ],
    ),
    (
        "9112 9.3.2",
        "empty lines between requests",
        get() + b"\r\n" + get() + b"\r\n\r\n" + get(),
        [request(), END, request(), END, request(), END],
    ),
    (
        "9112 9.6",
        "nothing is read after a request that closes",
        get(b"Connection: close") + get(),
        [request("GET", b"/", (b"connection", b"close"), keep_alive=False), END],
    ),
    (
        "9112 2.2",
        "a good request before a bad one",
        get() + b"NONSENSE\r\n\r\n",
        [request(), END, Refused(400)],
    ),
    (
        "9112 7.1",
        "the body before a bad chunk",
        post(CHUNKED) + b"1\r\nx\r\nnonsense\r\n",
        [request("POST", b"/", chunked), Body(b"x"), Refused(400)],
    ),
]

# (RFC section, what is wrong, bytes, status)
MALFORMED = [
    ("9112 3", "no request line", b"NONSENSE\r\n\r\n", 400),
    ("9112 3", "no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("9112 3", "no version", b"GET /\r\n\r\n", 505),
    ("9112 3", "no version, then a field", b"GET /\r\nHost: a\r\n\r\n", 505),
    ("9112 3", "space in the target", get(first=b"GET /a b HTTP/1.1"), 400),
    ("9112 3", "space after the version", get(first=b"GET / HTTP/1.1 "), 400),
    ("9112 3", "space before the method", b" " + get(), 400),
    ("9112 3", "a tab for a space", get(first=b"GET\t/ HTTP/1.1"), 400),
    ("9112 3", "a control character in the target", get(first=b"GET /\x01 HTTP/1.1"), 400),
    ("9112 3", "a NUL in the target", get(first=b"GET /\x00 HTTP/1.1"), 400),
    ("9112 3.2", "a target that is no path", get(first=b"GET a HTTP/1.1"), 400),
    ("9112 3.2", "a target with a fragment", get(first=b"GET /a#b HTTP/1.1"), 400),
    ("9112 3.1", "a method in lower case", get(first=b"get / HTTP/1.1"), 400),
    ("9112 3.1", "a method of RTSP", get(first=b"DESCRIBE / HTTP/1.1"), 400),
    ("9110 9.3.6", "CONNECT", get(first=b"CONNECT a:443 HTTP/1.1"), 501),
    ("9112 2.3", "a version in lower case", get(first=b"GET / http/1.1"), 400),
    ("9112 2.3", "a version without a dot", get(first=b"GET / HTTP/11"), 400),
    ("9112 2.3", "a version of letters", get(first=b"GET / HTTP/1.x"), 400),
    ("9112 2.3", "a version of three digits", get(first=b"GET / HTTP/1.10"), 400),
    *[
        ("9110 15.6.6", f"HTTP/{version.decode()}", get(first=b"GET / HTTP/" + version), 505)
        for version in (b"0.9", b"1.2", b"2.0", b"3.0")
    ],
    ("9113 3.4", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("9112 2.2", "lines that end in LF", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("9112 2.2", "one field that ends in LF", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400),
    ("9112 2.2", "an end of the head in LF", b"GET / HTTP/1.1\r\nHost: a\r\n\nGET /", 400),
    ("9112 2.2", "a bare CR in a value", get(b"X: a\rb"), 400),
    ("9112 2.2", "CR CR LF", get(b"X: a\r"), 400),
    ("9110 5.5", "a NUL in a value", get(b"X: a\0b"), 400),
    ("9110 5.5", "a control character in a value", get(b"X: a\x01b"), 400),
    ("9112 5.2", "a folded value", get(b"X: a", b" b"), 400),
    ("9112 5.2", "a fold in the first line of fields", lines(b"GET / HTTP/1.1", b" Host: a"), 400),
    ("9112 5.2", "a folded length", post(b"Content-Length:", b" 5") + b"hello", 400),
    ("9112 5.1", "space before the colon", get(b"X : a"), 400),
    ("9112 5.1", "space before the colon of a length", post(b"Content-Length : 5"), 400),
    ("9112 5", "a field without a colon", get(b"X"), 400),
    ("9112 5", "a field without a name", get(b": a"), 400),
    ("9110 5.6.2", "a name that is no token", get(b"X(y): a"), 400),
    ("9110 5.6.2", "a name beyond ASCII", get(b"X\xff: a"), 400),
    ("9112 3.2", "no Host", lines(b"GET / HTTP/1.1", b"X: 1"), 400),
    ("9112 3.2", "no fields at all", lines(b"GET / HTTP/1.1"), 400),
    ("9112 3.2", "two Hosts", get(b"Host: b"), 400),
    ("9112 3.2", "the same Host twice", get(b"Host: a"), 400),
    ("9112 3.2", "two Hosts from HTTP/1.0", get(b"Host: b", first=b"GET / HTTP/1.0"), 400),
    *[
        ("9112 3.2", f"a Host of {host!r}", get(host=b"Host: " + host), 400)
        for host in (b"a b", b"a/b", b"u@a", b"a\\b", b"a?b", b"a#b", b"caf\xc3\xa9", b"<a>")
    ],
    ("9112 6.3", "two lengths", post(b"Content-Length: 5", b"Content-Length: 6"), 400),
    ("9112 6.3", "one length twice", post(b"Content-Length: 5", b"Content-Length: 5"), 400),
    *[
        ("9110 8.6", f"a length of {value!r}", post(b"Content-Length: " + value) + b"hello", 400)
        for value in (b"5, 5", b"+5", b"-5", b"", b"5 6", b"0x5", b"5.0", b"9" * 30, b"five")
    ],
    ("9112 6.1", "chunks and a length", post(CHUNKED, b"Content-Length: 5"), 400),
    ("9112 6.1", "a length and chunks", post(b"Content-Length: 5", CHUNKED), 400),
    ("9112 6.1", "chunks from HTTP/1.0", get(CHUNKED, first=b"POST / HTTP/1.0"), 400),
    ("9112 6.1", "a coding before chunked", post(b"Transfer-Encoding: gzip, chunked"), 501),
    *[
        ("9112 6.1", f"a coding of {value!r}", post(b"Transfer-Encoding: " + value), 400)
        for value in (
            b"identity", b"chunked, gzip", b"xchunked", b"chunked;a=b", b"\x0bchunked", b"",
            b"chunked, identity", b"gzip",
        )
    ],
    ("9112 6.1", "chunked twice", post(CHUNKED, CHUNKED), 400),
]  # fmt: skip

BAD_CHUNKS = [
    ("no size", b"\r\nhello\r\n"),
    ("a size that is no number", b"xyz\r\n"),
    ("a size with a sign", b"+5\r\nhello\r\n"),
    ("a negative size", b"-5\r\nhello\r\n"),
    ("a size with 0x", b"0x5\r\nhello\r\n"),
    ("a size with an underscore", b"1_0\r\n"),
    ("space before the size", b" 5\r\nhello\r\n"),
    ("space after the size", b"5 \r\nhello\r\n"),
    ("space before an extension", b"5 ;a\r\nhello\r\n"),
    ("a size of 16 digits", b"1000000000000000\r\n"),
    ("a size line that ends in LF", b"5\nhello\r\n"),
    ("a NUL in an extension", b"5;a\0\r\nhello\r\n"),
    ("a bare CR in an extension", b"5;a\rb\r\nhello\r\n"),
    ("a bare CR after the size", b"5\r5\r\nhello\r\n"),
    ("a size line without end", b"5;" + b"a" * 1100),
    ("a chunk longer than its size", b"4\r\nhello\r\n"),
    ("a chunk that ends in LF", b"5\r\nhello\n0\r\n"),
    ("a chunk that ends in CR", b"5\r\nhello\r0\r\n"),
    ("a trailer without a colon", b"0\r\nX\r\n\r\n"),
    ("a trailer without a name", b"0\r\n: a\r\n\r\n"),
    ("a folded trailer", b"0\r\nX: a\r\n b\r\n\r\n"),
    ("a trailer that ends in LF", b"0\r\nX: a\n\r\n"),
    ("a bare CR in a trailer", b"0\r\nX: a\rb\r\n\r\n"),
    ("space before the colon of a trailer", b"0\r\nX : a\r\n\r\n"),
    ("an end in LF", b"0\r\n\n"),
]


def name(row: tuple[object, ...]) -> str:
    return f"{row[0]} {row[1]}"


@pytest.mark.parametrize(("data", "expected"), [r[2:] for r in READ], ids=map(name, READ))
def test_requests_are_read(data: bytes, expected: list[object]) -> None:
    check(data, expected)


@pytest.mark.parametrize(("data", "status"), [r[2:] for r in MALFORMED], ids=map(name, MALFORMED))
def test_a_malformed_request_has_its_status(data: bytes, status: int) -> None:
    check(data, [Refused(status)])


@pytest.mark.parametrize("body", [r[1] for r in BAD_CHUNKS], ids=[r[0] for r in BAD_CHUNKS])
def test_a_malformed_chunk_is_refused(body: bytes) -> None:
    events = [event for event in read(H1Connection(H1Limits()), [post(CHUNKED) + body])]
    assert events[-1] == Refused(400)
    check(post(CHUNKED) + body, events)


# -- limits --------------------------------------------------------------------

LIMITS = H1Limits(max_line=20, max_headers_size=60, max_header_count=4)
NINE = b"GET %b HTTP/1.1"


def with_target(size: int) -> bytes:
    return get(first=NINE % (b"/" + b"x" * (size - 1)))


def with_fields(count: int) -> bytes:
    return get(*[b"X: 1"] * (count - 1))


# "Host: a" and "X: " are counted with 4 bytes for the colon, the space and the line end.
def with_header_bytes(size: int) -> bytes:
    return get(b"X: " + b"x" * (size - 9 - 5))


def test_a_head_at_its_limits_is_read() -> None:
    check(with_target(20), [request("GET", b"/" + b"x" * 19), END], LIMITS)
    check(with_fields(4), [request("GET", b"/", *[(b"x", b"1")] * 3), END], LIMITS)
    check(with_header_bytes(60), [request("GET", b"/", (b"x", b"x" * 46)), END], LIMITS)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (with_target(21), 414),
        (with_target(300), 414),
        (NINE[:4] + b"/" * 300, 414),
        (with_fields(5), 431),
        (with_header_bytes(61), 431),
        (with_header_bytes(300), 431),
        (get()[:-2] + b"X: " + b"x" * 300, 431),
        (get()[:-2] + b"X" * 300, 431),
        (get()[:-2] + b"X_: 1\r\n" * 50, 431),
        (b"\r\n" * 100, 431),
    ],
)
def test_a_head_over_its_limits_has_its_status(data: bytes, status: int) -> None:
    check(data, [Refused(status)], LIMITS)


def test_trailers_over_the_limit_are_refused() -> None:
    body = b"0\r\n" + b"X: 1\r\n" * 20
    check(post(CHUNKED) + body, [request("POST", b"/", chunked), Refused(431)], LIMITS)


# -- the end of the connection ---------------------------------------------------

CUT = [get()[:-1], post(b"Content-Length: 5") + b"hell", post(CHUNKED) + b"5\r\nhello\r\n0\r\n"]


@pytest.mark.parametrize("data", CUT)
def test_a_client_that_closes_in_the_middle_of_a_request_is_refused(data: bytes) -> None:
    for pieces in feedings(data):
        assert read(H1Connection(H1Limits()), [*pieces, EOF])[-1] == Refused(400)


@pytest.mark.parametrize("data", [b"", b"\r\n", get(), get() + b"\r\n"])
def test_a_client_that_closes_between_requests_is_no_error(data: bytes) -> None:
    for pieces in feedings(data) if data else [[]]:
        connection = H1Connection(H1Limits())
        said = read(connection, [*pieces, EOF])
        assert not any(isinstance(event, ProtocolError) for event in said)
        assert connection.next_event() is NEED_DATA


@pytest.mark.parametrize("lengths", [[b"1", b"1"], [b"1x"], [b"-1"], [b"1,1"], [b""]])
def test_a_length_that_llhttp_might_let_through_is_refused(lengths: list[bytes]) -> None:
    head = Head(H1Limits())
    head.known = {b"host": [b"a"], b"content-length": lengths}
    assert judge(b"POST", "1.1", head) == Refused(400)


def test_what_piles_up_during_a_request_is_read_after_it() -> None:
    connection = H1Connection(H1Limits())
    data = get() * 3
    for i in range(len(data)):
        connection.receive_data(data[i : i + 1])
    assert read(connection, [b"\r\n"]) == [request(), END] * 3


def test_after_an_error_nothing_is_read() -> None:
    connection = H1Connection(H1Limits())
    assert read(connection, [b"NONSENSE\r\n\r\n", get(), EOF]) == [Refused(400)]
    assert connection.next_event() is NEED_DATA


# -- pipelining and what is left for others -----------------------------------------


def test_the_next_request_waits_for_its_cycle() -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(get() + get(first=b"GET /2 HTTP/1.1"))
    assert connection.next_event() == request()
    assert connection.next_event() is not PAUSED
    assert connection.next_event() is PAUSED
    connection.receive_data(b"")
    assert connection.next_event() is PAUSED
    answer(connection)
    connection.start_next_cycle()
    assert connection.next_event() == request("GET", b"/2")


@pytest.mark.parametrize("point", [0, 1, 2])
def test_a_cycle_ends_after_the_request_and_its_response(point: int) -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(get())
    if point >= 1:
        read_to_pause(connection)
    if point == 2:
        connection.send(Response(200, []))
    with pytest.raises(LocalProtocolError, match="after EndOfRequest, a complete response"):
        connection.start_next_cycle()


def read_to_pause(connection: H1Connection) -> Request:
    request = connection.next_event()
    assert isinstance(request, Request)
    while connection.next_event() is not PAUSED:
        pass
    return request


UPGRADE = get(b"Connection: Upgrade", b"Upgrade: WebSocket")
FRAMES = b"\x81\x85\r\n\r\n\x00GET / HTTP/1.1\r\n\r\n"


def test_what_follows_an_upgrade_is_left_for_the_other_protocol() -> None:
    for pieces in feedings(UPGRADE + FRAMES):
        connection = H1Connection(H1Limits())
        events = []
        for piece in pieces:
            connection.receive_data(piece)
            events.append(connection.next_event())
        (upgrade,) = (event for event in events if isinstance(event, Request))
        assert upgrade.upgrade == b"websocket"
        assert connection.take_remainder() == FRAMES
        assert connection.take_remainder() == b""


def test_an_upgrade_that_is_not_followed_is_a_request_as_any_other() -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(UPGRADE + get())
    assert read_to_pause(connection).upgrade == b"websocket"
    answer(connection)
    connection.start_next_cycle()
    assert read_to_pause(connection) == request()


def test_nothing_is_left_over_while_a_request_is_being_read() -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(post(b"Content-Length: 5") + b"he")
    connection.next_event()
    with pytest.raises(LocalProtocolError, match="without a body"):
        connection.take_remainder()


def test_a_body_is_handed_on_as_it_comes() -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(post(b"Content-Length: 6"))
    connection.next_event()
    for piece in (b"ab", b"cd"):
        connection.receive_data(piece)
        assert connection.next_event() == Body(piece)
        assert connection.next_event() is NEED_DATA
    connection.receive_data(b"efGET")
    assert connection.next_event() == Body(b"ef")
    assert connection.next_event() == END
    assert connection.next_event() is PAUSED


def test_a_client_is_told_to_continue_once() -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(post(b"Expect: 100-continue", b"Content-Length: 1"))
    head = connection.next_event()
    assert isinstance(head, Request)
    assert head.expects_continue
    assert connection.next_event() is NEED_DATA
    assert connection.send(Informational(100)) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.receive_data(b"x")
    assert connection.next_event() == Body(b"x")
    assert connection.next_event() == END
    answer(connection)
    assert connection.keep_alive


# -- round trips ---------------------------------------------------------------

tokens = st.text(st.sampled_from("abcXYZ019-.!~"), min_size=1, max_size=8)
values = st.binary(max_size=20).map(
    lambda raw: bytes(b for b in raw if b >= 0x20 and b != 0x7F).strip()
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, list[object]]:
    """Draw a request as a client writes it, and what it is read as."""
    extra = draw(st.lists(st.tuples(tokens.map(lambda t: ("x-" + t).encode()), values), max_size=4))
    body = draw(st.binary(max_size=40))
    fields = [(b"host", b"a"), *extra]
    if draw(st.booleans()):
        fields.append(length(len(body)))
        written = body
    else:
        fields.append(chunked)
        cut = draw(st.integers(0, len(body)))
        pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
        written = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
    head = lines(b"PUT /x HTTP/1.1", *(name + b": " + value for name, value in fields))
    read_fields = [(name.lower(), value) for name, value in fields]
    event = Request("PUT", b"/x", read_fields, "1.1", None, False, True)
    return head + written, [event, *([Body(body)] if body else []), END]


@settings(max_examples=25, deadline=None, database=None)
@given(st.lists(requests(), max_size=3), st.data())
def test_what_a_client_asks_is_what_is_read(
    asked: list[tuple[bytes, list[object]]], data: st.DataObject
) -> None:
    wire = b"".join(written for written, _ in asked)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6))), len(wire)]
    pieces = [wire[a:b] for a, b in pairwise(edges) if b > a]
    expected = [event for _, events in asked for event in events]
    assert read(H1Connection(H1Limits()), pieces) == expected
