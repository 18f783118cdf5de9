"""HTTP/1.1 over real sockets: what applications see, and what clients get."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
import threading
from itertools import repeat
from typing import Any

import pytest
from held_back import connection_of, nothing_came, send_until_held, wait_until_unread

from channels.server.loops import new_event_loop

both_loops = pytest.mark.parametrize(
    "loop_factory",
    [
        pytest.param(new_event_loop, id="uvloop"),
        pytest.param(asyncio.new_event_loop, id="asyncio", marks=pytest.mark.slow),
    ],
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def wait_for(event: threading.Event) -> None:
    """Wait in an application for what the test decides, without blocking its loop."""
    await asyncio.get_running_loop().run_in_executor(None, event.wait, 10)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


async def answer(send: Any, body: bytes = b"hello", status: int = 200, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await answer(send)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await answer(send, await read_body(receive))


class Recorder:
    """Keeps the scopes and what each application saw."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.scopes.append(scope)
        await answer(send)


# -- scopes and plain exchanges ------------------------------------------------


@both_loops
def test_a_scope_says_all_that_asgi_asks_for(serve: Any) -> None:
    app = Recorder()
    served = serve(app)
    with served.connect() as client:
        client.sendall(
            b"GET /caf%C3%A9/%2F?q=%20 HTTP/1.1\r\nHost: x\r\nX-Two: a\r\nx-two: b\r\n"
            b"X_Sly: 1\r\nConnection: close\r\n\r\n"
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        own = client.getsockname()
    scope = app.scopes[0]
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/café//",
        "raw_path": b"/caf%C3%A9/%2F",
        "query_string": b"q=%20",
        "root_path": "",
        "headers": [
            (b"host", b"x"),
            (b"x-two", b"a"),
            (b"x-two", b"b"),
            (b"connection", b"close"),
        ],
        "client": own,
        "server": served.address,
        "state": {},
    }


def test_a_path_that_is_no_utf8_keeps_its_bytes_in_the_raw_path(serve: Any) -> None:
    app = Recorder()
    serve(app).exchange(b"GET /%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (app.scopes[0]["path"], app.scopes[0]["raw_path"]) == ("/\ufffd", b"/%ff")


def test_a_request_for_an_absolute_target_has_its_path(serve: Any) -> None:
    app = Recorder()
    serve(app).exchange(b"GET http://x/a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (app.scopes[0]["path"], app.scopes[0]["query_string"]) == ("/a", b"b")


@both_loops
def test_a_connection_is_kept_for_the_next_request(serve: Any) -> None:
    served = serve(echo)
    client = http.client.HTTPConnection(*served.address, timeout=5)
    for body in (b"one", b"", b"three" * 50000):
        client.request("POST", "/", body=body)
        response = client.getresponse()
        assert response.getheader("content-length") == str(len(body))
        assert response.getheader("server") == "channels"
        assert response.getheader("date")
        assert response.read() == body
    assert served.statistics["connections"] == 1
    client.close()


def test_pipelined_requests_are_answered_in_their_order(serve: Any) -> None:
    running = []
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        running.append(scope["path"])
        assert len(running) == 1
        await (wait_for(go) if scope["path"] == "/1" else asyncio.sleep(0))
        running.clear()
        await answer(send, scope["path"].encode())

    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(1, 30))
    served = serve(app)
    with served.connect() as client:
        client.sendall(requests + LAST)
        served.wait_until(lambda: running)
        # The others are not begun, however long the first one takes.
        assert served.call(running.copy) == ["/1"]
        go.set()
        data = read_all(client)
    bodies = [part.partition(b"HTTP/1.1")[0] for part in data.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"/%d" % n for n in range(1, 30)] + [b"/"]


def test_many_pipelined_requests_in_small_pieces_all_get_answers(serve: Any) -> None:
    served = serve(hello)
    with served.connect() as client:
        for _ in range(200):
            client.sendall(GET[:7])
            client.sendall(GET[7:])
        client.sendall(LAST)
        data = b""
        while part := client.recv(65536):
            data += part
    assert data.count(b"HTTP/1.1 200") == 201


def test_chunks_come_in_and_chunks_go_out(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = await read_body(receive)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"!"})

    data = serve(app).exchange(
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )
    assert b"transfer-encoding: chunked\r\n" in data
    assert data.endswith(b"\r\n\r\n7\r\nabcdefg\r\n1\r\n!\r\n0\r\n\r\n")


