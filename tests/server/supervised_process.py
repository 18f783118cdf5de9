"""`channels serve --workers` as a user runs it: what it says, its workers, and requests to it.

Workers are found by what the supervisor logs. Whatever a test leaves running is
ended by process id.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.waiting import WITHIN, wait_until

APP = """
import asyncio, os, signal, subprocess, sys, time

VERSION = "1"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(os.getpid())})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    path = scope["path"]
    answer = f"{os.getpid()} {VERSION}"
    if path == "/busy":
        while True:
            pass
    elif path == "/blocked":
        time.sleep(1000)
    elif path == "/slow":
        print("slow", flush=True)
        await asyncio.sleep(1)
    elif path == "/for-ever":
        print("for ever", flush=True)
        await asyncio.Event().wait()
    elif path == "/block-a-moment":
        print("blocked", flush=True)
        time.sleep(0.7)
    elif path == "/deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif path == "/environment":
        code = "import os; print('CHANNELS_WORKER' in os.environ, len(os.listdir('/proc/self/fd')))"
        answer = str("CHANNELS_WORKER" in os.environ) + " " + subprocess.check_output(
            [sys.executable, "-c", code], text=True, close_fds=False)
    elif path == "/fork":
        child = os.fork()
        if not child:
            # Only what was open for us alone is gone by itself.
            os.closerange(0, 3)
            time.sleep(1000)
        answer = str(child)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": answer.encode()})
"""


class Workers:
    """A supervisor in a process of its own, and what it has written to stderr so far."""

    def __init__(self, folder: Path, *options: str, command: list[str] | None = None, **popen: Any):
        if command is None:
            options = ("serve", "site_app:app", "-p", "0", *options)
            command = [sys.executable, "-m", "channels", *options]
        self.folder = folder
        self.lines: list[str] = []
        self.printed: list[str] = []
        self.process = subprocess.Popen(
            command,
            cwd=popen.pop("cwd", folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self.process.stderr, self.lines), (self.process.stdout, self.printed))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line)

    @property
    def text(self) -> str:
        return "".join(self.lines)

    # -- what it says --------------------------------------------------------

    def wait_for(self, pattern: str, times: int = 1, seconds: float = WITHIN) -> list[str]:
        """Wait until this was said so often; every finding."""
        try:
            return wait_until(
                lambda: len(found := re.findall(pattern, self.text)) >= times and found,
                pattern,
                seconds,
            )
        except AssertionError:
            raise AssertionError(f"{times} times {pattern!r} in:\n{self.text}") from None

    def ready(self, times: int = 1) -> list[int]:
        """The pids of all that have become ready, which are at least so many."""
        return [int(pid) for pid in self.wait_for(r"Worker \d+ \(pid (\d+)\) is ready", times)]

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.wait_for(r"Listening on http://[\d.]+:(\d+)")[0])

    def wait_printed(self, line: str, times: int = 1) -> None:
        # Unbuffered, two processes may write their words and line ends in any order.
        wait_until(lambda: "".join(self.printed).count(line) >= times, line)

    # -- what it serves ------------------------------------------------------

    def get(self, path: str = "/") -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=WITHIN)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def pid(self) -> int:
        return int(self.get().split()[0])

    def request(self, path: str) -> socket.socket:
        """A connection on which a request was sent."""
        client = socket.create_connection(self.address, timeout=WITHIN)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    # -- its end -------------------------------------------------------------

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, seconds: float = 30) -> int:
        """Wait for its end; the exit status."""
        status = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(WITHIN)
            assert not reader.is_alive(), "a process that is left holds the output open"
        return status

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.finish()

    def clean_up(self) -> None:
        """End what a failed test has left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in {int(pid) for pid in re.findall(r"\(pid (\d+)\) is ready", self.text)}:
            if is_worker(pid):
                os.kill(pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(WITHIN)
        for stream in (self.process.stdout, self.process.stderr, self.process.stdin):
            if stream is not None:
                stream.close()


def is_worker(pid: int) -> bool:
    """Whether this process is there, and is one of ours."""
    try:
        return b"channels" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


@contextlib.contextmanager
def workers_in(folder: Path) -> Iterator[Any]:
    """Start supervisors in `folder`, which gets the application."""
    (folder / "site_app.py").write_text(APP)
    started: list[Workers] = []

    def start(*options: str, **how: Any) -> Workers:
        started.append(Workers(folder, *options, **how))
        return started[-1]

    try:
        yield start
    finally:
        for workers in started:
            workers.clean_up()
