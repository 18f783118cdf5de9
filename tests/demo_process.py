"""The example chat in a process of its own, started as `make demo` starts it.

Used by the tests that look at the demo from outside: over HTTP and WebSockets,
and in a browser.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.waiting import BETWEEN_TRIES, wait_until
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

CHAT = Path(__file__).resolve().parent.parent / "examples" / "chat"
# The first start makes the database and hashes two passwords, on a busy machine.
START_DEADLINE = 60.0


class Demo:
    """Starts and stops the demo, always on the same port and data folder."""

    def __init__(self, folder: Path, port: int | None = None, workers: int = 2) -> None:
        self._workers = workers
        # Where its processes meet: not where those of another demo do.
        self._temporary = folder / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._data = folder / "data"
        self._output = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """Everything that the process has written, of its last start."""
        return self._output.read_text()

    @property
    def _environment(self) -> dict[str, str]:
        # The settings of the test run are not those of the example.
        ours = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        return {**ours, "CHAT_DATA": str(self._data), "TMPDIR": str(self._temporary)}

    def members(self, room: str) -> dict[int, int]:
        """How many sockets each worker has in a room, by its process."""
        shown = subprocess.run(
            [sys.executable, str(CHAT / "manage.py"), "channels_layer", "--json"],
            env=self._environment,
            capture_output=True,
            check=True,
            timeout=30,
        )
        processes = json.loads(shown.stdout)["processes"]
        groups = {process["pid"]: process.get("groups", {}) for process in processes}
        return {
            pid: len(here[f"room.{room}"]) for pid, here in groups.items() if f"room.{room}" in here
        }

    def launch(self) -> subprocess.Popen[bytes]:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, str(CHAT / "manage.py"), "demo"),
                    *("--port", str(self.port), "--workers", str(self._workers)),
                ],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self._process

    def start(self) -> float:
        """Return once it answers: the seconds that this took."""
        began = time.monotonic()
        process = self.launch()
        try:
            wait_until(
                lambda: self._answers(process), "the demo answers", START_DEADLINE, BETWEEN_TRIES
            )
        except BaseException:
            self.kill()
            print(self.output)
            raise
        return time.monotonic() - began

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"the demo ended with {process.returncode}"
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{self.url}/login/", timeout=5).close()
            return True
        return False

    def stop(self) -> int:
        """Press Ctrl-C, and return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(20)
        finally:
            self.kill()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(20)


class Visitor:
    """Somebody who logs in over HTTP and chats over a WebSocket."""

    def __init__(self, demo: Demo, name: str) -> None:
        self.demo = demo
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        page = self.get("/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token is not None, page
        self._token = token[1]
        lobby = self.post("/login/", username=name, password=name)
        assert "Rooms" in lobby, lobby

    def get(self, path: str) -> str:
        with self._opener.open(self.demo.url + path, timeout=10) as response:
            return str(response.read().decode())

    def post(self, path: str, **fields: str) -> str:
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": self._token}).encode()
        with self._opener.open(self.demo.url + path, body, timeout=10) as response:
            page: str = response.read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        self._token = token[1] if token else self._token
        return page

    def enter(self, room: str, since: int = 0, origin: str | None = None) -> ClientConnection:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._jar)
        return connect(
            f"ws://127.0.0.1:{self.demo.port}/ws/room/{room}/{since}/",
            additional_headers={"Cookie": cookies},
            origin=Origin(origin or self.demo.url),
            open_timeout=10,
        )


def say(socket: ClientConnection, text: str, key: str = "k") -> None:
    socket.send(json.dumps({"key": key, "text": text}))


def hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next event of this kind; others before it are passed over."""
    while True:
        event: dict[str, Any] = json.loads(socket.recv(timeout=10))
        if event["type"] == kind:
            return event
