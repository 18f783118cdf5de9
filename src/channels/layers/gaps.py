"""Gaps in what a process hears of a group: found by numbers, never assumed away.

Each publishing node numbers what it sends to a group, one run of numbers per
(node, group). A receiver knows the last number of each; the next one, or a
heartbeat that tells the last, shows what is missing. Pure: no clock, no lock.

A run has an epoch, so that a number of an earlier run of the same node is not
taken for a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

# Groups whose numbers a publisher remembers; the one used longest ago begins anew.
MAX_RUNS: Final = 100_000
# Seconds for which the last number of a run is told to those who subscribe or return.
REMEMBERED_SECONDS: Final = 120.0
# Publishers of one group that a receiver remembers: short-lived ones would add up.
MAX_PUBLISHERS: Final = 1024


class Position(NamedTuple):
    """The last publication of one node to one group. `time` is the machine's monotonic clock."""

    epoch: int
    number: int
    time: float


class Numbers:
    """The numbers of one publishing node."""

    def __init__(self, max_runs: int = MAX_RUNS) -> None:
        self._max_runs = max_runs
        self._runs: dict[str, Position] = {}
        self._epoch = 0
        self._unsaid: set[str] = set()

    def take(self, group: str, now: float) -> Position:
        """Number the next publication."""
        before = self._runs.pop(group, None)
        if before is None:
            self._epoch += 1
            position = Position(self._epoch, 1, now)
            if len(self._runs) >= self._max_runs:
                oldest = next(iter(self._runs))
                del self._runs[oldest]
                self._unsaid.discard(oldest)
        else:
            position = Position(before.epoch, before.number + 1, now)
        # Out and in again: the runs stay in the order of their last use.
        self._runs[group] = position
        self._unsaid.add(group)
        return position

    def take_unsaid(self) -> dict[str, Position]:
        """Positions that no heartbeat has told yet."""
        unsaid = {group: self._runs[group] for group in self._unsaid}
        self._unsaid.clear()
        return unsaid

    def recent(self, now: float) -> dict[str, Position]:
        """Positions of the last two minutes, for a host that does not know them."""
        recent: dict[str, Position] = {}
        for group in reversed(self._runs):
            if self._runs[group].time < now - REMEMBERED_SECONDS:
                break
            recent[group] = self._runs[group]
        return recent


class Gaps:
    """The last numbers that one process has heard, for the groups it is subscribed to."""

    def __init__(self) -> None:
        # group -> (time of the subscription, {node: (epoch, number)})
        self._heard: dict[str, tuple[float, dict[str, tuple[int, int]]]] = {}
        self.duplicates = 0

    def subscribed(self, group: str, positions: Mapping[str, Position], now: float) -> int:
        """The host has taken a subscription; answers how many were missed since an earlier one."""
        if group not in self._heard:
            heard = {node: (place.epoch, place.number) for node, place in positions.items()}
            self._heard[group] = (now, heard)
            return 0
        return sum(self.told(group, node, place) for node, place in positions.items())

    def unsubscribed(self, group: str) -> None:
        self._heard.pop(group, None)

    def received(self, group: str, node: str, epoch: int, number: int) -> int | None:
        """A publication came; answers how many before it are missing, None for a duplicate."""
        subscription = self._heard.get(group)
        if subscription is None:
            return 0
        heard = subscription[1]
        before = heard.get(node)
        if before is not None and before[0] == epoch:
            missing = number - before[1] - 1
            if missing < 0:
                self.duplicates += 1
                return None
        else:
            # Of a node that nobody has told us about, the first we hear is its first
            # since we subscribed. A new run begins at 1.
            missing = number - 1 if before is not None else 0
        self._note(heard, node, epoch, number)
        return missing

    def told(self, group: str, node: str, place: Position) -> int:
        """A heartbeat told a node's last number; answers how many up to it are missing."""
        subscription = self._heard.get(group)
        if subscription is None:
            return 0
        since, heard = subscription
        before = heard.get(node)
        if before is None:
            # We should have heard it, if it was published after we had subscribed. How
            # many more there were before it, nobody knows.
            missing = 1 if place.time > since else 0
        elif before[0] == place.epoch:
            missing = max(place.number - before[1], 0)
        else:
            missing = place.number if place.epoch > before[0] else 0
        if missing or before is None:
            self._note(heard, node, place.epoch, place.number)
        return missing

    @staticmethod
    def _note(heard: dict[str, tuple[int, int]], node: str, epoch: int, number: int) -> None:
        # Out and in again: the one heard of longest ago is first, and forgotten first.
        heard.pop(node, None)
        if len(heard) >= MAX_PUBLISHERS:
            del heard[next(iter(heard))]
        heard[node] = (epoch, number)