def test_an_http_1_0_client_gets_a_body_that_ends_with_the_connection(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        assert scope["http_version"] == "1.0"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    data = serve(app).exchange(b"GET / HTTP/1.0\r\n\r\n")
    assert data.endswith(b"\r\n\r\nab")
    assert b"transfer-encoding" not in data


def test_the_answer_to_head_has_the_headers_and_no_body(serve: Any) -> None:
    data = serve(hello).exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.0\r\n\r\n")
    assert data.count(b"content-length: 5\r\n") == 2
    assert b"hello" not in data


def test_a_large_response_arrives_whole(serve: Any) -> None:
    body = bytes(range(256)) * 40000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await answer(send, body)

    data = serve(app).exchange(LAST)
    assert data.partition(b"\r\n\r\n")[2] == body


# -- request bodies --------------------------------------------------------------


@both_loops
def test_100_continue_is_sent_when_the_application_asks_for_the_body(serve: Any) -> None:
    asked = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await wait_for(asked)
        await answer(send, await read_body(receive))

    served = serve(app)
    with served.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        served.wait_until(lambda: served.statistics["applications"])
        served.call(asked.is_set)
        assert nothing_came(client)
        asked.set()
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ok")
        assert client.recv(65536).endswith(b"\r\n\r\nok")


def test_an_unwanted_body_is_never_asked_for(serve: Any) -> None:
    data = serve(hello).exchange(
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    )
    assert b"100 Continue" not in data
    assert b"connection: close" in data


def test_a_body_that_nobody_read_does_not_disturb_the_next_request(serve: Any) -> None:
    body = b"x" * 100_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    served = serve(hello)
    with served.connect() as client:
        client.sendall(head)
        assert client.recv(65536).endswith(b"hello")
        client.sendall(body + LAST)
        assert client.recv(65536).endswith(b"hello")


def test_an_upload_waits_for_the_application(serve: Any) -> None:
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await wait_for(go)
        await answer(send, b"%d" % len(await read_body(receive)))

    size = 32 << 20
    served = serve(app, input_limit=100_000)
    with served.connect() as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
        )
        sent, _ = send_until_held(served, client, repeat(bytes(1 << 20), 32))
        # The kernels' buffers take some; the server took about its limit.
        assert sent < size // 2
        go.set()
        client.sendall(bytes(size - sent))
        assert client.recv(65536).endswith(b"\r\n\r\n%d" % size)


def test_a_body_over_the_limit_is_refused_with_413(serve: Any) -> None:
    served = serve(echo, max_body_size=10)
    post = b"POST / HTTP/1.1\r\nHost: x\r\n"
    assert served.exchange(post + b"Content-Length: 11\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
    assert served.exchange(chunked + b"b\r\n01234567890\r\n").startswith(b"HTTP/1.1 413 ")
    fits = post + b"Connection: close\r\nContent-Length: 10\r\n\r\n0123456789"
    assert served.exchange(fits).endswith(b"0123456789")


# -- bad input -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"no http at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    ],
)
def test_bad_requests_get_a_status_a_sentence_and_the_end(
    serve: Any, request_bytes: bytes, status: int
) -> None:
    served = serve(hello)
    data = served.exchange(request_bytes)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert body.startswith(b"%d " % status)
    assert served.exchange(LAST).endswith(b"hello")


