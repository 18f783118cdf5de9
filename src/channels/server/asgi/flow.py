"""Who waits for a slow client.

A transport says when it has more than the high-water mark to write and when it
is below the low one again. In between, whoever sends waits here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future


class Flow:
    """The writing side of one transport: open, or held with waiters."""

    __slots__ = ("_loop", "_waiters", "paused")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: deque[Future[None]] | None = None
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Let everybody go; also called when the connection is lost."""
        self.paused = False
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def drain(self) -> None:
        """Return when writing is open or nothing is left to write to."""
        while self.paused:
            await self._wait()

    async def _wait(self) -> None:
        # One future each: a cancelled waiter must not cancel the others.
        waiter = self._loop.create_future()
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if self._waiters is not None and waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
