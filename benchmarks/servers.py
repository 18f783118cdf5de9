"""The servers under test: how each is started, waited for, and stopped.

Ready means: the port takes a connection, and all its worker processes have come
to rest. No figure starts there; the load generator waits for every handshake first.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from . import layers, machine
from .environments import prepare_environment
from .processes import started, wait_until
from .workloads import Case

START_TIMEOUT = 30.0
# Workers are still starting while their CPU time grows by more than a tick in this.
REST = 0.5


@dataclass(frozen=True)
class Server:
    """The row of a table. `command` is filled with the fields of a case, `bin` and `port`.

    `workloads`: the ones it takes part in. `baseline`: the row that its CPU time is
    compared with. `quick`: also in a quick run.
    """

    name: str
    environment: str | None
    command: str
    member_path: str | None = None
    workloads: tuple[str, ...] = ("W1", "W2")
    layer: layers.Kind = "memory"
    processes: int = 1
    baseline: str | None = None
    quick: bool = True

    @property
    def is_peer(self) -> bool:
        return self.environment is not None

    @property
    def needs_redis(self) -> bool:
        return layers.needs_redis(self.layer)

    def takes(self, case: Case) -> bool:
        fits = self.member_path is None or case.work == "broadcast"
        return fits and case.workload in self.workloads

    def path(self, case: Case) -> str:
        return self.member_path or case.path

    def command_for(self, case: Case, port: int, python: str) -> list[str]:
        folder = prepare_environment(self.environment, python)
        return self.command.format(**vars(case), bin=folder, port=port).split()

    def described(self, case: Case, python: str) -> str:
        """How it is run, for the record."""
        command = " ".join(self.command_for(case, 8000, python))
        if self.layer == "memory":
            return command
        return f"{command}, CHANNEL_LAYERS = {layers.configuration(self.layer, 'FOLDER')}"


_UVICORN = (
    "{bin}/uvicorn {application} --host 127.0.0.1 --port {port} --loop uvloop --http httptools"
    " --ws %s --no-access-log --log-level warning"
)
_GRANIAN = (
    "{bin}/granian --interface asgi --host 127.0.0.1 --port {port} --workers %d"
    " --loop uvloop --no-access-log --log-level warning {application}"
)
_OURS = "{bin}/channels serve {application} --bind 127.0.0.1 --port {port} --log-level warning"


def _w7(name: str, environment: str | None, command: str, **fields: Any) -> Server:
    return Server(name, environment, command, workloads=("W7",), **fields)


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
    Server("granian", "granian", _GRANIAN % 1),
    Server(
        "limit",
        None,
        "{bin}/python -m benchmarks.limit {work} --port {port} --size {size} --burst {burst}",
    ),
    _w7("ours, 1 process", None, _OURS),
    _w7(
        "ours, 2 workers",
        None,
        _OURS + " --workers 2",
        layer="local",
        processes=2,
        baseline="ours, 1 process",
    ),
    _w7("fast lane, 1 process", None, _OURS, member_path="/fast/"),
    _w7(
        "fast lane, 2 workers",
        None,
        _OURS + " --workers 2",
        member_path="/fast/",
        layer="local",
        processes=2,
        baseline="fast lane, 1 process",
    ),
    # Daphne has no workers. In W1 uvicorn's WebSocket implementations differ by little.
    _w7(
        "uvicorn pub/sub",
        "redis",
        _UVICORN % "websockets-sansio" + " --workers 2",
        layer="redis pub/sub",
        processes=2,
    ),
    _w7(
        "uvicorn core",
        "redis",
        _UVICORN % "websockets-sansio" + " --workers 2",
        layer="redis core",
        processes=2,
        quick=False,
    ),
    _w7(
        "granian pub/sub",
        "redis",
        _GRANIAN % 2,
        layer="redis pub/sub",
        processes=2,
        quick=False,
    ),
)


@dataclass(frozen=True)
class Running:
    port: int
    process_group: int
    brokers: tuple[int, ...]


@contextmanager
def running(server: Server, case: Case, cores: str, python: str) -> Iterator[Running]:
    """Run a server and what its layer needs on `cores` for as long as the block lasts."""
    port = _free_port()
    command = ["taskset", "-c", cores, *server.command_for(case, port, python)]
    with layers.prepared(server.layer, cores) as place:
        with started(command, place.environment()) as (process, log):
            unheard = f"did not listen on port {port}"
            wait_until(lambda: _accepts(port), process, log, START_TIMEOUT, unheard)
            if server.processes > 1:
                rested = _Rest(process.pid, server.processes)
                restless = f"its {server.processes} workers did not come to rest"
                wait_until(rested, process, log, START_TIMEOUT, restless)
            yield Running(port, process.pid, place.brokers)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class _Rest:
    """True once enough processes are there and none has worked for a while.

    A worker that is late would leave all sockets to the other.
    """

    def __init__(self, process_group: int, processes: int) -> None:
        self.process_group = process_group
        self.processes = processes
        self.cpu = -1.0
        self.since = 0.0

    def __call__(self) -> bool:
        now, cpu = time.monotonic(), machine.cpu_of([self.process_group])
        if cpu > self.cpu + 1.5 / machine.TICKS:
            self.cpu, self.since = cpu, now
        enough = len(machine.processes(self.process_group)) >= self.processes
        return enough and now - self.since >= REST
