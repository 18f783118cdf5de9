"""One wheel for every deadline of the server, and no timer per connection.

A connection owns a few `Deadline`s for its whole life. Moving a deadline to
later, which is what traffic does all the time, is one attribute store: the
wheel looks at it when its old slot comes round, and puts it where it belongs
now. The event loop holds at most one timer, and none while nothing is pending.

A deadline expires up to one tick late, never early.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

# Seconds. Short enough for every timeout of a server (they are seconds), long
# enough that ten thousand idle sockets wake the loop ten times a second.
TICK: Final = 0.1
NEVER: Final = float("inf")


class Deadline:
    """A moment after which `expire` is called, once per `set`."""

    __slots__ = ("_slot", "_timers", "at", "expire")

    def __init__(self, timers: Timers, expire: Callable[[], None]) -> None:
        self._timers = timers
        self._slot = -1
        self.at = NEVER
        self.expire: Callable[[], None] | None = expire

    def set(self, seconds: float | None) -> None:
        """Expire `seconds` from now; None means never."""
        if seconds is None:
            self.at = NEVER
            return
        self.at = self._timers.now() + seconds
        slot = self._timers.slot_of(self.at)
        if self._slot < 0 or slot < self._slot:
            self._timers.place(self, slot)

    def clear(self) -> None:
        self.at = NEVER

    def discard(self) -> None:
        """Leave the wheel for good and let go of the owner."""
        self.at = NEVER
        self.expire = None
        self._timers.remove(self)


class Timers:
    """The wheel: slots of one tick, each a set of deadlines."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self._loop = loop
        self._slots: dict[int, set[Deadline]] = {}
        self._order: list[int] = []
        self._handle: asyncio.TimerHandle | None = None
        self._armed = -1

    def deadline(self, expire: Callable[[], None]) -> Deadline:
        return Deadline(self, expire)

    def slot_of(self, at: float) -> int:
        return int(at / TICK) + 1

    def place(self, deadline: Deadline, slot: int) -> None:
        self._forget(deadline)
        deadlines = self._slots.get(slot)
        if deadlines is None:
            deadlines = self._slots[slot] = set()
            heapq.heappush(self._order, slot)
            self._arm()
        deadlines.add(deadline)
        deadline._slot = slot

    def remove(self, deadline: Deadline) -> None:
        self._forget(deadline)
        if not self._slots:
            self.close()

    def _forget(self, deadline: Deadline) -> None:
        slot, deadline._slot = deadline._slot, -1
        deadlines = self._slots.get(slot)
        if deadlines is None:
            return
        deadlines.discard(deadline)
        if not deadlines:
            # Its number stays in the heap until its turn; `_tick` finds no slot then.
            del self._slots[slot]

    def _arm(self) -> None:
        first = self._order[0]
        if self._handle is not None:
            if self._armed <= first:
                return
            self._handle.cancel()
        self._armed = first
        self._handle = self._loop.call_at(first * TICK, self._tick)

    def _tick(self) -> None:
        self._handle = None
        now = self.now()
        while self._order and self._order[0] * TICK <= now:
            for deadline in self._slots.pop(heapq.heappop(self._order), ()):
                deadline._slot = -1
                self._visit(deadline, now)
        if not self._slots:
            self._order.clear()
        elif self._handle is None or self._armed > self._order[0]:
            self._arm()

    def _visit(self, deadline: Deadline, now: float) -> None:
        if deadline.at <= now:
            deadline.at = NEVER
            if deadline.expire is not None:
                deadline.expire()
        elif deadline.at != NEVER:
            self.place(deadline, self.slot_of(deadline.at))

    def close(self) -> None:
        """Drop every deadline and the loop's timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._slots.clear()
        self._order.clear()
