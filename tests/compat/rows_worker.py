"""Rows: workers of named channels."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django
from tests.waiting import meanwhile

set_up_django(ASGI_APPLICATION=f"{__name__}.project_application")

from asgiref.server import StatelessServer

from channels.consumer import AsyncConsumer, SyncConsumer
from channels.layers import InMemoryChannelLayer
from channels.routing import ChannelNameRouter
from channels.worker import Worker

row = Rows()

# The layer in memory that upstream's worker reads at once.
SOON = 0.3


class Log:
    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.grown = asyncio.Event()

    def add(self, entry: Any) -> None:
        self.entries.append(entry)
        self.grown.set()

    async def within(self, count: int, seconds: float = 2.0) -> list[Any]:
        """The entries, once there are so many; fewer after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self.entries) < count:
                    self.grown.clear()
                    await self.grown.wait()
        return self.entries


log = Log()


class Recorder(AsyncConsumer):
    def __init__(self) -> None:
        log.add("made")

    async def job_note(self, message: Any) -> None:
        log.add([self.scope["channel"], message["note"]])

    async def job_wait(self, message: Any) -> None:
        log.add("begins")
        await meanwhile(message["seconds"], "the next message comes while this one is handled")
        log.add("ends")

    async def job_fail(self, message: Any) -> None:
        await meanwhile(0.05, "others are queued behind it")
        raise ValueError("this job cannot be done")

    async def job_scope(self, message: Any) -> None:
        log.add(self.scope)

    async def job_send(self, message: Any) -> None:
        try:
            await self.send({"type": "answer"})
        except NotImplementedError:
            log.add("NotImplementedError")


class Blocking(SyncConsumer):
    def job_note(self, message: Any) -> None:
        log.add_from_thread([self.scope["channel"], message["note"]])  # type: ignore[attr-defined]


project_application = ChannelNameRouter({"work": Recorder.as_asgi()})


@contextmanager
def a_log() -> Iterator[Log]:
    """A new one, whose coroutines belong to the row's loop; what loggers say is not shown."""
    global log
    log = Log()
    loop = asyncio.get_running_loop()
    log.add_from_thread = lambda entry: loop.call_soon_threadsafe(log.add, entry)  # type: ignore[attr-defined]
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield log
    finally:
        logging.disable(before)


@asynccontextmanager
async def working(
    layer: Any, *channels: str, kind: Any = Worker, application: Any = None
) -> AsyncIterator[tuple[asyncio.Task[None], Any]]:
    """A running worker; its task, and what it logged or its consumers did."""
    with a_log() as seen:
        application = application or Recorder.as_asgi()
        worker = kind(application=application, channels=list(channels), channel_layer=layer)
        # Upstream's looks after what fails around handle(), not in it.
        task = asyncio.create_task(getattr(worker, "arun", worker.handle)())
        try:
            yield task, seen
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=2)


def note(text: Any) -> dict[str, Any]:
    return {"type": "job.note", "note": text}


# -- the class --------------------------------------------------------------------


@row(upstream=["application", "channels", "channel_layer", "max_applications"])
def parameters_of_a_worker() -> Any:
    found = inspect.signature(Worker).parameters.values()
    return [one.name for one in found if one.kind is not one.KEYWORD_ONLY]


@row(upstream=[["work"], True, 1000, True, True, True])
async def attributes_of_a_worker() -> Any:
    layer = InMemoryChannelLayer()
    worker = Worker(application=project_application, channels=["work"], channel_layer=layer)
    return [
        worker.channels,
        worker.channel_layer is layer,
        worker.max_applications,
        worker.application is project_application,
        callable(worker.run),
        inspect.iscoroutinefunction(worker.handle) and inspect.iscoroutinefunction(worker.listener),
    ]


@row(upstream=True, ours=False)
def a_worker_is_asgirefs_stateless_server() -> Any:
    return issubclass(Worker, StatelessServer)


@row(upstream={"raises": "ValueError", "says": "Channel layer is not valid"})
def a_worker_without_a_layer() -> Any:
    return outcome(Worker, project_application, ["work"], None)


# -- messages -----------------------------------------------------------------------


@row(upstream=["made", ["work", 1], ["work", 2], ["work", 3]])
async def messages_of_a_channel_reach_one_instance_in_order() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work") as (_, seen):
        for number in (1, 2, 3):
            await layer.send("work", note(number))
        return await seen.within(4)


