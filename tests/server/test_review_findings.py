"""What a listener, an odd application or an odd client must not be able to do to a server."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from channels.server import Server, ServerConfig, StartError

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def ok(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError(scope["type"])
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ok"})


def test_an_application_that_could_not_start_and_waits_on_does_not_hold_up_the_server() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        await receive()

    async def start() -> None:
        with pytest.raises(StartError, match="no database"):
            await asyncio.wait_for(Server(application, ServerConfig(port=0)).start(), 20)

    asyncio.run(start())


def test_an_application_that_cancels_itself_at_startup_does_not_hold_up_the_server() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async def start_and_stop() -> None:
        server = Server(application, ServerConfig(port=0))
        await asyncio.wait_for(server.start(), 20)
        await server.stop()

    asyncio.run(start_and_stop())


def test_a_listener_to_actions_that_fails_does_not_stop_the_connection(
    serve: Any, caplog: Any
) -> None:
    served = serve(ok)

    def full(protocol: str, action: str, details: dict[str, Any]) -> None:
        raise OSError("No space left on device")

    served.server._host._on_action = full
    with served.connect() as client:
        for _ in range(2):
            client.sendall(GET)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert "The listener to actions failed on 'complete' of http." in caplog.text


def test_an_application_that_answers_too_late_is_told_so_and_then_cancelled(
    serve: Any, caplog: Any
) -> None:
    raised: list[BaseException] = []
    timed_out = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(scope["type"])
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            await send({"type": "http.response.start", "status": 200})
        except OSError as error:
            raised.append(error)
        timed_out.set()
        await asyncio.Event().wait()

    served = serve(application, http_timeout=5.0, application_close_timeout=7.0)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(GET)
        served.wait_until(lambda: served.statistics["applications"])
        served.pass_time(6)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 503")
        assert timed_out.wait(20)
        served.pass_time(8)
        served.wait_until(lambda: not served.statistics["applications"])
    assert len(raised) == 1
    assert "failed" not in caplog.text


@pytest.mark.parametrize("upgrade", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_a_length_of_thousands_of_zeros_is_zero(serve: Any, caplog: Any, upgrade: bytes) -> None:
    served = serve(ok, max_body_size=1000)
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + upgrade
    with served.connect() as client:
        client.sendall(head + b"Content-Length: " + b"0" * 5000 + b"\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 400" if upgrade else b"HTTP/1.1 200")
    assert caplog.text == ""


def test_a_kept_connection_is_idle_also_after_a_body_that_nobody_read(serve: Any) -> None:
    proceed = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(scope["type"])
        await asyncio.to_thread(proceed.wait, 20)
        await ok(scope, receive, send)

    served = serve(application, input_limit=1000, header_timeout=5.0, keep_alive_timeout=60.0)
    served.stop_clock()
    with served.connect() as client:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n"
        client.sendall(head + b"x" * 2000)
        served.wait_until(lambda: any(c._received == 2000 for c in served.server._host.connections))
        proceed.set()
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
        served.pass_time(10)
        client.sendall(GET)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_a_request_is_told_to_continue_while_the_head_of_its_response_is_held(serve: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(scope["type"])
        await send({"type": "http.response.start", "status": 200})
        body = (await receive())["body"]
        await send({"type": "http.response.body", "body": body})

    served = serve(application)
    with served.connect() as client:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert client.recv(1 << 16).endswith(b"hello")


class Reader:
    """A client that reads a large response in its own time."""

    def __init__(self, served: Any) -> None:
        self.client = socket.socket()
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.client.settimeout(20)
        self.client.connect(served.address)
        self.client.sendall(GET)

    def read(self, size: int) -> int:
        left = size
        while left > 0 and (data := self.client.recv(min(left, 1 << 16))):
            left -= len(data)
        return size - left


def test_a_client_that_goes_on_reading_one_large_body_is_not_too_slow(serve: Any) -> None:
    size = 32 << 20

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(scope["type"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x" * size})

    served = serve(application, write_deadline=30.0)
    served.stop_clock()
    reader = Reader(served)
    with reader.client:
        read = 0
        for _ in range(3):
            part = reader.read(4 << 20)
            assert part == 4 << 20
            read += part
            served.pass_time(31)
        assert served.statistics["slow_clients"] == 0
        # And now it stops.
        served.pass_time(31)
        served.pass_time(31)
        served.wait_until(lambda: served.statistics["slow_clients"] == 1)


async def reads(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError(scope["type"])
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message["more_body"]:
            return await ok(scope, receive, send)


POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"


def test_a_body_that_comes_slowly_is_waited_for_and_one_that_stalls_is_not(serve: Any) -> None:
    served = serve(reads, body_timeout=5.0)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(POST + b"\r\n")
        served.wait_until(lambda: served.statistics["applications"])
        for byte in (b"a", b"b"):
            served.pass_time(4)
            (connection,) = served.server._host.connections
            before = connection._received
            client.sendall(byte)
            served.wait_until(lambda: connection._received > before)  # noqa: B023
        served.pass_time(6)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 408")
    served.wait_until(lambda: not served.statistics["applications"])


def test_a_client_that_waits_for_100_continue_is_not_hurried(serve: Any) -> None:
    proceed = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await asyncio.to_thread(proceed.wait, 20)
        await reads(scope, receive, send)

    served = serve(application, body_timeout=5.0)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(POST + b"Expect: 100-continue\r\n\r\n")
        served.wait_until(lambda: served.statistics["applications"])
        served.pass_time(60)
        proceed.set()
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 100")
        served.pass_time(6)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_a_body_that_the_application_does_not_take_ends_the_request(
    serve: Any, caplog: Any
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(scope["type"])
        await asyncio.Event().wait()

    served = serve(application, input_limit=1000, input_deadline=5.0, application_close_timeout=2.0)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(POST.replace(b"4", b"90000") + b"\r\n" + b"x" * 3000)
        served.wait_until(lambda: any(c._held for c in served.server._host.connections))
        served.pass_time(6)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 503")
        served.pass_time(3)
        served.wait_until(lambda: not served.statistics["applications"])
    assert "took nothing of what its client sent for 5 s" in caplog.text


def test_a_client_that_goes_is_noticed_also_behind_a_large_body_that_nobody_read(
    serve: Any,
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise ValueError(scope["type"])
        await asyncio.Event().wait()

    served = serve(application, input_limit=1000, application_close_timeout=0.0)
    with served.connect() as client:
        client.sendall(POST.replace(b"4", b"2000") + b"\r\n" + b"x" * 2000)
        served.wait_until(lambda: any(c._received == 2000 for c in served.server._host.connections))
    served.wait_until(lambda: not served.statistics["applications"])
