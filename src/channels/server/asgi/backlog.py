"""What a client has not read of what was sent to it, and for how long that may go on.

Above the high-water mark `send()` waits. A client that stays there for
`write_deadline`, and took less than a mark's worth meanwhile, is too slow. One
large message stays above the mark for long, however fast it is read: whoever
goes on reading gets the time again.
"""

from __future__ import annotations

from collections.abc import Callable

from .ports import Deadline, Host, Transport


class Backlog:
    """Watches one client from its first pause on; `too_slow` ends it."""

    __slots__ = ("_deadline", "_host", "_too_slow", "_transport", "_unwritten")

    def __init__(self, host: Host, transport: Transport, too_slow: Callable[[], None]) -> None:
        self._host = host
        self._transport = transport
        self._too_slow = too_slow
        self._unwritten = 0
        self._deadline: Deadline = host.deadline(self._look)

    def watch(self) -> None:
        """The client is above the mark."""
        self._unwritten = self._transport.get_write_buffer_size()
        self._deadline.set(self._host.config.write_deadline)

    def rest(self) -> None:
        """The client has caught up."""
        self._deadline.clear()

    def discard(self) -> None:
        self._deadline.discard()

    def _look(self) -> None:
        taken = self._unwritten - self._transport.get_write_buffer_size()
        if taken >= self._host.config.high_water:
            self.watch()
        else:
            self._too_slow()
