"""ASGI servers as processes, each on a port of its own, and what a client asks of them.

A server is ready when it answers a request; it is ended by its own id, with all
that it started. Its output goes to a file, which a failing start shows.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.compat.environments import ROOT
from tests.ports import free_port
from tests.waiting import BETWEEN_TRIES, WITHIN, wait_until
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_websocket

APPLICATION = "tests.compat.server_app:application"

# What somebody types, after `python -m`.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "ours": ("channels", "serve", "-p", "{port}"),
    "daphne": ("daphne", "-p", "{port}"),
    "uvicorn": ("uvicorn", "--port", "{port}", "--ws", "websockets-sansio"),
    "hypercorn": ("hypercorn", "-b", "127.0.0.1:{port}"),
    "granian": ("granian", "--port", "{port}", "--interface", "asgi"),
}


class Answer(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """One server that runs, seen by a client."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.port, self.process, self._log = port, process, log

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @contextlib.contextmanager
    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Iterator[http.client.HTTPResponse]:
        """A response whose body is still to be read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                yield response

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        with self.request(method, path, body, **headers) as response:
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def websocket(self, path: str, **options: Any) -> ClientConnection:
        """Open a WebSocket as a page of this site does."""
        options.setdefault("origin", f"http://127.0.0.1:{self.port}")
        options.setdefault("open_timeout", WITHIN)
        options.setdefault("close_timeout", WITHIN)
        return open_websocket(f"ws://127.0.0.1:{self.port}{path}", **options)

    def notes(self, key: str) -> list[Any]:
        """What the consumer behind `?key=` has noted, once its application has ended."""

        def ended() -> list[Any] | None:
            told: list[Any] = self.get(f"/seen/{key}/").json
            return told if ["ended"] in told else None

        told = wait_until(ended, f"the end of the application of {key}")
        return [what for what in told if what != ["ended"]]

    def answers(self) -> bool:
        assert self.process.poll() is None, f"the server has ended:\n{self.output}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/sync/").status == 200
        return False

    def wait_ready(self) -> None:
        try:
            wait_until(self.answers, "the server answers", between=BETWEEN_TRIES)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from error


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> Iterator[Site]:
    """Start what stands after `python -m`, with "{port}" in it; it is not ready yet."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port=port) for word in command)],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            # With all that it starts, it can be ended as a group.
            start_new_session=True,
        )
    try:
        yield Site(port, process, log)
    finally:
        end(process)


def serving(
    server: str, folder: Path, environment: Mapping[str, str], *options: str
) -> contextlib.AbstractContextManager[Site]:
    """Start a server on the application, with a log in `folder`."""
    log = folder / f"{server}-{'-'.join(environment)}.log"
    return running([*COMMANDS[server], *options, APPLICATION], ROOT, environment, log)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a server to stop, and end what is left of it and of its workers."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(WITHIN)


def make_database(folder: Path) -> dict[str, str]:
    """Make the application's database; returns the environment that names it."""
    environment = {"SERVER_APP_DATABASE": str(folder / "db.sqlite3")}
    subprocess.run(
        [sys.executable, "-m", "tests.compat.server_app"],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )
    return environment
