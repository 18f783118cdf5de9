"""Which channels are in which groups, and since when.

Plain data without a clock or lock: the hub guards it. Members are kept in the
order of joining, so that only the oldest needs a look when memberships expire,
and groups are also kept by channel, so that a channel leaves all of them
without a search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from itertools import takewhile
from typing import Final

# Seconds between two looks at all groups for members that died unseen.
SWEEP_SECONDS: Final = 3600.0


class Groups:
    """`members`: group -> {channel: time of joining}, never an empty one.

    A membership ends after `expiry` seconds (None: never) unless the channel is one
    of `alive`: its own is renewed. `on_group(group, present)` hears of each group
    that gets its first member or loses its last, whatever the cause.
    """

    def __init__(
        self,
        expiry: float | None,
        alive: Container[str],
        on_group: Callable[[str, bool], None] | None = None,
    ) -> None:
        self.members: dict[str, dict[str, float]] = {}
        self._expiry = expiry
        self._alive = alive
        self._on_group = on_group
        self._groups_of: dict[str, set[str]] = {}
        self._sweep_at = math.inf if expiry is None else -math.inf

    def join(self, group: str, channel: str, now: float) -> None:
        members = self.members.get(group) or {}
        # Out and in again, so that members stay in the order of their times.
        members.pop(channel, None)
        members[channel] = now
        self._groups_of.setdefault(channel, set()).add(group)
        # A finalizer may have taken the only other member out meanwhile, and the group.
        if self.members.get(group) is not members:
            self.members[group] = members
            self._tell(group, True)
        if now >= self._sweep_at:
            self._sweep(now)

    def leave(self, group: str, channel: str) -> None:
        groups = self._groups_of.get(channel)
        if groups is not None:
            groups.discard(group)
            if not groups:
                del self._groups_of[channel]
        members = self.members.get(group)
        if members is not None:
            members.pop(channel, None)
            if not members:
                del self.members[group]
                self._tell(group, False)

    def leave_all(self, channel: str) -> None:
        for group in tuple(self._groups_of.get(channel, ())):
            self.leave(group, channel)

    def current(self, group: str, now: float) -> list[str]:
        """Return the members of `group`: a list of its own, safe from changes."""
        members = self.members.get(group)
        if not members:
            return []
        if self._expiry is not None:
            self._expire(group, members, now - self._expiry, now)
        return list(members)

    def clear(self) -> None:
        groups = list(self.members)
        self.members.clear()
        self._groups_of.clear()
        for group in groups:
            self._tell(group, False)

    def _tell(self, group: str, present: bool) -> None:
        if self._on_group is not None:
            self._on_group(group, present)

    def _expire(self, group: str, members: dict[str, float], horizon: float, now: float) -> None:
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
        assert self._expiry is not None, "what never ends is never swept"
        self._sweep_at = now + min(self._expiry, SWEEP_SECONDS)
        for group, members in tuple(self.members.items()):
            self._expire(group, members, now - self._expiry, now)