def test_a_bad_chunk_ends_the_request_with_400_and_the_application_is_told(serve: Any) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while (message := await receive())["type"] == "http.request":
            pass
        seen.append(message)

    served = serve(app)
    data = served.exchange(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    assert data.startswith(b"HTTP/1.1 400 ")
    served.wait_until(lambda: seen)
    assert seen == [{"type": "http.disconnect"}]


def test_a_head_that_does_not_come_in_time_is_answered_with_408(serve: Any) -> None:
    served = serve(hello)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(GET[:5])
        connection_of(served)
        served.pass_time(10.2)
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_after_the_keep_alive_timeout(serve: Any) -> None:
    served = serve(hello)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(GET)
        assert client.recv(65536).endswith(b"hello")
        served.pass_time(74)
        assert nothing_came(client)
        served.pass_time(1.2)
        assert read_all(client) == b""


# -- applications that fail --------------------------------------------------------


def test_an_application_that_raises_is_a_500_and_logged_once(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        raise KeyError("the reason")

    served = serve(app)
    data = served.exchange(b"GET /where HTTP/1.1\r\nHost: x\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 500 ")
    assert b"the reason" not in data
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.name == "channels.server"
    assert "/where" in record.getMessage()
    assert "the reason" in caplog.text
    assert served.actions[-1][2]["status"] == 500


def test_an_exception_that_was_logged_already_is_not_logged_again(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        error = ValueError("said before")
        error.__channels_logged__ = scope["type"] == "http"  # type: ignore[attr-defined]
        raise error

    assert serve(app, lifespan="off").exchange(GET).startswith(b"HTTP/1.1 500 ")
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_an_application_that_cannot_even_be_called_is_a_500(serve: Any, caplog: Any) -> None:
    data = serve(lambda scope: None, lifespan="off").exchange(GET)
    assert data.startswith(b"HTTP/1.1 500 ")
    assert "takes 1 positional argument" in caplog.text


def test_an_application_may_be_any_awaitable(serve: Any) -> None:
    def app(scope: Any, receive: Any, send: Any) -> Any:
        return asyncio.ensure_future(hello(scope, receive, send))

    assert serve(app, lifespan="off").exchange(LAST).endswith(b"hello")


def test_an_application_that_says_nothing_is_a_500(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    assert serve(app).exchange(GET).startswith(b"HTTP/1.1 500 ")
    assert "without a complete response" in caplog.text


def test_half_a_response_is_cut_off_so_that_nobody_takes_it_for_whole(
    serve: Any, caplog: Any
) -> None:
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await wait_for(go)
        raise RuntimeError("in the middle")

    client = http.client.HTTPConnection(*serve(app).address, timeout=5)
    client.request("GET", "/")
    response = client.getresponse()
    assert response.read(4) == b"half"
    go.set()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    client.close()
    assert "in the middle" in caplog.text


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"type": "http.response.body"}], "expected 'http.response.start'"),
        ([{"type": "http.response.start", "status": 200}] * 2, "expected 'http.response.body'"),
        ([{"type": "websocket.send"}], "expected 'http.response.start'"),
        ([{"type": "http.response.start", "status": "200"}], "number from 200 to 999"),
        (
            [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
            "names and values are bytes",
        ),
        (
            [
                {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]},
                {"type": "http.response.body"},
            ],
            "CR, LF or NUL",
        ),
        (
            [
                {"type": "http.response.start", "status": 200},
                {"type": "http.response.body", "body": "text"},
            ],
            "A response body is bytes",
        ),
        (
            [
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"9")],
                },
                {"type": "http.response.body", "body": b"short"},
            ],
            "Content-Length",
        ),
    ],
)
def test_what_may_not_be_sent_raises_out_of_send(serve: Any, messages: Any, expected: str) -> None:
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        try:
            for message in messages:
                await send(message)
        except Exception as error:
            errors.append(str(error))
            error.__channels_logged__ = True  # type: ignore[attr-defined]
            raise

    assert serve(app).exchange(GET).startswith(b"HTTP/1.1 500 ")
    assert expected in errors[0]


def test_nothing_may_follow_a_complete_response(serve: Any) -> None:
    errors = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await answer(send)
        try:
            await send({"type": "http.response.body"})
        except RuntimeError as error:
            errors.append(str(error))

    assert serve(app).exchange(LAST).endswith(b"hello")
    assert errors == ["'http.response.body' was sent after the whole response; nothing may follow."]


