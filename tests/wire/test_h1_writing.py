"""What the server writes in answer: RFC 9112 section 6 and 7, and what it refuses to write."""

from __future__ import annotations

import http.client
import io
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.server.wire.events import (
    PAUSED,
    Informational,
    LocalProtocolError,
    Request,
    Response,
    ResponseBody,
)
from channels.server.wire.h1 import H1Connection, H1Limits


def asked(
    method: str = "GET", version: str = "1.1", *fields: bytes, body: bytes = b""
) -> H1Connection:
    connection = H1Connection(H1Limits())
    head = [f"{method} / HTTP/{version}".encode(), b"Host: a", *fields, b"", body]
    connection.receive_data(b"\r\n".join(head))
    assert isinstance(connection.next_event(), Request)
    return connection


def head_of(sent: bytes) -> tuple[bytes, list[bytes]]:
    status, *fields = sent.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert sent.endswith(b"\r\n\r\n")
    return status, fields


def test_a_response_with_its_length_is_written_as_it_is() -> None:
    connection = asked()
    sent = connection.send(Response(200, [(b"content-type", b"a/b"), (b"content-length", b"5")]))
    assert head_of(sent) == (b"HTTP/1.1 200 OK", [b"content-type: a/b", b"content-length: 5"])
    assert connection.send(ResponseBody(b"he", True)) == b"he"
    assert connection.send(ResponseBody(b"llo", False)) == b"llo"
    assert connection.keep_alive


def test_a_response_without_a_length_is_chunked() -> None:
    connection = asked()
    assert head_of(connection.send(Response(200, [])))[1] == [b"transfer-encoding: chunked"]
    assert connection.send(ResponseBody(b"x" * 17, True)) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert connection.send(ResponseBody(b"", True)) == b""
    assert connection.send(ResponseBody(b"y", False)) == b"1\r\ny\r\n0\r\n\r\n"
    assert connection.keep_alive


def test_an_empty_response_without_a_length_ends_its_chunks() -> None:
    connection = asked()
    connection.send(Response(200, []))
    assert connection.send(ResponseBody(b"", False)) == b"0\r\n\r\n"


def test_a_response_to_http_1_0_without_a_length_ends_with_the_connection() -> None:
    connection = asked("GET", "1.0", b"Connection: keep-alive")
    assert head_of(connection.send(Response(200, [])))[1] == [b"connection: close"]
    assert connection.send(ResponseBody(b"x", True)) == b"x"
    assert connection.send(ResponseBody(b"y", False)) == b"y"
    assert not connection.keep_alive


def test_a_client_of_http_1_0_is_told_that_it_may_go_on() -> None:
    connection = asked("GET", "1.0", b"Connection: keep-alive")
    sent = connection.send(Response(200, [(b"content-length", b"0")]))
    assert head_of(sent)[1] == [b"content-length: 0", b"connection: keep-alive"]
    connection.send(ResponseBody(b"", False))
    assert connection.keep_alive


def test_a_response_to_head_has_the_fields_but_no_body() -> None:
    connection = asked("HEAD")
    sent = connection.send(Response(200, [(b"content-length", b"5")]))
    assert head_of(sent)[1] == [b"content-length: 5"]
    assert connection.send(ResponseBody(b"hello", False)) == b""
    assert connection.keep_alive


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_that_never_has_a_body_is_written_without(status: int) -> None:
    connection = asked()
    assert head_of(connection.send(Response(status, [])))[1] == []
    assert connection.send(ResponseBody(b"hello", False)) == b""
    assert connection.keep_alive


def test_a_204_has_no_length_and_a_304_may_have_one() -> None:
    length = [(b"content-length", b"5")]
    assert head_of(asked().send(Response(204, length)))[1] == []
    assert head_of(asked().send(Response(304, length)))[1] == [b"content-length: 5"]


