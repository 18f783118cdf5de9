"""What waits in a process: for the host, for the consumers' loop, for a thread's turn. Pure."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator

import pytest
from tests.waiting import turns_until

from channels.layers.local import frames, inbox
from channels.layers.local.frames import FrameReader, Op, Outcome
from channels.layers.local.inbox import ARRIVAL_BYTES, Inbox
from channels.layers.local.outbox import Outbox
from channels.layers.local.wake import Wake

NODE = b"abcdefghijkl"

# -- waking a thread -----------------------------------------------------------


class CalledInBetween:
    """A reader during whose read somebody calls."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._reader = wake.reader

    def recv(self, size: int) -> bytes:
        self._wake.call()
        return self._reader.recv(size)


def is_called(wake: Wake) -> bool:
    return bool(select.select([wake.reader], [], [], 0)[0])


@pytest.fixture
def wake() -> Iterator[Wake]:
    made = Wake()
    yield made
    made.close()


def test_a_call_is_heard_once(wake: Wake) -> None:
    assert not is_called(wake)
    wake.call()
    wake.call()
    assert is_called(wake)
    wake.hear()
    assert not is_called(wake)
    wake.call()
    assert is_called(wake)


def test_a_call_while_one_is_heard_takes_nothing_from_later_ones(wake: Wake) -> None:
    reader = wake.reader
    wake.call()
    wake.reader = CalledInBetween(wake)  # type: ignore[assignment]
    wake.hear()
    wake.reader = reader
    wake.call()
    assert is_called(wake)


def test_nobody_is_there_after_the_end() -> None:
    wake = Wake()
    wake.close()
    wake.call()


# -- what has arrived --------------------------------------------------------------


class Consumers:
    """An inbox whose arrivals are numbers."""

    def __init__(self, per_turn: int = 3) -> None:
        self.got: list[int] = []
        self.resumed = 0
        self.loop: asyncio.AbstractEventLoop | None = None
        self.inbox: Inbox[int] = Inbox(self._deliver, lambda: self.loop, self._resume, per_turn)

    def _deliver(self, number: int) -> None:
        self.got.append(number)

    def _resume(self) -> None:
        self.resumed += 1

    def put(self, *numbers: int, size: int = 100) -> bool:
        return self.inbox.put((number, size - ARRIVAL_BYTES) for number in numbers)


@pytest.fixture
def small_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_BYTES", 1000)


def test_where_no_loop_has_consumers_what_comes_is_delivered_at_once(small_inbox: None) -> None:
    consumers = Consumers()
    assert consumers.put(*range(50))
    assert consumers.got == list(range(50))


def test_consumers_get_their_turn_between_some_arrivals() -> None:
    async def test() -> None:
        consumers = Consumers(per_turn=3)
        consumers.loop = asyncio.get_running_loop()
        consumers.put(*range(7))
        seen = []
        while len(consumers.got) < 7:
            seen.append(len(consumers.got))
            await asyncio.sleep(0)
        assert seen == [0, 3, 6]
        assert consumers.got == list(range(7))

    asyncio.run(test())


def test_a_full_inbox_takes_more_when_half_is_delivered(small_inbox: None) -> None:
    async def test() -> None:
        consumers = Consumers(per_turn=1)
        consumers.loop = asyncio.get_running_loop()
        assert consumers.put(*range(10))
        assert not consumers.put(10)
        # A little less than full is no reason yet, nor is that more comes all the same.
        await turns_until(lambda: len(consumers.got) == 3)
        assert not consumers.put(11)
        assert consumers.resumed == 0
        await turns_until(lambda: len(consumers.got) == 12)
        assert consumers.resumed == 1
        assert consumers.put(12)

    asyncio.run(test())


def test_an_inbox_that_is_emptied_takes_more(small_inbox: None) -> None:
    async def test() -> None:
        consumers = Consumers()
        consumers.loop = asyncio.get_running_loop()
        assert not consumers.put(*range(20))
        consumers.inbox.clear()
        assert consumers.resumed == 1
        consumers.inbox.clear()
        assert consumers.resumed == 1
        assert consumers.put(99)
        await turns_until(lambda: consumers.got == [99])

    asyncio.run(test())


