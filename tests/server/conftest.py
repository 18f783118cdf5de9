"""A real server in a thread of its own, and a check that nothing of it is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from injected_clock import Clock
from tests.waiting import WITHIN, wait_until

from channels.server import Server, ServerConfig
from channels.server.loops import new_event_loop
from channels.server.timers import Timers

QUICK = {"port": 0, "graceful_timeout": 5.0, "close_timeout": 1.0}


class Served:
    """A server at work: where it is, and how to talk to it byte by byte."""

    def __init__(self, application: Any, loop_factory: Any, **settings: Any) -> None:
        self.actions: list[tuple[str, str, dict[str, Any]]] = []
        self.server = Server(
            application,
            ServerConfig(**{**QUICK, **settings}),
            on_action=lambda *action: self.actions.append(action),
        )
        self.left_tasks: list[str] = []
        self._loop_factory = loop_factory
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._started.wait(10)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            await self.server.start()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._started.set()
        self.address = self.server.addresses[0]
        self.port = self.address[1] if isinstance(self.address, tuple) else None
        await self._stop.wait()
        await self.server.stop()
        mine = asyncio.current_task()
        self.left_tasks = [repr(task) for task in asyncio.all_tasks() if task is not mine]

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(15)
        assert not self._thread.is_alive(), "the server did not stop"

    def connect(self) -> socket.socket:
        if isinstance(self.address, str):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(5)
            client.connect(self.address)
            return client
        return socket.create_connection(self.address, timeout=5)

    def exchange(self, data: bytes) -> bytes:
        """Send bytes and read all that comes until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            return read_all(client)

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the server does in its own time."""
        wait_until(condition)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in the server's loop: all that was queued there before has then been done."""
        answer: Future[Any] = Future()

        def run() -> None:
            try:
                answer.set_result(function(*arguments))
            except BaseException as error:
                answer.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return answer.result(WITHIN)

    def stop_clock(self) -> None:
        """From here on, time passes for new connections by `pass_time` alone."""
        self.clock = Clock()
        assert self.server._host is not None
        self.server._host.timers = Timers(self.clock)  # type: ignore[arg-type]

    def pass_time(self, seconds: float) -> None:
        self.call(self.clock.advance, seconds)

    @property
    def statistics(self) -> dict[str, int]:
        return self.server.statistics()


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


def open_sockets() -> set[str]:
    """The sockets this process has, as the system names them."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture
def loop_factory() -> Any:
    """Which event loop the server runs on; tests may parametrize it."""
    return new_event_loop


@pytest.fixture
def serve(loop_factory: Any) -> Iterator[Callable[..., Served]]:
    """Start servers with `serve(application, **settings)`; all is gone afterwards."""
    sockets, threads = open_sockets(), set(threading.enumerate())
    servers: list[Served] = []

    def start(application: Any, **settings: Any) -> Served:
        servers.append(Served(application, loop_factory, **settings))
        return servers[-1]

    yield start
    for served in servers:
        served.stop()
        assert served.left_tasks == []
        assert served.statistics["connections"] == 0
        assert served.statistics["applications"] == 0
    if not open_sockets() <= sockets:
        gc.collect()
    assert open_sockets() <= sockets
    for thread in set(threading.enumerate()) - threads:
        # A client that was closed needs a moment to end its own threads.
        thread.join(timeout=5)
    assert set(threading.enumerate()) <= threads
