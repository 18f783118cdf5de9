"""Workers: named channels, worked off by consumers without a client."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from recorded_jobs import Log, note, recording, run, working

from channels import worker as worker_module
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.layers import InMemoryChannelLayer
from channels.routing import ChannelNameRouter
from channels.worker import Worker

pytestmark = pytest.mark.usefixtures("layer")


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def consumer(log: Log) -> type[AsyncConsumer]:
    return recording(log)


def test_messages_are_handled_in_order_by_one_instance_per_channel(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        async with working(Worker(consumer, ["a", "b"], layer)):
            for text in ("1", "2", "3"):
                await layer.send("a", note(text))
            await log.wait_for(4)
            await layer.send("b", note("4"))
            assert (await log.wait_for(6)) == [
                "made",
                ("a", "1"),
                ("a", "2"),
                ("a", "3"),
                "made",
                ("b", "4"),
            ]

    run(test)


def test_a_router_sends_each_channel_to_its_consumer(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        application = ChannelNameRouter({"a": consumer})
        async with working(Worker(application, ["a"], layer)):
            await layer.send("a", note("1"))
            assert await log.wait_for(2) == ["made", ("a", "1")]

    run(test)


def test_sync_consumers_work_too(layer: InMemoryChannelLayer, log: Log) -> None:
    threads: list[int] = []

    class Sync(SyncConsumer):
        def job_note(self, message: Any) -> None:
            threads.append(threading.get_ident())
            self.loop.call_soon_threadsafe(log.add, message["note"])

    async def test() -> None:
        Sync.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
        async with working(Worker(Sync.as_asgi(), ["a"], layer)):
            await layer.send("a", note("1"))
            assert await log.wait_for(1) == ["1"]
        assert threading.get_ident() not in threads

    run(test)


def test_a_failure_is_logged_once_and_loses_nothing_behind_it(
    layer: InMemoryChannelLayer, log: Log, consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        for message in (note("1"), {"type": "job.fail"}, note("2"), note("3")):
            await layer.send("a", message)
        async with working(Worker(consumer, ["a"], layer)):
            assert await log.wait_for(6) == [
                "made",
                ("a", "1"),
                "failing",
                "made",
                ("a", "2"),
                ("a", "3"),
            ]

    run(test)
    assert len(caplog.records) == 1
    text = caplog.records[0].getMessage()
    assert "'a'" in text
    assert "job.fail" in text
    assert caplog.records[0].exc_info is not None


def test_an_application_that_is_no_consumer_fails_just_as_well(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            log.add(message["type"])
            if message["type"] == "bad":
                raise ValueError("bad")

    async def test() -> None:
        for type_ in ("one", "bad", "two"):
            await layer.send("a", {"type": type_})
        async with working(Worker(application, ["a"], layer)):
            assert await log.wait_for(3) == ["one", "bad", "two"]

    run(test)
    (record,) = caplog.records
    assert (
        record.getMessage() == "The application of channel 'a' failed with a message of type 'bad'"
    )


def test_an_application_that_reads_nothing_is_not_started_for_ever(
    layer: InMemoryChannelLayer, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        log.add("called")

    async def test() -> None:
        await layer.send("a", {"type": "x"})
        await layer.send("a", {"type": "y"})
        async with working(Worker(application, ["a"], layer)):
            await log.wait_for(2)
        assert log.entries == ["called", "called"]

    run(test)
    assert "ended without reading a message of type 'x'" in caplog.text


def test_a_consumer_that_stops_is_followed_by_a_new_one(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        async with working(Worker(consumer, ["a"], layer)):
            await layer.send("a", {"type": "job.stop"})
            await layer.send("a", note("1"))
            assert await log.wait_for(3) == ["made", "made", ("a", "1")]

    run(test)


def test_sending_to_a_client_there_is_not_says_what_to_do(
    layer: InMemoryChannelLayer, log: Log, consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with working(Worker(consumer, ["a"], layer)):
            await layer.send("a", {"type": "job.send"})
            await layer.send("a", note("1"))
            await log.wait_for(3)

    run(test)
    assert "NotImplementedError" in caplog.text
    assert "group_send" in caplog.text


def test_a_message_without_a_type_is_logged_and_dropped(
    layer: InMemoryChannelLayer, log: Log, consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with working(Worker(consumer, ["a"], layer)):
            await layer.send("a", {"text": "no type"})
            await layer.send("a", note("1"))
            await log.wait_for(2)

    run(test)
    assert "Worker received message with no type." in caplog.text


@pytest.mark.parametrize(
    "type_",
    ["websocket.receive", "http.request", "lifespan.startup", "send", "as.asgi", "dispatch"],
)
def test_messages_of_a_named_channel_may_do_no_more_than_others_of_the_layer(
    layer: InMemoryChannelLayer,
    log: Log,
    consumer: Any,
    type_: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Open(consumer):  # type: ignore[misc]
        async def websocket_receive(self, message: Any) -> None:
            log.add("reached")

        http_request = lifespan_startup = websocket_receive

    async def test() -> None:
        await layer.send("a", {"type": type_})
        await layer.send("a", note("1"))
        async with working(Worker(Open, ["a"], layer)):
            assert await log.wait_for(2) == ["made", ("a", "1")]

    run(test)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"'{type_}' is no type for layers to send" in record.getMessage()


def test_what_waits_stays_in_the_layer(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        async with working(Worker(consumer, ["a"], layer)):
            await layer.send("a", {"type": "job.slow"})
            await log.wait_for(2)
            await layer.send("a", note("1"))
            await layer.send("a", note("2"))
            assert layer.statistics()["waiting"] == 2
            log.gate.set()
            assert (await log.wait_for(5))[2:] == ["finished", ("a", "1"), ("a", "2")]

    run(test)


def test_stopping_lets_the_running_handler_finish_and_takes_no_more(
    layer: InMemoryChannelLayer, log: Log, consumer: Any
) -> None:
    async def test() -> None:
        worker = Worker(consumer, ["a"], layer)
        async with working(worker) as task:
            await layer.send("a", {"type": "job.slow"})
            await layer.send("a", note("later"))
            await log.wait_for(2)
            worker.stop()
            await asyncio.sleep(0)
            assert not task.done()
            log.gate.set()
            await task
        assert log.entries == ["made", "started", "finished"]
        assert await layer.receive("a") == note("later")

    run(test)


def test_a_handler_that_never_ends_is_cancelled_and_named(
    layer: InMemoryChannelLayer,
    log: Log,
    consumer: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "STOP_SECONDS", 0.05)

    async def test() -> None:
        async with working(Worker(consumer, ["a"], layer)):
            await layer.send("a", {"type": "job.slow"})
            await log.wait_for(2)

    run(test)
    assert "job.slow" in caplog.text
    assert "it is cancelled" in caplog.text


@pytest.mark.parametrize(("say_again", "lines"), [(60.0, 1), (0.0, 3)])
def test_a_layer_that_fails_is_logged_and_asked_again(
    say_again: float,
    lines: int,
    layer: InMemoryChannelLayer,
    log: Log,
    consumer: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(worker_module, "SAY_AGAIN_SECONDS", say_again)

    class Unsteady(InMemoryChannelLayer):
        failures = 3

        async def receive(self, channel: str) -> dict[str, Any]:
            if self.failures:
                self.failures -= 1
                raise ConnectionError("the engine is away")
            return await super().receive(channel)

    async def test() -> None:
        unsteady = Unsteady()
        async with working(Worker(consumer, ["a"], unsteady)):
            await unsteady.send("a", note("1"))
            await log.wait_for(2)

    run(test)
    assert (
        len([record for record in caplog.records if "Reading channel" in record.message]) == lines
    )


def test_a_worker_without_a_layer_is_an_error() -> None:
    with pytest.raises(ValueError, match="Channel layer is not valid"):
        Worker(None, ["a"], None)
