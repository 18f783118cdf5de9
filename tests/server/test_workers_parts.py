"""What decides about workers, without any: pauses between starts, and fair shares."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from channels.server.listener import LEFT_BATCH, Listener
from channels.server.seats import Seat
from channels.server.shares import Shares, new_shares


class Ended:
    """A worker that was ready at a time, or never."""

    retiring = False

    def __init__(self, ready_at: float | None) -> None:
        self.ready_at = ready_at


def pause_after(seat: Seat, *lives: tuple[float | None, float]) -> float:
    """Have workers in the seat, each given as when it was ready and when it ended."""
    for ready_at, ended_at in lives:
        worker: Any = Ended(ready_at)
        seat.worker = worker
        seat.note_end(worker, ended_at)
    return seat.pause()


def test_a_worker_that_lived_well_is_replaced_at_once() -> None:
    assert pause_after(Seat(1), (0.0, 100.0)) == 0


def test_a_worker_that_dies_early_is_replaced_ever_more_slowly() -> None:
    seat = Seat(1)
    pauses = [pause_after(seat, (None, 0.0)) for _ in range(100)]
    assert pauses[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert pauses[-1] == 30
    assert pause_after(seat, (0.0, 4.9)) == 30
    assert pause_after(seat, (0.0, 5.0)) == 0


def test_a_seat_needs_somebody_if_it_is_empty_or_its_worker_retires() -> None:
    seat = Seat(1)
    worker: Any = Ended(0.0)
    assert seat.needs_worker
    seat.worker = worker
    assert not seat.needs_worker
    worker.retiring = True
    assert seat.needs_worker
    seat.successor = worker
    assert not seat.needs_worker


def three_shares() -> list[Shares]:
    descriptor = new_shares(3)
    shares = [Shares(descriptor, place) for place in range(3)]
    os.close(descriptor)
    return shares


def test_a_worker_sees_what_the_others_have() -> None:
    first, second, third = three_shares()
    assert first.siblings() == []
    second.write(5)
    third.write(0)
    assert first.siblings() == [5, 0]
    assert second.siblings() == [0]
    third.leave()
    assert first.siblings() == [5]
    for shares in (first, second, third):
        shares.close()


class Counter(asyncio.Protocol):
    """Counts the connections that are taken, of all its instances."""

    taken = 0
    enough = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Counter.taken += 1
        if Counter.taken == 40:
            Counter.enough.set()

    def connection_lost(self, error: Exception | None) -> None:
        Counter.taken -= 1


def test_a_worker_with_more_connections_waits_but_takes_what_nobody_else_takes() -> None:
    """The sibling here has none, and is stuck."""

    async def scenario() -> None:
        mine, sibling, other = three_shares()
        sibling.write(0)
        loop = asyncio.get_running_loop()
        sock = socket.create_server(("127.0.0.1", 0))
        listener = Listener(loop, sock, False, mine, lambda: 10 + Counter.taken + listener.taking)
        await listener.start(Counter, 100)
        clients = [socket.create_connection(sock.getsockname()) for _ in range(40)]
        async with asyncio.timeout(10):
            await Counter.enough.wait()
        assert mine.siblings() == [0]
        assert sibling.siblings()[0] > 10 + 2 * LEFT_BATCH
        listener.close()
        for client in clients:
            client.close()
        for shares in (mine, sibling, other):
            shares.close()

    asyncio.run(scenario())
