"""Somebody who waits in `receive()`, on an event loop of their own."""

from __future__ import annotations

import asyncio


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class LoopWaiter:
    """A future of the running loop that any thread may resolve."""

    __slots__ = ("future", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def wake(self) -> None:
        """Resolve the future; a waiter whose loop is closed is gone, and nobody misses it."""
        if running_loop() is self.loop:
            self._resolve()
        elif not self.loop.is_closed():
            self._wake_from_outside()

    def _wake_from_outside(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            # It was closed between the question and the call.
            return

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(None)
