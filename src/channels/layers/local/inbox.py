"""What has arrived from the bus and is not yet delivered: one queue per process.

The node's thread fills it, the event loop of the consumers empties it, some
messages a turn, so that consumers get to run in between: otherwise a burst would
fill their mailboxes before any of them had seen the first message. Where no
event loop has consumers, the node's own thread delivers.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from ..waiter import running_loop

# Bytes after which no more is read from the bus until half of it is delivered.
MAX_BYTES: Final = 16 << 20
# What an arrival costs beyond its payload, roughly.
ARRIVAL_BYTES: Final = 200

T = TypeVar("T")


class Inbox(Generic[T]):
    """Calls `deliver` for each arrival, in order, and `resume` when there is room again."""

    def __init__(
        self,
        deliver: Callable[[T], None],
        main_loop: Callable[[], asyncio.AbstractEventLoop | None],
        resume: Callable[[], None],
        per_turn: int,
    ) -> None:
        self._deliver = deliver
        self._main_loop = main_loop
        self._resume = resume
        self._per_turn = per_turn
        self._arrivals: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._full = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def put(self, arrivals: Iterable[tuple[T, int]]) -> bool:
        """Take arrivals with the sizes of their payloads; False: enough for now."""
        with self._lock:
            for arrival, size in arrivals:
                self._arrivals.append((arrival, size + ARRIVAL_BYTES))
                self._bytes += size + ARRIVAL_BYTES
            # Until half is delivered, also if it is a little less by now: the node waits for that.
            self._full = self._full or self._bytes > MAX_BYTES
            if self._loop is None or not self._loop.is_running():
                self._loop = self._schedule()
            mine = self._loop is None
        if mine:
            self._empty()
            return True
        return not self._full

    def clear(self) -> None:
        with self._lock:
            self._arrivals.clear()
            self._bytes = 0
            resume, self._full = self._full, False
        if resume:
            self._resume()

    def _schedule(self) -> asyncio.AbstractEventLoop | None:
        loop = self._main_loop()
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._turn)
            except RuntimeError:
                # It was closed between the question and the call.
                return None
        return loop

    def _turn(self) -> None:
        """Deliver some, on the loop; the rest when others had their turn."""
        with self._lock:
            if self._loop is not running_loop():
                # This one stood still for a while, and another has taken over.
                return
        for _ in range(self._per_turn):
            arrival = self._take()
            if arrival is None:
                return
            self._deliver(arrival)
        loop = self._loop
        if loop is not None:
            loop.call_soon(self._turn)

    def _empty(self) -> None:
        while (arrival := self._take()) is not None:
            self._deliver(arrival)

    def _take(self) -> T | None:
        with self._lock:
            if not self._arrivals:
                self._loop = None
                return None
            arrival, size = self._arrivals.popleft()
            self._bytes -= size
            resume = self._full and self._bytes < MAX_BYTES // 2
            if resume:
                self._full = False
        if resume:
            self._resume()
        return arrival
