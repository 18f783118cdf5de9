"""Jobs for workers, and a log of what their consumers did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.worker import Worker


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


def recording(log: Log) -> type[AsyncConsumer]:
    """A consumer that does what the jobs say, and tells the log."""

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
