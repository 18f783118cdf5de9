"""One host after another, as a node sees it: pure, time is passed in.

What the host before was, how it ended, and what has to be there again before
consumers are told that the bus is back, and whether they may have missed something.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

# Between two attempts to find a host.
FIRST_RETRY_SECONDS: Final = 0.01
LONGEST_RETRY_SECONDS: Final = 0.5
# Soon after a host was lost the next one is there: whoever comes late misses messages.
QUICK_RETRY_SECONDS: Final = 0.05
QUICK_FOR_SECONDS: Final = 5.0
# Who was refused waits for somebody to mend what is wrong.
REFUSED_RETRY_SECONDS: Final = 30.0


class Succession:
    """`let_in`: this host has said welcome. `graceful`: the last one has said goodbye.

    `expected`: the nodes that it has named then, who will come to the next one.
    """

    def __init__(self) -> None:
        self.let_in = False
        self.graceful = False
        self.expected: frozenset[str] = frozenset()
        self._host = ""
        self._lost_at = -math.inf
        self._refused = False
        # Groups whose subscription this host has not taken yet.
        self._renewing: set[str] = set()
        self._returned = False
        self._may_have_missed = False

    @property
    def followed_another(self) -> bool:
        """There was a host before."""
        return bool(self._host)

    def begin(self, groups: Iterable[str]) -> None:
        """A host was found; these groups are subscribed to anew."""
        self.let_in = False
        self._renewing = set(groups)

    def welcomed(self, host: str) -> None:
        before, self._host = self._host, host
        self._may_have_missed = bool(before) and before != host and not self.graceful
        self._returned = bool(before)
        self.let_in = True
        self.graceful = self._refused = False
        self.expected = frozenset()

    def taken(self, groups: Iterable[str]) -> None:
        """The host has taken the subscriptions to these groups."""
        self._renewing.difference_update(groups)

    def come_back(self) -> bool | None:
        """Answer once, when all is as before: whether everybody may have missed something."""
        if not self._returned or self._renewing:
            return None
        self._returned = False
        return self._may_have_missed

    def farewell(self, nodes: Iterable[str]) -> None:
        """The host has said goodbye, to these nodes."""
        self.graceful = True
        self.expected = frozenset(nodes)

    def refused(self) -> None:
        self.let_in = False
        self._refused = True

    def broken(self) -> None:
        """What a host sent was lost here: as bad as if the host had been."""
        self._host = "none any more"

    def lost(self, now: float) -> None:
        if self.let_in:
            self._lost_at = now

    def longest_retry(self, now: float) -> float:
        """Seconds between two attempts to find a host, at most."""
        if self._refused:
            return REFUSED_RETRY_SECONDS
        quick = now - self._lost_at < QUICK_FOR_SECONDS
        return QUICK_RETRY_SECONDS if quick else LONGEST_RETRY_SECONDS
