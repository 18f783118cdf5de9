"""The messages that a node hears: in order, without duplicates, and none missing unsaid.

Messages that came together are handed on together; a gap between two of them is
told between the two. Of the node's own thread, except `resume` and `unsubscribed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..gaps import Gaps, Position
from .frames import Publication, Sending

# One thing that arrived for this process.
Arrival = Publication | Sending


class Events(Protocol):
    """What a node tells its layer, in the node's own thread."""

    def arrived(self, arrivals: list[Arrival]) -> bool: ...
    def missed(self, group: str, count: int) -> None: ...
    def dropped(self, group: str, channel: str) -> None: ...
    def reconnected(self, *, all_may_have_missed: bool) -> None: ...
    def called(self, call: dict[str, Any]) -> dict[str, Any]: ...


class Nobody:
    """The events of a node that only carries the bus for others."""

    def arrived(self, arrivals: list[Arrival]) -> bool:
        return True

    def missed(self, group: str, count: int) -> None:
        """No group is subscribed to here."""

    def dropped(self, group: str, channel: str) -> None:
        """Nothing is sent from here."""

    def reconnected(self, *, all_may_have_missed: bool) -> None:
        """Nobody here missed anything."""

    def called(self, call: dict[str, Any]) -> dict[str, Any]:
        return {}


class Hearing:
    """`open`: there is room for more. `missed`: messages that were lost on the way."""

    def __init__(self, events: Events) -> None:
        self.open = True
        self.missed = 0
        self._events = events
        self._gaps = Gaps()
        self._arrivals: list[Arrival] = []
        # How often `resume` was called.
        self._resumed = 0

    @property
    def duplicates(self) -> int:
        return self._gaps.duplicates

    def publication(self, publication: Publication) -> None:
        node, epoch, number, _, group, _ = publication
        missing = self._gaps.received(group, node, epoch, number)
        if missing:
            self.tell_missed(group, missing)
        if missing is not None:
            self._arrivals.append(publication)

    def sending(self, sending: Sending) -> None:
        self._arrivals.append(sending)

    def subscribed(self, group: str, positions: Mapping[str, Position], now: float) -> int:
        """The host has taken a subscription, at these positions; answers what was missed.

        Under the node's lock: it may be ended by others in the same moment.
        """
        return self._gaps.subscribed(group, positions, now)

    def unsubscribed(self, group: str) -> None:
        self._gaps.unsubscribed(group)

    def told(self, group: str, node: str, position: Position) -> None:
        """A heartbeat."""
        self.tell_missed(group, self._gaps.told(group, node, position))

    def tell_missed(self, group: str, missing: int) -> None:
        if missing:
            self.hand_on()
            self.missed += missing
            self._events.missed(group, missing)

    def hand_on(self) -> None:
        """Let the layer have what has come so far."""
        arrivals, self._arrivals = self._arrivals, []
        resumed = self._resumed
        if arrivals and not self._events.arrived(arrivals):
            # There may be room again by now.
            self.open = self._resumed != resumed

    def begin(self) -> None:
        """A new connection: nothing of the old one's is waited for."""
        self.open = True
        self._arrivals = []

    def resume(self) -> None:
        """There is room for more. From any thread."""
        self._resumed += 1
        self.open = True