def test_a_status_without_a_known_phrase_keeps_the_space_before_it() -> None:
    assert head_of(asked().send(Response(299, [])))[0] == b"HTTP/1.1 299 "
    assert head_of(asked().send(Response(404, [])))[0] == b"HTTP/1.1 404 Not Found"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_version_is_the_servers_own(version: str) -> None:
    assert asked("GET", version).send(Response(200, [])).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_transfer_coding_is_not_the_applications_to_choose() -> None:
    headers = [(b"Transfer-Encoding", b"chunked"), (b"content-length", b"1")]
    assert head_of(asked().send(Response(200, headers)))[1] == [b"content-length: 1"]


# -- closing -------------------------------------------------------------------


def test_a_client_that_closes_is_told_that_it_was_heard() -> None:
    connection = asked("GET", "1.1", b"Connection: close")
    sent = connection.send(Response(200, [(b"content-length", b"0")]))
    assert head_of(sent)[1] == [b"content-length: 0", b"connection: close"]
    assert not connection.keep_alive


def test_an_application_may_close() -> None:
    connection = asked()
    sent = connection.send(Response(204, [(b"Connection", b"Close")]))
    assert head_of(sent)[1] == [b"connection: close"]
    assert not connection.keep_alive


def test_an_application_cannot_keep_what_will_be_closed() -> None:
    connection = asked("GET", "1.1", b"Connection: close")
    sent = connection.send(Response(204, [(b"connection", b"keep-alive, x")]))
    assert head_of(sent)[1] == [b"connection: x, close"]


def test_a_body_that_nobody_waited_for_closes_the_connection() -> None:
    fields = (b"Expect: 100-continue", b"Content-Length: 5")
    connection = asked("POST", "1.1", *fields)
    assert b"connection: close" in head_of(connection.send(Response(413, [])))[1]
    assert not connection.keep_alive
    connection = asked("POST", "1.1", *fields, body=b"he")
    connection.next_event()
    connection.send(Response(413, []))
    assert connection.keep_alive


def test_a_malformed_request_is_answered_and_closed() -> None:
    connection = H1Connection(H1Limits())
    connection.receive_data(b"NONSENSE\r\n\r\n")
    connection.next_event()
    sent = connection.send(Response(400, [(b"content-length", b"3")]))
    assert head_of(sent) == (
        b"HTTP/1.1 400 Bad Request",
        [b"content-length: 3", b"connection: close"],
    )
    assert connection.send(ResponseBody(b"bad", False)) == b"bad"
    assert not connection.keep_alive


def test_a_malformed_body_is_answered_and_closed() -> None:
    connection = asked("POST", "1.1", b"Transfer-Encoding: chunked", body=b"nonsense\r\n")
    connection.next_event()
    assert b"connection: close" in head_of(connection.send(Response(400, [])))[1]


def test_a_client_that_asks_nothing_may_be_told_why_it_is_closed() -> None:
    connection = asked()
    finish(connection)
    connection.start_next_cycle()
    assert head_of(connection.send(Response(408, [])))[1] == [b"connection: close"]
    assert not connection.keep_alive


def finish(connection: H1Connection) -> None:
    while connection.next_event() is not PAUSED:
        pass
    connection.send(Response(204, []))
    connection.send(ResponseBody(b"", False))


# -- interim answers -------------------------------------------------------------


def test_interim_answers_come_before_the_response() -> None:
    connection = asked()
    sent = connection.send(Informational(103, [(b"link", b"</a>")]))
    assert head_of(sent) == (b"HTTP/1.1 103 Early Hints", [b"link: </a>"])
    connection.send(Response(200, []))
    with pytest.raises(LocalProtocolError, match="Expected the body of the response"):
        connection.send(Informational(103))


def test_http_1_0_has_no_interim_answers() -> None:
    assert asked("GET", "1.0").send(Informational(100)) == b""


@pytest.mark.parametrize("status", [99, 101, 200])
def test_an_interim_answer_has_a_status_of_its_own(status: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"not 101; got {status}"):
        asked().send(Informational(status))


# -- what is refused -------------------------------------------------------------