def test_a_response_that_takes_too_long_is_a_503(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        while (await receive())["type"] != "http.disconnect":
            pass

    served = serve(app, http_timeout=60)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(GET)
        served.wait_until(lambda: served.statistics["applications"])
        served.pass_time(60.2)
        assert read_all(client).startswith(b"HTTP/1.1 503 ")


# -- clients that leave or dawdle ---------------------------------------------------


@both_loops
def test_every_receive_after_the_client_left_says_so_and_send_raises(serve: Any) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await receive()
        seen.extend([await receive(), await receive()])
        try:
            await answer(send)
        except OSError as error:
            seen.append(error)

    served = serve(app)
    with served.connect() as client:
        client.sendall(GET)
        served.wait_until(lambda: served.statistics["applications"])
    served.wait_until(lambda: len(seen) == 3)
    assert seen[:2] == [{"type": "http.disconnect"}] * 2


def test_the_application_is_told_when_its_response_is_complete(serve: Any) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await answer(send)
        seen.extend([await receive(), await receive()])

    served = serve(app)
    assert served.exchange(LAST).endswith(b"hello")
    served.wait_until(lambda: len(seen) == 2)
    assert seen[1] == {"type": "http.disconnect"}


def test_work_after_the_response_goes_on_and_the_connection_too(serve: Any) -> None:
    go, done = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await answer(send)
        if scope["path"] == "/work":
            await wait_for(go)
            done.set()

    served = serve(app)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).endswith(b"hello")
        client.sendall(GET)
        assert client.recv(65536).endswith(b"hello")
        served.pass_time(60)
        assert served.statistics["applications"] == 1
    go.set()
    served.wait_until(done.is_set)


def test_an_application_that_outlives_its_client_is_cancelled_with_a_warning(
    serve: Any, caplog: Any
) -> None:
    async def stubborn() -> None:
        await asyncio.Event().wait()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await stubborn()

    served = serve(app)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        served.wait_until(lambda: served.statistics["applications"])
    served.wait_until(lambda: not served.statistics["connections"])
    assert served.statistics["applications"] == 1
    served.pass_time(10.2)
    served.wait_until(lambda: not served.statistics["applications"])
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "app (in " in record.getMessage()
    assert "/stuck" in record.getMessage()


@both_loops
def test_send_waits_for_a_client_that_does_not_read(serve: Any) -> None:
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        for number in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    served = serve(app)
    with served.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(LAST)
        client.recv(100)
        wait_until_unread(served)
        # The kernel takes a few megabytes; the server holds the high-water mark.
        assert served.call(len, sent) < 500
        size = 0
        while part := client.recv(1 << 20):
            size += len(part)
    assert len(sent) == 1000
    assert size > 1000 * 65536


@both_loops
def test_a_client_that_stays_too_slow_is_cut_off_and_counted(serve: Any) -> None:
    errors = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        try:
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        except OSError as error:
            errors.append(error)

    served = serve(app)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(GET)
        wait_until_unread(served)
        assert not errors
        served.pass_time(30.2)
        served.wait_until(lambda: errors)
    assert served.statistics["slow_clients"] == 1


def test_a_client_that_pipelines_and_never_reads_fills_no_memory(serve: Any) -> None:
    count = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        count.append(1)
        await answer(send, b"x" * 100_000)

    served = serve(app)
    with served.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(GET * 2000)
        wait_until_unread(served)
        assert served.call(len, count) < 200


def test_a_client_that_pipelines_faster_than_it_is_answered_is_held_back(serve: Any) -> None:
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await wait_for(go)
        await answer(send)

    served = serve(app)
    with served.connect() as client:
        sent, _ = send_until_held(served, client, repeat(GET * 5000, 1000))
        # What the buffers of both kernels take, and not what ours would.
        assert sent < 30_000_000
        go.set()


# -- what is told to others -----------------------------------------------------------


def test_every_response_is_told_as_an_action(serve: Any) -> None:
    served = serve(hello)
    served.exchange(b"GET /a%20b?c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    ((protocol, action, details),) = served.actions
    assert (protocol, action) == ("http", "complete")
    assert details["time_taken"] >= 0
    assert details["client"].startswith("127.0.0.1:")
    assert {key: details[key] for key in ("path", "status", "method", "size")} == {
        "path": "/a%20b?c",
        "status": 200,
        "method": "GET",
        "size": 5,
    }
