"""Listeners that break are started again; any thread may ask a worker to stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from recorded_jobs import Log, note, recording, run, working

from channels import worker as worker_module
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


class Breaking(InMemoryChannelLayer):
    """Answers some calls of `receive` with what is no message at all."""

    def __init__(self, breaks: int) -> None:
        super().__init__()
        self.breaks = breaks

    async def receive(self, channel: str) -> Any:
        if channel == "broken" and self.breaks:
            self.breaks -= 1
            return None
        return await super().receive(channel)


def listener_failures(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if "The listener of" in record.message]


def test_a_listener_that_breaks_is_logged_and_started_again_while_others_go_on(
    log: Log, consumer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_RETRY_SECONDS", 0.001)

    async def test() -> None:
        layer = Breaking(3)
        async with working(Worker(consumer, ["broken", "sound"], layer)):
            await layer.send("sound", note("1"))
            await log.wait_for(2)
            await layer.send("broken", note("2"))
            assert (await log.wait_for(4))[3] == ("broken", "2")
            await layer.send("sound", note("3"))
            # The instance of the sound channel is the one it had.
            assert (await log.wait_for(5))[4] == ("sound", "3")

    run(test)
    records = listener_failures(caplog)
    assert [record.exc_info is not None for record in records] == [True] * 3
    assert all("channel 'broken' failed" in record.message for record in records)
    pauses = [record.args[1] for record in records]
    assert pauses == [0.001, 0.002, 0.004]


def test_a_pause_does_not_keep_the_worker_from_stopping(
    log: Log, consumer: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_RETRY_SECONDS", 1000.0)

    class Telling(Worker):
        async def _pause(self, delay: float) -> None:
            log.add(delay)
            await super()._pause(delay)

    async def test() -> None:
        async with working(Telling(consumer, ["broken"], Breaking(1))):
            assert await log.wait_for(1) == [1000.0]

    run(test)
    assert len(listener_failures(caplog)) == 1


def test_any_thread_may_ask_a_worker_to_stop(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        worker = Worker(consumer, ["a"], layer)
        task = asyncio.create_task(worker.handle())
        await layer.send("a", note("1"))
        await log.wait_for(2)
        await asyncio.to_thread(worker.request_stop)
        await task

    run(test)


def test_a_worker_that_was_stopped_before_it_began_does_nothing(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        worker = Worker(consumer, ["a"], layer)
        worker.request_stop()
        await layer.send("a", note("1"))
        await worker.handle()

    run(test)
    assert log.entries == []