def test_what_a_loop_has_left_undelivered_is_delivered_by_the_next() -> None:
    consumers = Consumers()

    async def take_some() -> None:
        consumers.loop = asyncio.get_running_loop()
        consumers.put(1)

    async def take_all() -> None:
        consumers.loop = asyncio.get_running_loop()
        consumers.put(2)
        await turns_until(lambda: consumers.got == [1, 2])

    loop = asyncio.new_event_loop()
    loop.run_until_complete(take_some())
    loop.close()
    asyncio.run(asyncio.wait_for(take_all(), 10))


# -- what waits for the host ----------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, host = socket.socketpair()
    with ours, host:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        host.settimeout(5)
        yield ours, host


def publication(number: int, size: int = 10) -> bytes:
    return frames.publication(NODE, 1, number, 0.0, b"news", bytes(size))


def read(host: socket.socket, count: int) -> list[bytes]:
    reader, got = FrameReader(), []
    while len(got) < count:
        got += reader.receive(host.recv(1 << 16))
    return got


BYE = frames.control(Op.BYE)


def test_a_frame_is_written_at_once_where_nothing_waits(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox, (ours, host) = Outbox(), pair
    assert outbox.put(publication(1), True, ours)
    assert not outbox.put(publication(2), True, None)
    assert not outbox.put(publication(3), True, ours)
    assert outbox.bytes == 2 * len(publication(1))
    outbox.write(ours)
    assert (bool(outbox), outbox.bytes) == (False, 0)
    assert read(host, 3) == [publication(number) for number in (1, 2, 3)]


def test_a_frame_that_the_kernel_takes_in_parts_arrives_whole(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox, (ours, host) = Outbox(), pair
    long = publication(1, 1 << 18)
    assert not outbox.put(long, True, ours)
    assert not outbox.put(publication(2), True, ours)
    got: list[bytes] = []
    reader = FrameReader()
    while len(got) < 2:
        got += reader.receive(host.recv(1 << 16))
        outbox.write(ours)
    assert got == [long, publication(2)]


def test_what_one_host_has_not_got_whole_is_said_to_the_next(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox, (ours, _) = Outbox(), pair
    long = publication(1, 1 << 18)
    outbox.put(long, True, ours)
    outbox.put(frames.want(Op.WANT, "work"), False, ours)
    outbox.put(publication(2), True, ours)
    assert outbox.end() == outbox.publications == [long, publication(2)]
    ours2, host2 = socket.socketpair()
    with ours2, host2:
        ours2.setblocking(False)
        outbox.begin([BYE])
        outbox.let_go()
        got: list[bytes] = []
        reader = FrameReader()
        while len(got) < 3:
            outbox.write(ours2)
            got += reader.receive(host2.recv(1 << 16))
    assert got == [BYE, long, publication(2)]


def test_until_a_host_has_answered_it_gets_first_words_only(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox, (ours, host) = Outbox(), pair
    returned = frames.item(Op.RETURN, 1.0, "work", b"")
    sent = frames.sent(NODE.decode(), [1], Outcome.QUEUED, 1)
    for frame in (publication(1), sent, returned):
        outbox.put(frame, True, None)
    hello = frames.want(Op.WANT, "a first word")
    outbox.begin([hello])
    outbox.write(ours)
    assert read(host, 1) == [hello]
    assert outbox
    assert not outbox.writable
    outbox.let_go()
    outbox.write(ours)
    # What an earlier host has left behind is older than what was sent since.
    assert read(host, 3) == [returned, publication(1), sent]


def test_a_goodbye_is_the_last_frame_and_cuts_none(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox, (ours, host) = Outbox(), pair
    outbox.put(publication(1, 1 << 18), True, ours)
    outbox.put(publication(2), True, ours)
    outbox.say_goodbye(BYE)
    got: list[bytes] = []
    reader = FrameReader()
    while outbox.writable or len(got) < 2:
        got += reader.receive(host.recv(1 << 16))
        outbox.write(ours)
    assert got == [publication(1, 1 << 18), BYE]
    assert outbox.end() == [publication(2)]
    # Where no frame is under way it is the next.
    outbox.begin([])
    outbox.say_goodbye(BYE)
    outbox.write(ours)
    assert read(host, 1) == [BYE]
    assert outbox.end() == [publication(2)]


def test_a_socket_that_is_gone_takes_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    outbox, (ours, host) = Outbox(), pair
    host.close()
    assert not outbox.put(publication(1), True, ours)
    with pytest.raises(OSError, match="Broken pipe"):
        outbox.write(ours)
    assert outbox.end() == [publication(1)]
