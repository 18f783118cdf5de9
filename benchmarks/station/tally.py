"""What the members of one process received: every message counted, in order, and how late.

Messages of a round are numbered on from the last round. A *probe* has the number
-1: it is sent until every member has seen one, because some layers join groups in
the background; it is not counted.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from time import monotonic
from typing import Any

from . import StationError

PROBE = -1


class Tally:
    """`on_probed`, `on_round` are called when the last member has its message."""

    def __init__(
        self,
        members: int,
        burst: int,
        on_probed: Callable[[], None],
        on_round: Callable[[], None],
    ) -> None:
        self.members = members
        self.per_round = self.left = members * burst
        self.latencies = array("d")
        self.on_round = on_round
        self.on_probed = on_probed
        self.unprobed = set(range(members))

    def member(self, index: int) -> Callable[[dict[str, Any]], None]:
        """Make the function that one member calls with each message."""
        expected = 0
        late = self.latencies

        def take(message: dict[str, Any]) -> None:
            nonlocal expected
            if message["number"] != expected:
                self._other(index, message["number"], expected)
                return
            expected += 1
            late.append(monotonic() - message["sent"])
            self.left -= 1
            if not self.left:
                self.left = self.per_round
                self.on_round()

        return take

    def _other(self, index: int, number: int, expected: int) -> None:
        if number != PROBE:
            raise StationError(f"member {index}: message {number} came, expected {expected}")
        if index in self.unprobed:
            self.unprobed.remove(index)
            if not self.unprobed:
                self.on_probed()


class Signal:
    """An event that one coroutine waits for, again and again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.set = self._event.set

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()
