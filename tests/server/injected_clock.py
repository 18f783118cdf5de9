"""A clock that the test turns, for the server's wheel of deadlines."""

from __future__ import annotations

from collections.abc import Callable


class Clock:
    """The part of a loop that the wheel uses; `advance` lets time pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None], Handle]] = []
        self.calls = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        self.timers.append((when, callback, handle))
        self.calls += 1
        return handle

    @property
    def armed(self) -> list[float]:
        return [when for when, _, handle in self.timers if not handle.cancelled]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.armed and min(self.armed) <= end:
            due = min((t for t in self.timers if not t[2].cancelled), key=lambda t: t[0])
            self.timers.remove(due)
            self.now = max(self.now, due[0])
            due[1]()
        self.now = end


class Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
