"""Which channels are in which groups, and since when.

Plain data without a clock or lock: the hub guards it. Members are kept in the
order of joining, so that only the oldest needs a look when memberships expire,
and groups are also kept by channel, so that a channel leaves all of them
without a search.
"""

from __future__ import annotations

import math
from collections.abc import Container
from itertools import takewhile
from typing import Final

# Seconds between two looks at all groups for members that died unseen.
SWEEP_SECONDS: Final = 3600.0


class Groups:
    """`members`: group -> {channel: time of joining}, never an empty one.

    A membership ends after `expiry` seconds (None: never) unless the channel is one
    of `alive`: its own is renewed.
    """

    def __init__(self, expiry: float | None, alive: Container[str]) -> None:
        self.members: dict[str, dict[str, float]] = {}
        self._expiry = math.inf if expiry is None else expiry
        self._alive = alive
        self._groups_of: dict[str, set[str]] = {}
        self._sweep_at = -math.inf

    def join(self, group: str, channel: str, now: float) -> None:
        members = self.members.setdefault(group, {})
        # Out and in again, so that members stay in the order of their times.
        members.pop(channel, None)
        members[channel] = now
        self._groups_of.setdefault(channel, set()).add(group)
        if now >= self._sweep_at:
            self._sweep(now)

    def leave(self, group: str, channel: str) -> None:
        members = self.members.get(group)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self.members[group]
        groups = self._groups_of.get(channel)
        if groups is not None:
            groups.discard(group)
            if not groups:
                del self._groups_of[channel]

    def leave_all(self, channel: str) -> None:
        for group in tuple(self._groups_of.get(channel, ())):
            self.leave(group, channel)

    def current(self, group: str, now: float) -> list[str]:
        """Return the members of `group`: a list of its own, safe from changes."""
        members = self.members.get(group)
        if not members:
            return []
        self._expire(group, members, now)
        return list(members)

    def clear(self) -> None:
        self.members.clear()
        self._groups_of.clear()

    def _expire(self, group: str, members: dict[str, float], now: float) -> None:
        horizon = now - self._expiry
        if next(iter(members.values())) > horizon:
            return
        for channel, _ in list(takewhile(lambda member: member[1] <= horizon, members.items())):
            if channel in self._alive:
                del members[channel]
                members[channel] = now
            else:
                self.leave(group, channel)

    def _sweep(self, now: float) -> None:
        """Groups that nobody sends to would keep dead members for ever."""
        self._sweep_at = now + min(self._expiry, SWEEP_SECONDS)
        for group, members in tuple(self.members.items()):
            self._expire(group, members, now)