def test_the_order_of_a_response_is_kept() -> None:
    connection = asked()
    with pytest.raises(LocalProtocolError, match="Expected the head of the response; got Resp"):
        connection.send(ResponseBody(b"x", False))
    connection.send(Response(200, []))
    with pytest.raises(LocalProtocolError, match="Expected the body of the response; got Resp"):
        connection.send(Response(200, []))
    connection.send(ResponseBody(b"", False))
    for event in (Response(200, []), ResponseBody(b"", False), Informational(103)):
        with pytest.raises(LocalProtocolError, match="Expected nothing: .* complete; got"):
            connection.send(event)


def test_a_body_longer_than_its_length_is_refused_when_it_is_sent() -> None:
    connection = asked()
    connection.send(Response(200, [(b"content-length", b"3")]))
    connection.send(ResponseBody(b"ab", True))
    with pytest.raises(LocalProtocolError, match="Content-Length: 3, but its body has at least 4"):
        connection.send(ResponseBody(b"cd", True))
    assert not connection.keep_alive
    with pytest.raises(LocalProtocolError, match="broken off"):
        connection.send(ResponseBody(b"", False))


def test_a_body_shorter_than_its_length_is_refused_at_its_end() -> None:
    connection = asked()
    connection.send(Response(200, [(b"content-length", b"3")]))
    with pytest.raises(LocalProtocolError, match="Content-Length: 3, but its body has 2 bytes"):
        connection.send(ResponseBody(b"ab", False))
    assert not connection.keep_alive


@pytest.mark.parametrize(
    "values", [[b"-1"], [b"+1"], [b"x"], [b""], [b"1, 1"], [b"1", b"1"], ["1"], [b" 1"]]
)
def test_a_length_that_is_no_number_is_refused(values: list[bytes]) -> None:
    headers = [(b"Content-Length", value) for value in values]
    with pytest.raises(LocalProtocolError, match="Content-Length is given once"):
        asked().send(Response(200, headers))


@pytest.mark.parametrize("status", [0, 99, 100, 101, 1000, "200", None])
def test_a_status_that_is_none_is_refused(status: object) -> None:
    with pytest.raises(LocalProtocolError, match="from 200 to 999; got"):
        asked().send(Response(cast(int, status), []))


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\rb"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"connection", b"x\r\ny: z"),
        (b"x\r\ny", b"a"),
        (b"x y", b"a"),
        (b"", b"a"),
        ("x", b"a"),
        (b"x", "a"),
        (b"x",),
        b"x",
        None,
    ],
)
def test_a_header_that_cannot_be_sent_is_refused(header: tuple[bytes, bytes]) -> None:
    connection = asked()
    with pytest.raises(LocalProtocolError, match="[Hh]eader.*; got "):
        connection.send(Response(200, [(b"fine", b"1"), header]))
    assert connection.send(Response(500, [])).startswith(b"HTTP/1.1 500")


def test_headers_may_be_lists_and_come_from_a_generator() -> None:
    headers = ([name, b"1"] for name in (b"a", b"b"))
    sent = asked().send(Response(204, cast("list[tuple[bytes, bytes]]", headers)))
    assert head_of(sent)[1] == [b"a: 1", b"b: 1"]


# -- round trips with the standard library's client --------------------------------


class FakeSocket:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


@settings(max_examples=25, deadline=None, database=None)
@given(st.lists(st.binary(max_size=50), max_size=5), st.booleans(), st.sampled_from(["1.0", "1.1"]))
def test_a_client_reads_what_was_sent(parts: list[bytes], counted: bool, version: str) -> None:
    connection = asked("GET", version)
    body = b"".join(parts)
    headers = [(b"x-a", b"1")]
    if counted:
        headers.append((b"content-length", str(len(body)).encode()))
    sent = connection.send(Response(200, headers))
    for part in parts:
        sent += connection.send(ResponseBody(part, True))
    sent += connection.send(ResponseBody(b"", False))
    response = http.client.HTTPResponse(FakeSocket(sent))  # type: ignore[arg-type]
    response.begin()
    assert response.read() == body
    assert response.getheader("x-a") == "1"
