"""The seats of a supervisor: one for each worker that it is to have.

A seat has a worker, or waits to get one; a successor takes it over when it is
ready. How long an empty seat waits depends on how its last workers ended.
"""

from __future__ import annotations

import asyncio
from typing import Final

from .worker import Worker

# A worker that ends sooner than this after it was ready has not been well.
STEADY_SECONDS: Final = 5.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


class Seat:
    """One seat: who has it, who is to have it, and how often that failed in a row."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: Worker | None = None
        self.successor: Worker | None = None
        self.failures = 0
        # Nobody is started before the code changes.
        self.waits_for_change = False
        self._retry: asyncio.TimerHandle | None = None

    @property
    def needs_worker(self) -> bool:
        """Whether somebody is to be started now."""
        if self.successor is not None or self._retry is not None or self.waits_for_change:
            return False
        return self.worker is None or self.worker.retiring

    def note_end(self, worker: Worker, now: float) -> None:
        """Take a worker off that has ended without being told to."""
        if worker is self.successor:
            self.successor = None
        else:
            self.worker = None
        well = worker.ready_at is not None and now - worker.ready_at >= STEADY_SECONDS
        self.failures = 0 if well else self.failures + 1

    def hand_over(self) -> Worker | None:
        """Give the seat to the successor; answers who had it."""
        before, self.worker, self.successor = self.worker, self.successor, None
        return before

    def pause(self) -> float:
        """Seconds until somebody is started: none after a good life, then ever more."""
        if not self.failures:
            return 0.0
        # 30 is enough to be far beyond the longest, and no number gets out of hand.
        return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures - 1, 30)))

    def wait(self, retry: asyncio.TimerHandle) -> None:
        self._retry = retry

    def wait_no_more(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
