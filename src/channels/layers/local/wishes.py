"""What a node wants of the bus. It is kept here, and said anew to each host.

Subscriptions to groups, messages of named channels that somebody waits for, and
memberships of named channels. Whoever calls holds the node's lock.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Final

from . import frames
from .calls import fail
from .frames import Item, Op

# Groups in one frame, so that none comes near its limit.
GROUPS_IN_FRAME: Final = 1000


class Wishes:
    """`groups`: group -> a future of its subscription, None when the host has taken it."""

    def __init__(self) -> None:
        self.groups: dict[str, Future[None] | None] = {}
        # How many answers of the host are on their way.
        self._unanswered: Counter[str] = Counter()
        self._items: dict[str, deque[Future[Item]]] = {}
        # With the times at which they end.
        self._named: dict[tuple[str, str], tuple[dict[str, Any], float]] = {}

    def __bool__(self) -> bool:
        return bool(self.groups or self._items)

    def first_words(self, node: str, now: float) -> Iterator[bytes]:
        """Frames that tell a new host everything."""
        self._unanswered = Counter(self.groups.keys())
        for groups in in_parts(list(self.groups)):
            yield frames.control(Op.SUBSCRIBE, groups=groups)
        self._forget_expired(now)
        for details, until in self._named.values():
            rest = None if until == math.inf else until - now
            yield frames.control(Op.CALL, id=0, node=node, to="", **{**details, "expiry": rest})
        for channel, wanted in self._items.items():
            for _ in wanted:
                yield frames.want(Op.WANT, channel)

    # -- groups ------------------------------------------------------------

    def subscribe(self, group: str, *, said: bool) -> bool:
        """Note a group; False if it is one already. `said`: the host is told now."""
        if group in self.groups:
            return False
        self.groups[group] = Future()
        if said:
            self._unanswered[group] += 1
        return True

    def subscribed(self, group: str) -> bool:
        """The host has taken a group; False if it is not wanted any more, or was anew since."""
        self._unanswered[group] -= 1
        if self._unanswered[group] > 0:
            # Of a subscription that was ended meanwhile: the next answer is ours.
            return False
        del self._unanswered[group]
        if group not in self.groups:
            return False
        future, self.groups[group] = self.groups[group], None
        _release(future)
        return True

    def unsubscribe(self, group: str) -> None:
        _release(self.groups.pop(group, None))

    # -- items -------------------------------------------------------------

    def want(self, channel: str) -> Future[Item]:
        future: Future[Item] = Future()
        self._items.setdefault(channel, deque()).append(future)
        return future

    def withdraw(self, channel: str, future: Future[Item]) -> bool:
        """Forget a wish; False if it was fulfilled, or forgotten, before."""
        wanted = self._items.get(channel, ())
        if future not in wanted:
            return False
        assert isinstance(wanted, deque)
        wanted.remove(future)
        if not wanted:
            del self._items[channel]
        return True

    def give(self, item: Item) -> bool:
        """Give an item to whoever has waited longest; False if nobody waits."""
        wanted = self._items.get(item.channel)
        given = False
        while wanted and not given:
            future = wanted.popleft()
            given = future.set_running_or_notify_cancel()
            if given:
                future.set_result(item)
        if wanted is not None and not wanted:
            del self._items[item.channel]
        return given

    # -- named members -----------------------------------------------------

    def join(self, group: str, channel: str, details: dict[str, Any], now: float) -> None:
        """Note a membership; `details["expiry"]` is in seconds from now, None for never."""
        expiry = details["expiry"]
        # Out and in again: in the order of their times, of which the first are over first.
        self._named.pop((group, channel), None)
        self._named[group, channel] = (details, math.inf if expiry is None else now + expiry)
        self._forget_expired(now)

    def _forget_expired(self, now: float) -> None:
        expired = itertools.takewhile(lambda item: item[1][1] <= now, self._named.items())
        for key, _ in list(expired):
            del self._named[key]

    def leave(self, group: str, channel: str) -> None:
        self._named.pop((group, channel), None)

    def forget_named(self) -> None:
        self._named.clear()

    def fail(self, why: str) -> None:
        """Nothing of this will be fulfilled."""
        for future in self.groups.values():
            if future is not None:
                fail(future, why)
        for wanted in self._items.values():
            for item in wanted:
                fail(item, why)
        self._items.clear()


def in_parts(groups: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(groups), GROUPS_IN_FRAME):
        yield groups[start : start + GROUPS_IN_FRAME]


def _release(future: Future[None] | None) -> None:
    if future is not None and not future.done() and future.set_running_or_notify_cancel():
        future.set_result(None)
