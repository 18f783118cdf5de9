"""The part of a layer that is the same for all: messages into this process's mailboxes.

It puts the parts of the core to work: the hub knows who is where, a delivery
carries a message there, and what is lost is counted and said. Any thread and
any event loop may use it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..exceptions import ChannelFull, LayerUnavailable
from .copies import Copier
from .delivery import Delivery
from .hub import Hub
from .losses import WARN_EVERY, Loss, Losses, Reason, Report
from .waiter import LoopWaiter, running_loop

logger = logging.getLogger("channels.layers")


class Mailroom:
    """The channels and groups of one process, and the messages to them.

    `clock` answers what expiry is measured by, in seconds.
    """

    def __init__(
        self,
        capacity_of: Callable[[str], int],
        expiry: float,
        group_expiry: float | None,
        clock: Callable[[], float] = time.monotonic,
        on_group: Callable[[str, bool], None] | None = None,
    ) -> None:
        self.hub = Hub(capacity_of, expiry, group_expiry, on_group)
        self.expiry = expiry
        self.clock = clock
        self._losses = Losses()
        self._closed = False

    def send(self, channel: str, message: dict[str, Any], expires_at: float) -> None:
        """Deliver `message`, which nobody else has, to a channel; ChannelFull if it is full."""
        place = self.hub.attached.get(channel)
        if place is not None:
            mailbox, capacity = place
            if mailbox.loop is running_loop() and mailbox.renderer is None and not mailbox.closed:
                # The common case, without the parts that a group needs.
                if not mailbox.put_layer(message, expires_at, capacity):
                    raise ChannelFull(channel)
                return
        elif self._enqueue(channel, message, expires_at):
            return
        # A consumer on another loop reads it, or has just begun to.
        delivery = self._delivery(lambda: message, None, expires_at)
        delivery.to_channel(channel)
        if delivery.lost:
            if delivery.lost[0].reason is Reason.FULL:
                raise ChannelFull(channel)
            self.lost(None, delivery.lost)

    def _enqueue(self, channel: str, message: dict[str, Any], expires_at: float) -> bool:
        """Queue a message; False where a consumer has just begun to read the channel."""
        queued = self.hub.enqueue(channel, message, expires_at, self.clock())
        if queued is False:
            raise ChannelFull(channel)
        return queued is not None

    def send_to_group(self, group: str, copy: Copier, expires_at: float) -> None:
        """Deliver to every member; one that cannot take it is counted and said.

        `copy` makes what one member gets (see copies.py).
        """
        members = self.hub.members(group, self.clock())
        if not members:
            return
        delivery = self._delivery(copy, group, expires_at)
        delivery.to_group(group, members)
        if delivery.lost:
            self.lost(group, delivery.lost)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel that no mailbox is attached to."""
        while not self._closed:
            taken = self.hub.take(channel, self.clock(), LoopWaiter)
            if not isinstance(taken, LoopWaiter):
                return taken
            try:
                await taken.future
            except BaseException:
                self.hub.withdraw(channel, taken)
                raise
        raise LayerUnavailable(f"The layer was closed while channel {channel!r} was read.")

    def close(self) -> int:
        """Let nobody wait any more; answer how many consumers are still attached."""
        self._closed = True
        self.hub.wake_all()
        return len(self.hub.attached)

    def statistics(self) -> dict[str, int]:
        return {**self.hub.statistics(), **self._losses.statistics()}

    def _delivery(self, copy: Copier, group: str | None, expires_at: float) -> Delivery:
        on_lost = partial(self.lost, group)
        return Delivery(self.hub, copy, self.clock(), expires_at, running_loop(), on_lost)

    # -- losses ------------------------------------------------------------

    def lost(self, group: str | None, lost: list[Loss]) -> None:
        """Count what was not delivered, and say it once in a while."""
        report = self._losses.note(lost, self.clock())
        if report is not None:
            self._warn("send()" if group is None else f"Group {group!r}", report)

    def _warn(self, where: str, report: Report) -> None:
        logger.warning(
            "%s: %d message(s) not delivered; the last, to channel %r: %s",
            where,
            report.total,
            report.last.channel,
            report.last.reason.value,
        )
        loop = running_loop()
        if loop is not None:
            # The end of a burst must be said even if nothing is lost after it.
            loop.call_later(WARN_EVERY, self._say_rest)

    def _say_rest(self) -> None:
        report = self._losses.rest(self.clock())
        if report is not None:
            self._warn(f"In the last {WARN_EVERY:.0f} s", report)


def require_message(message: Any) -> None:
    """Raise a TypeError unless `message` is what layers carry."""
    if not isinstance(message, dict):
        raise TypeError(f"message is not a dict: {message!r:.60}")
    if "__asgi_channel__" in message:
        raise TypeError("message has the key '__asgi_channel__', which layers keep for themselves")
