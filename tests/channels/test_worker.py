"""Workers: named channels, worked off by consumers without a client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from channels import worker as worker_module
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.exceptions import StopConsumer
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.management.commands import runworker
from channels.routing import ChannelNameRouter
from channels.worker import Worker

pytestmark = pytest.mark.usefixtures("layer")

ROOT = Path(__file__).parents[2]


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


class Log:
    """What consumers did, and a way to wait for it."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._grown = asyncio.Event()
        # What a slow handler waits for.
        self.gate = asyncio.Event()

    def add(self, entry: Any) -> None:
        self.entries.append(entry)
        self._grown.set()

    async def wait_for(self, count: int) -> list[Any]:
        while len(self.entries) < count:
            self._grown.clear()
            await self._grown.wait()
        return self.entries


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def consumer(log: Log) -> type[AsyncConsumer]:
    class Recorder(AsyncConsumer):
        def __init__(self) -> None:
            self.number = log.entries.count("made")
            log.add("made")

        async def job_note(self, message: Any) -> None:
            log.add((self.scope["channel"], message["note"]))

        async def job_fail(self, message: Any) -> None:
            log.add("failing")
            raise ValueError("this job cannot be done")

        async def job_stop(self, message: Any) -> None:
            raise StopConsumer

        async def job_send(self, message: Any) -> None:
            await self.send({"type": "anything"})

        async def job_slow(self, message: Any) -> None:
            log.add("started")
            await log.gate.wait()
            log.add("finished")

    return Recorder


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.handle())
    try:
        yield task
    finally:
        worker.stop()
        await task


def note(text: str) -> dict[str, Any]:
    return {"type": "job.note", "note": text}


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


def test_a_layer_that_fails_is_logged_and_asked_again(
    layer: InMemoryChannelLayer,
    log: Log,
    consumer: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_RETRY_SECONDS", 0.001)

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
    assert len([record for record in caplog.records if "Reading channel" in record.message]) == 1


def test_a_worker_without_a_layer_is_an_error() -> None:
    with pytest.raises(ValueError, match="Channel layer is not valid"):
        Worker(None, ["a"], None)


# -- side by side --------------------------------------------------------------------


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


# -- supervision ---------------------------------------------------------------------


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


# -- the command ---------------------------------------------------------------------


class RecordingWorker:
    made: dict[str, Any] = {}

    def __init__(self, **given: Any) -> None:
        RecordingWorker.made = given

    def run(self) -> None:
        RecordingWorker.made["ran"] = True


def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody calls this")


@override_settings(ASGI_APPLICATION=f"{__name__}.application")
def test_the_command_runs_a_worker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runworker.Command, "worker_class", RecordingWorker)
    call_command("runworker", "a", "b")
    assert RecordingWorker.made == {
        "application": application,
        "channels": ["a", "b"],
        "channel_layer": get_channel_layer(),
        "ran": True,
    }
    assert "stays within one process" in capsys.readouterr().err


@override_settings(CHANNEL_LAYERS={})
def test_the_command_needs_a_layer() -> None:
    with pytest.raises(CommandError, match="You do not have any CHANNEL_LAYERS configured."):
        call_command("runworker", "a")


@override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
def test_the_command_knows_only_configured_layers() -> None:
    with pytest.raises(CommandError, match="no 'other' in CHANNEL_LAYERS, only 'default'"):
        call_command("runworker", "a", layer="other")


def test_the_command_tells_a_wrong_name_at_once() -> None:
    with pytest.raises(CommandError, match="has ' ' at position 3: 'bad name'"):
        call_command("runworker", "good", "bad name")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_without_a_traceback(number: int) -> None:
    program = (
        "import os, asyncio\n"
        "from channels.layers import InMemoryChannelLayer\n"
        "from channels.worker import Worker\n"
        "class Telling(InMemoryChannelLayer):\n"
        "    async def receive(self, channel):\n"
        "        print('reading', flush=True)\n"
        "        return await super().receive(channel)\n"
        "Worker(lambda *a: None, ['a'], Telling()).run()\n"
        "print('stopped')\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=env,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
