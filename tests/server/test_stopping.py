"""Starting and stopping: embedded in a loop, in a thread, and as a process with signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import at_most
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from channels.generic.http import AsyncHttpConsumer
from channels.generic.sse import AsyncEventStreamConsumer
from channels.routing import ProtocolTypeRouter, URLRouter, url
from channels.server import Server, ServerConfig

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

APP = """
import asyncio, sys

def say(text):
    print(text, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("lifespan shutdown")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/exit":
        sys.exit(3)
    elif scope["type"] == "http":
        say("request")
        if scope["path"] == "/until-told":
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        elif scope["path"] == "/for-ever":
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"finished"})
    else:
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            pass
        say("disconnect %d" % message["code"])
"""


class Process:
    """`channels serve` as a user runs it."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "site_app.py").write_text(APP)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "channels", "serve", "site_app:app", "-p", "0", *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        if "Listening on http://127.0.0.1:" not in line:
            self.process.kill()
            raise AssertionError(line + self.process.stderr.read())
        self.address = ("127.0.0.1", int(line.rpartition(":")[2]))

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self) -> None:
        """Let the request that waits for it finish."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    with at_most(process.process):
        yield process
    if process.process.poll() is None:
        process.process.kill()
        process.finish()


def listening() -> tuple[socket.socket, tuple[str, int]]:
    """A socket for a server in a thread: who connects is answered once the server runs."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock, sock.getsockname()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish_closes_sockets_and_exits_0(
    process: Process, number: signal.Signals
) -> None:
    idle = socket.create_connection(process.address, timeout=5)
    busy = socket.create_connection(process.address, timeout=5)
    busy.sendall(b"GET /until-told HTTP/1.1\r\nHost: x\r\n\r\n")
    assert process.said() == "request"
    with connect(f"ws://127.0.0.1:{process.address[1]}/") as client:
        process.process.send_signal(number)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=5)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
    assert idle.recv(10) == b""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(process.address, timeout=5)
    process.tell()
    response = busy.makefile("rb").read()
    assert b"connection: close\r\n" in response
    assert response.endswith(b"finished")
    idle.close()
    busy.close()
    status, out, err = process.finish()
    assert status == 0
    assert out.splitlines() == ["disconnect 1012", "lifespan shutdown"]
    assert "Traceback" not in err


def test_a_second_signal_cuts_everything_off_and_exits_1(process: Process) -> None:
    with socket.create_connection(process.address, timeout=5) as busy:
        busy.sendall(b"GET /for-ever HTTP/1.1\r\nHost: x\r\n\r\n")
        assert process.said() == "request"
        process.process.send_signal(signal.SIGTERM)
        assert process.process.stderr is not None
        assert "Stopping" in process.process.stderr.readline()
        process.process.send_signal(signal.SIGTERM)
        status, _, err = process.finish()
    assert status == 1
    assert "by force" in err
    assert "Traceback" not in err


def test_an_application_that_refuses_to_end_keeps_no_server_alive() -> None:
    running = threading.Event()

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        running.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    sock, address = listening()
    server = Server(stubborn, ServerConfig(sockets=(sock,), close_timeout=0.1))
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(server.run()))
    thread.start()
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(GET)
        assert running.wait(5)
        server.request_stop()
        server.request_stop()
        thread.join(5)
    assert statuses == [1]


def test_an_application_that_exits_ends_its_own_request_alone(process: Process) -> None:
    with connect(f"ws://127.0.0.1:{process.address[1]}/") as client:
        for _ in range(2):
            with socket.create_connection(process.address, timeout=5) as request:
                request.sendall(b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
                assert request.makefile("rb").read().startswith(b"HTTP/1.1 500 ")
        assert client.ping().wait(5)
    process.process.send_signal(signal.SIGTERM)
    status, _, err = process.finish()
    assert status == 0
    assert err.count("The application failed on GET '/exit'.") == 2
    assert err.count("An application raised SystemExit(3); the server goes on.") == 2


# -- embedded ------------------------------------------------------------------------


async def slow(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] in ("http", "websocket")
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


def test_what_does_not_finish_in_time_is_cut_off_and_counted_in_the_log(
    serve: Any, caplog: Any
) -> None:
    served = serve(slow, graceful_timeout=0.01)
    with served.connect() as client:
        client.sendall(GET)
        served.wait_until(lambda: served.statistics["applications"])
        served.stop()
    assert "1 application(s) were still running after 0.01 s; cancelled." in caplog.text


def test_a_server_can_be_embedded_started_and_stopped_twice() -> None:
    async def scenario() -> None:
        for _ in range(2):
            server = Server(slow, ServerConfig(port=0))
            await server.start()
            host, port = server.addresses[0]
            reader, writer = await asyncio.open_connection(host, port)
            await server.stop()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            await server.stop()
            assert server.addresses == []
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_a_server_runs_in_a_thread_and_stops_when_asked() -> None:
    sock, address = listening()
    server = Server(hello, ServerConfig(sockets=(sock,)))
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(server.run()))
    thread.start()
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(GET)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.addresses == [address]
    server.request_stop()
    thread.join(10)
    assert statuses == [0]


def test_a_stop_asked_for_before_the_start_is_not_forgotten() -> None:
    server = Server(slow, ServerConfig(port=0))
    server.request_stop()
    thread = threading.Thread(target=server.run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_run_leaves_the_signal_handlers_of_its_process_as_they_were() -> None:
    code = (
        "import signal, threading\n"
        "from channels.server import Server, ServerConfig\n"
        "mine = lambda *a: None\n"
        "signal.signal(signal.SIGTERM, mine)\n"
        "server = Server(lambda s, r, d: None, ServerConfig(port=0, lifespan='off'))\n"
        "server.request_stop()\n"
        "assert server.run() == 0\n"
        "assert signal.getsignal(signal.SIGTERM) is mine\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, timeout=20, check=False)
    assert done.returncode == 0


ended: list[str] = []


class Stream(AsyncEventStreamConsumer):
    async def disconnect(self) -> None:
        ended.append("stream")


class LongPoll(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_headers()
        await self.send_body(b"", more_body=True)

    async def disconnect(self) -> None:
        ended.append("poll")


class Download(AsyncHttpConsumer):
    rest: asyncio.Event

    async def handle(self, body: bytes) -> None:
        await self.send_headers()
        await self.send_body(b"half of it, ", more_body=True)
        await self.rest.wait()
        await self.send_body(b"and the rest")

    async def disconnect(self) -> None:
        ended.append("download")


def test_a_stop_waits_for_a_download_but_not_for_streams_that_never_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def get(port: int, path: str) -> tuple[Any, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def test() -> None:
        rest = Download.rest = asyncio.Event()
        ended.clear()
        routes = [url("^stream/$", Stream), url("^poll/$", LongPoll), url("^file/$", Download)]
        config = ServerConfig(port=0, graceful_timeout=60)
        server = Server(ProtocolTypeRouter({"http": URLRouter(routes)}), config)
        await server.start()
        port = server.addresses[0][1]
        clients = [await get(port, path) for path in ("/stream/", "/poll/", "/file/")]
        stop = asyncio.ensure_future(server.stop())
        for reader, _ in clients[:2]:
            # Cut off: nobody may take it for a whole response.
            assert not (await reader.read()).endswith(b"0\r\n\r\n")
        assert not stop.done()
        rest.set()
        assert b"and the rest" in await clients[2][0].read()
        await stop
        for _, writer in clients:
            writer.close()

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())
    assert sorted(ended) == ["download", "poll", "stream"]
    assert [record for record in caplog.records if record.name.startswith("channels")] == []