@row(upstream=[["other", 2], ["work", 1], "made", "made"])
async def each_channel_has_an_instance_of_its_own() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work", "other") as (_, seen):
        await layer.send("work", note(1))
        await layer.send("other", note(2))
        entries = await seen.within(4)
        return sorted(entries, key=str)


@row(upstream=[["work", 1]])
async def a_worker_runs_a_consumer_that_blocks() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work", application=Blocking.as_asgi()) as (_, seen):
        await layer.send("work", note(1))
        return await seen.within(1)


@row(upstream={"type": "channel", "channel": "work"})
async def the_scope_of_a_worker() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work") as (_, seen):
        await layer.send("work", {"type": "job.scope"})
        scope = (await seen.within(2))[1]
        return {key: scope[key] for key in ("type", "channel")}


@row(upstream=["made", "begins", "ends", ["work", "next"]])
async def messages_of_a_channel_are_handled_one_at_a_time() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work") as (_, seen):
        await layer.send("work", {"type": "job.wait", "seconds": 0.05})
        await layer.send("work", note("next"))
        return await seen.within(4)


@row(upstream=["made", "NotImplementedError"])
async def a_worker_has_nobody_to_send_to() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work") as (_, seen):
        await layer.send("work", {"type": "job.send"})
        return await seen.within(2)


# -- what fails -----------------------------------------------------------------------


@row(
    upstream=["made", "made", ["work", "later"]],
    ours=[
        "made",
        "made",
        ["work", "queued"],
        ["work", "later"],
    ],
)
async def messages_queued_behind_one_that_fails() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work") as (_, seen):
        await layer.send("work", {"type": "job.fail"})
        await layer.send("work", note("queued"))
        await meanwhile(SOON + 0.2, "upstream looks each 0.1 s for applications that ended")
        await layer.send("work", note("later"))
        return await seen.within(4, SOON)


@row(
    upstream={"raises": "ValueError", "says": "Worker received message with no type."},
    ours=["made", ["work", "next"]],
)
async def a_message_without_a_type_reaches_a_worker() -> Any:
    layer = InMemoryChannelLayer()
    async with working(layer, "work") as (task, seen):
        await layer.send("work", {"note": "no type"})
        await layer.send("work", note("next"))
        entries = await seen.within(2, SOON)
        return await async_outcome(task) if task.done() else entries


class Breaking(InMemoryChannelLayer):
    """Fails once for a channel, as an engine that is gone for a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False

    async def receive(self, channel: str) -> Any:
        if channel == "work" and not self.broken:
            self.broken = True
            raise ConnectionError("gone for a moment")
        return await super().receive(channel)


@row(
    upstream=[False, ["made", ["other", 2]]],
    ours=[False, ["made", "made", ["other", 2], ["work", 1]]],
)
async def a_layer_that_fails_for_one_channel_of_a_worker() -> Any:
    layer = Breaking()
    async with working(layer, "work", "other") as (task, seen):
        await layer.send("work", note(1))
        await layer.send("other", note(2))
        entries = await seen.within(4, 0.6)
        return [task.done(), sorted(entries, key=lambda entry: (type(entry) is list, str(entry)))]


@row(upstream={"raises": "ConnectionError"}, ours=["made", ["work", 1]])
async def a_layer_that_fails_for_the_only_channel_of_a_worker() -> Any:
    layer = Breaking()
    async with working(layer, "work") as (task, seen):
        await layer.send("work", note(1))
        entries = await seen.within(2, 0.6)
        return {"raises": (await async_outcome(task))["raises"]} if task.done() else entries


# -- derived workers --------------------------------------------------------------------


@row(upstream=["listens to work", "made", ["work", 1]])
async def listener_may_be_extended() -> Any:
    class Telling(Worker):
        async def listener(self, channel: str) -> None:
            log.add(f"listens to {channel}")
            await super().listener(channel)

    layer = InMemoryChannelLayer()
    async with working(layer, "work", kind=Telling) as (_, seen):
        await layer.send("work", note(1))
        return await seen.within(3)


@row(upstream=["before", "made", ["work", 1]])
async def handle_may_be_extended() -> Any:
    class Telling(Worker):
        async def handle(self) -> None:
            log.add("before")
            await super().handle()

    layer = InMemoryChannelLayer()
    async with working(layer, "work", kind=Telling) as (_, seen):
        await layer.send("work", note(1))
        return await seen.within(3)
