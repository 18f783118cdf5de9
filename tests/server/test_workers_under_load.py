"""kill -9, SIGHUP and SIGTERM while 500 sockets are open and 200 requests a second come.

The clients count for themselves: each request that was sent has an outcome, and
each socket a close code. A request that was sent and got no whole answer is `cut`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised_process import Workers, workers_in

pytestmark = pytest.mark.slow

SOCKETS = 500
# Half of the requests come on connections of their own, half on 20 that are kept.
FRESH_PER_SECOND = 100
KEPT, KEPT_PAUSE = 20, 0.2

APP = """
import asyncio, os

async def app(scope, receive, send):
    assert scope["type"] in ("http", "websocket")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": str(os.getpid())})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
    await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"y" * 1000})
"""

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x81\x84\0\0\0\0ping"

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Requests:
    """Sends requests until it is told to stop, and counts what became of them."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.counts: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(KEPT):
                group.create_task(self._on_kept_connections())
            while not await self._stopped_within(1 / FRESH_PER_SECOND):
                group.create_task(self._on_a_fresh_connection())

    async def answered(self, more: int) -> None:
        """Return when so many more have been answered."""
        end = self.counts["answered"] + more
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: self.counts["answered"] >= end)

    def stop(self) -> None:
        self._stopped.set()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _connect(self) -> Pair | None:
        try:
            return await asyncio.open_connection(*self.address)
        except ConnectionRefusedError:
            # Nobody listens: no request was begun.
            self.counts["refused"] += 1
            return None

    async def _on_a_fresh_connection(self) -> None:
        connection = await self._connect()
        if connection is not None:
            try:
                await self._request(connection)
            finally:
                connection[1].close()

    async def _on_kept_connections(self) -> None:
        connection: Pair | None = None
        while not await self._stopped_within(KEPT_PAUSE):
            if connection is not None and connection[0].at_eof():
                connection[1].close()
                connection = None
            connection = connection or await self._connect()
            if connection is not None and not await self._request(connection):
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def _request(self, connection: Pair) -> bool:
        """Send one; whether the connection may be used for another."""
        reader, writer = connection
        try:
            writer.write(GET)
            async with asyncio.timeout(20):
                head = await reader.readuntil(b"\r\n\r\n")
                await self._read_body(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.counts[f"cut: {error!r:.60}"] += 1
            return False
        self.counts["answered" if b" 200 OK" in head else f"other: {head[:20]!r}"] += 1
        async with self._changed:
            self._changed.notify_all()
        return b"connection: close" not in head

    async def _read_body(self, reader: asyncio.StreamReader) -> None:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)

    @property
    def cut(self) -> dict[str, int]:
        return {what: n for what, n in self.counts.items() if what[:3] == "cut"}

    @property
    def unexpected(self) -> dict[str, int]:
        return {what: n for what, n in self.counts.items() if what not in ("answered", "refused")}


class Socket:
    """One WebSocket, its worker, and how it ended: a close code, or 0 without one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.pid = 0
        self.code: int | None = None

    async def open(self) -> None:
        self._writer.write(HANDSHAKE)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        self.pid = int((await self._frame())[1])

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self._reader.readexactly(2)
        assert size < 126
        return first & 15, await self._reader.readexactly(size)

    async def echo(self) -> None:
        self._writer.write(PING)
        assert await self._frame() == (1, b"ping")

    async def wait_closed(self) -> None:
        try:
            opcode, data = await self._frame()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            self.code = 0
        else:
            assert opcode == 8, (opcode, data)
            self.code = int.from_bytes(data[:2], "big")
            self._writer.write(b"\x88\x82\0\0\0\0" + data[:2])
        self._writer.close()


async def open_sockets(address: tuple[str, int], number: int) -> list[Socket]:
    sockets = []
    # Not all at once: that would be a test of the backlog.
    for first in range(0, number, 50):
        count = min(50, number - first)
        some = [Socket(*await asyncio.open_connection(*address)) for _ in range(count)]
        await asyncio.gather(*(one.open() for one in some))
        sockets += some
    return sockets


async def all_closed(sockets: list[Socket]) -> Counter[int | None]:
    async with asyncio.timeout(30):
        await asyncio.gather(*(one.wait_closed() for one in sockets))
    return Counter(one.code for one in sockets)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with workers_in(tmp_path) as serve:
        (tmp_path / "site_app.py").write_text(APP)
        workers = serve("--workers", "2")
        workers.ready(2)
        yield workers


def under_load(workers: Workers, scenario: Any) -> Requests:
    """Run `scenario(requests, sockets)` while requests come and sockets are open."""

    async def run() -> Requests:
        requests = Requests(workers.address)
        sockets = await open_sockets(workers.address, SOCKETS)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(requests.run())
            await requests.answered(200)
            try:
                await scenario(requests, sockets)
            finally:
                requests.stop()
        return requests

    return asyncio.run(run())


async def said(workers: Workers, pattern: str, times: int = 1) -> None:
    await asyncio.to_thread(workers.wait_for, pattern, times)


def test_sigterm_cuts_no_request_and_closes_every_socket_with_1012(workers: Workers) -> None:
    async def scenario(requests: Requests, sockets: list[Socket]) -> None:
        workers.send(signal.SIGTERM)
        assert await all_closed(sockets) == {1012: SOCKETS}
        await said(workers, "has ended", 2)

    requests = under_load(workers, scenario)
    assert workers.finish() == 0
    assert requests.unexpected == {}
    assert requests.counts["refused"] > 0
    assert "ERROR" not in workers.text


def test_sighup_cuts_no_request_and_closes_every_socket_with_1012(workers: Workers) -> None:
    async def scenario(requests: Requests, sockets: list[Socket]) -> None:
        for round in range(1, 4):
            workers.send(signal.SIGHUP)
            assert await all_closed(sockets) == {1012: SOCKETS}
            await said(workers, "has ended", 2 * round)
            await requests.answered(50)
            sockets = await open_sockets(workers.address, SOCKETS)
            assert {one.pid for one in sockets} == set(workers.ready()[-2:])
        workers.send(signal.SIGTERM)
        await all_closed(sockets)

    requests = under_load(workers, scenario)
    assert workers.finish() == 0
    assert requests.unexpected == {}
    assert "ERROR" not in workers.text


def test_kill_9_of_a_worker_leaves_the_other_at_work_and_brings_a_new_one(
    workers: Workers,
) -> None:
    async def scenario(requests: Requests, sockets: list[Socket]) -> None:
        killed, other = workers.ready()
        theirs = [one for one in sockets if one.pid == killed]
        left = [one for one in sockets if one.pid == other]
        os.kill(killed, signal.SIGKILL)
        assert await all_closed(theirs) == {0: len(theirs)}
        await requests.answered(100)
        await asyncio.gather(*(one.echo() for one in left))
        await said(workers, "is ready", 3)
        # What was running on it was cut, and nothing since.
        cut = requests.cut
        again = await open_sockets(workers.address, len(theirs))
        await requests.answered(100)
        assert requests.unexpected == cut
        assert Counter(one.pid for one in again)[workers.ready()[-1]] > len(again) / 2
        workers.send(signal.SIGTERM)
        assert await all_closed([*left, *again]) == {1012: SOCKETS}
        assert requests.unexpected == cut

    under_load(workers, scenario)
    assert workers.finish() == 0
