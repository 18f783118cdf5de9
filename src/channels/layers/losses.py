"""What could not be delivered, counted by reason, and said without flooding the log."""

from __future__ import annotations

import enum
import math
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

# A flooded group loses thousands of messages a second; one line in this time says so.
WARN_EVERY: Final = 10.0


class Reason(enum.Enum):
    """Why a member did not get a message."""

    FULL = "its capacity is reached"
    CLOSED = "its consumer is ending"
    UNREACHABLE = "its event loop has stopped"
    UNKNOWN = "the bus was lost before it said what became of it"
    FAILED = "the message could not be rendered or written for it"


# A consumer that ends misses nothing it could still handle, and what failed was
# logged with its traceback. Both are counted all the same.
_SAID: Final = frozenset({Reason.FULL, Reason.UNREACHABLE, Reason.UNKNOWN})


class Loss(NamedTuple):
    """One message that did not reach one channel."""

    channel: str
    reason: Reason


class Report(NamedTuple):
    """What a warning has to say: how many losses since the one before, and the last of them."""

    total: int
    last: Loss


class Losses:
    """Counts losses and says when a warning is due: the first, then one each 10 s.

    Any thread may report some.
    """

    __slots__ = ("_last", "_lock", "_silent_until", "_unsaid", "counts")

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self._silent_until = -math.inf
        self._unsaid = 0
        self._last: Loss | None = None
        self._lock = threading.Lock()

    def note(self, lost: Sequence[Loss], now: float) -> Report | None:
        """Count `lost`; answer what a warning has to report now, if one is due."""
        said = [loss for loss in lost if loss.reason in _SAID]
        with self._lock:
            self.counts.update(loss.reason for loss in lost)
            self._unsaid += len(said)
            self._last = said[-1] if said else self._last
            if not said or now < self._silent_until:
                return None
            report = Report(self._unsaid, said[-1])
            self._unsaid = 0
            self._silent_until = now + WARN_EVERY
            return report

    def rest(self, now: float) -> Report | None:
        """What the silence after a warning has kept back; asked for when it is over."""
        with self._lock:
            if not self._unsaid or self._last is None:
                return None
            report = Report(self._unsaid, self._last)
            self._unsaid = 0
            self._silent_until = now + WARN_EVERY
            return report

    def statistics(self) -> dict[str, int]:
        return {f"dropped_{reason.name.lower()}": self.counts[reason] for reason in Reason}
