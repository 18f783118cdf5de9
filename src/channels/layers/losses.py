"""What could not be delivered, counted by reason, and said without flooding the log."""

from __future__ import annotations

import enum
import math
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
    FAILED = "the message could not be rendered or written for it"


# A consumer that ends misses nothing it could still handle, and what failed was
# logged with its traceback. Both are counted all the same.
_SAID: Final = frozenset({Reason.FULL, Reason.UNREACHABLE})


class Loss(NamedTuple):
    """One message that did not reach one channel."""

    channel: str
    reason: Reason


class Losses:
    """Counts losses and says when a warning is due: the first, then one each 10 s."""

    __slots__ = ("_silent_until", "_unsaid", "counts")

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self._silent_until = -math.inf
        self._unsaid = 0

    def note(self, lost: Sequence[Loss], now: float) -> int:
        """Count `lost`; answer how many losses a warning has to report now, 0 for no warning."""
        self.counts.update(loss.reason for loss in lost)
        self._unsaid += sum(loss.reason in _SAID for loss in lost)
        if not self._unsaid or now < self._silent_until:
            return 0
        unsaid, self._unsaid = self._unsaid, 0
        self._silent_until = now + WARN_EVERY
        return unsaid

    def statistics(self) -> dict[str, int]:
        return {f"dropped_{reason.name.lower()}": self.counts[reason] for reason in Reason}
