"""A redis-server of the tests' own, on a private Unix socket in a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.waiting import wait_until


class RedisServer:
    """Starts with `start()`; `stop()` ends it without a farewell, as a machine that goes down.

    What it holds comes back with the next `start()`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "redis.sock"
        self._process: subprocess.Popen[Any] | None = None

    @property
    def url(self) -> str:
        """Without the number of a database."""
        return f"unix://{self._path}"

    @property
    def host(self) -> dict[str, Any]:
        """For `hosts` of channels_redis, whose reads wait for longer than redis-py does."""
        return {"address": self.url, "socket_timeout": None}

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "These tests need redis-server; `make test` installs it."
        options = {"port": "0", "unixsocket": str(self._path), "dir": str(self._folder)}
        options |= {"save": "", "appendonly": "yes", "appendfsync": "always"}
        command = [program]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, "redis-server answers", between=0.02)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self._path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False


@contextlib.contextmanager
def running_redis() -> Iterator[RedisServer]:
    # Not in pytest's folders: a Unix socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="channels-redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
