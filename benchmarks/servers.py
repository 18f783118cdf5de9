"""The servers under test: how each is started, waited for, and stopped.

A server runs in a session of its own, so that its worker processes can be ended
with it by one id. Ready means: the port takes a connection. No figure starts
there; the load generator waits for every handshake first.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from .environments import ROOT, prepare_environment
from .workloads import Case

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0


@dataclass(frozen=True)
class Server:
    """`command` is filled with the fields of a case, `bin` and `port`."""

    name: str
    environment: str | None
    command: str
    member_path: str | None = None

    @property
    def is_peer(self) -> bool:
        return self.environment is not None

    def takes(self, case: Case) -> bool:
        return self.member_path is None or case.work == "broadcast"

    def path(self, case: Case) -> str:
        return self.member_path or case.path

    def command_for(self, case: Case, port: int, python: str) -> list[str]:
        folder = prepare_environment(self.environment, python)
        return self.command.format(**vars(case), bin=folder, port=port).split()


_UVICORN = (
    "{bin}/uvicorn {application} --host 127.0.0.1 --port {port} --loop uvloop --http httptools"
    " --ws %s --no-access-log --log-level warning"
)
_OURS = "{bin}/channels serve {application} --bind 127.0.0.1 --port {port} --log-level warning"

SERVERS = (
    Server("ours", None, _OURS),
    Server("fast lane", None, _OURS, member_path="/fast/"),
    Server(
        "daphne",
        "daphne",
        "{bin}/daphne --bind 127.0.0.1 --port {port} --verbosity 0 {application}",
    ),
    Server("uvicorn websockets", "uvicorn", _UVICORN % "websockets"),
    Server("uvicorn sansio", "uvicorn", _UVICORN % "websockets-sansio"),
    Server("uvicorn wsproto", "uvicorn", _UVICORN % "wsproto"),
    Server(
        "granian",
        "granian",
        "{bin}/granian --interface asgi --host 127.0.0.1 --port {port} --workers 1"
        " --loop uvloop --no-access-log --log-level warning {application}",
    ),
    Server(
        "limit",
        None,
        "{bin}/python -m benchmarks.limit {work} --port {port} --size {size} --burst {burst}",
    ),
)


class StartError(Exception):
    """A server did not come up; the message holds the end of what it said."""


@dataclass(frozen=True)
class Running:
    port: int
    process_group: int


@contextmanager
def running(server: Server, case: Case, core: int, python: str) -> Iterator[Running]:
    """Run a server on one core for as long as the block lasts."""
    port = _free_port()
    command = ["taskset", "-c", str(core), *server.command_for(case, port, python)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_listening(process, port, log)
            yield Running(port, process.pid)
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT
    while not _accepts(port):
        try:
            # The pause between attempts is a wait for the one thing that ends them early.
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() < until:
                continue
        raise StartError(f"did not listen on port {port}: {_tail(log)}")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace").strip()[-1500:] or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    try:
        # What is left of its session: workers, or itself when it did not stop in time.
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
