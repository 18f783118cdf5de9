"""Messages of a channel side by side, as many as a worker is allowed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recorded_jobs import Log, note, recording, run, working

from channels.consumer import AsyncConsumer
from channels.layers import InMemoryChannelLayer
from channels.worker import Worker

pytestmark = pytest.mark.usefixtures("layer")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def consumer(log: Log) -> type[AsyncConsumer]:
    return recording(log)


class Crowd:
    """Handlers that wait for each other: how many were inside at once, and who."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.inside = 0
        self.most = 0
        self.together = asyncio.Event()

    async def enter(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.size:
            self.together.set()
        await self.together.wait()
        self.inside -= 1


@pytest.mark.parametrize("concurrency", [1, 3])
def test_as_many_messages_of_a_channel_are_handled_at_once_as_allowed(
    layer: InMemoryChannelLayer, log: Log, concurrency: int
) -> None:
    crowd = Crowd(concurrency)
    instances: set[int] = set()

    class Meeting(AsyncConsumer):
        async def job_note(self, message: Any) -> None:
            instances.add(id(self))
            await crowd.enter()
            log.add(message["note"])

    async def test() -> None:
        async with working(Worker(Meeting, ["a"], layer, concurrency=concurrency)):
            for number in range(9):
                await layer.send("a", note(str(number)))
            await log.wait_for(9)
        assert crowd.most == len(instances) == concurrency
        assert sorted(log.entries) == [str(number) for number in range(9)]

    run(test)


def test_each_channel_has_its_own_instances(layer: InMemoryChannelLayer, log: Log) -> None:
    crowd = Crowd(4)

    class Meeting(AsyncConsumer):
        async def job_note(self, message: Any) -> None:
            await crowd.enter()
            log.add((self.scope["channel"], message["note"]))

    async def test() -> None:
        async with working(Worker(Meeting, ["a", "b"], layer, concurrency=2)):
            for channel in ("a", "a", "b", "b"):
                await layer.send(channel, note("1"))
            await log.wait_for(4)
        assert crowd.most == 4

    run(test)


def test_an_instance_that_is_busy_takes_nothing_from_the_others(
    layer: InMemoryChannelLayer, log: Log
) -> None:
    never = asyncio.Event()

    class Uneven(AsyncConsumer):
        async def job_stuck(self, message: Any) -> None:
            log.add("stuck")
            await never.wait()

        async def job_note(self, message: Any) -> None:
            log.add(message["note"])

    async def test() -> None:
        async with working(Worker(Uneven, ["a"], layer, concurrency=2)):
            await layer.send("a", {"type": "job.stuck"})
            for number in range(5):
                await layer.send("a", note(str(number)))
            assert await log.wait_for(6) == ["stuck", "0", "1", "2", "3", "4"]
            never.set()

    run(test)


def test_one_that_fails_beside_others_is_logged_once_and_replaced(
    layer: InMemoryChannelLayer, log: Log, consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with working(Worker(consumer, ["a"], layer, concurrency=2)):
            await layer.send("a", {"type": "job.fail"})
            for number in range(4):
                await layer.send("a", note(str(number)))
            while len([entry for entry in log.entries if isinstance(entry, tuple)]) < 4:
                await log.wait_for(len(log.entries) + 1)

    run(test)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_below_one_is_an_error(layer: InMemoryChannelLayer, concurrency: int) -> None:
    with pytest.raises(ValueError, match=f"1 or more, not {concurrency}"):
        Worker(None, ["a"], layer, concurrency=concurrency)
