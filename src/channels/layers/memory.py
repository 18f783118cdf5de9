"""The channel layer of a single process: nothing leaves it, nothing needs a server.

What other layers do over a network this one does in memory, with the same
rules: capacity, expiry, at most once, in order, every receiver with a message
of its own. It may be used from several event loops and threads at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..exceptions import ChannelFull
from ..mailbox import Mailbox
from .base import BaseChannelLayer
from .copies import copier
from .delivery import Delivery
from .hub import Hub
from .losses import WARN_EVERY, Loss, Losses, Reason, Report
from .names import random_letters
from .waiter import LoopWaiter, running_loop

logger = logging.getLogger("channels.layers")


class InMemoryChannelLayer(BaseChannelLayer):
    """Channels and groups of this process.

    `expiry`: seconds an unread message is kept. `capacity`, `channel_capacity`:
    messages waiting per channel. `group_expiry`: seconds after which a membership
    ends that was not renewed; those of running consumers do not end.
    """

    extensions = ["groups", "flush"]

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float | None = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            expiry=expiry, capacity=capacity, channel_capacity=channel_capacity, **kwargs
        )
        self.group_expiry = group_expiry
        self.clock: Callable[[], float] = time.monotonic
        self.hub = Hub(self.get_capacity, expiry, group_expiry)
        self._losses = Losses()

    @property
    def channels(self) -> dict[str, Any]:
        """The channels that are read or have messages, as they are now."""
        return self.hub.channels()

    @property
    def groups(self) -> dict[str, dict[str, float]]:
        """Group -> {channel: time of joining, by the monotonic clock}."""
        return self.hub.groups

    # -- channels ----------------------------------------------------------

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a channel name that nobody else has."""
        return f"{prefix}.inmemory!{random_letters()}"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel; ChannelFull if its capacity is reached."""
        _require_message(message)
        self._require_channel(channel)
        if channel in self.hub.attached or not self._enqueue(channel, message):
            self._send_to_attached(channel, message)

    def _enqueue(self, channel: str, message: dict[str, Any]) -> bool:
        """Queue a message; False where a consumer has just begun to read the channel."""
        now = self.clock()
        queued = self.hub.enqueue(channel, copier(message)(), now + self.expiry, now)
        if queued is False:
            raise ChannelFull(channel)
        return queued is not None

    def _send_to_attached(self, channel: str, message: dict[str, Any]) -> None:
        delivery = self._delivery(message, None)
        delivery.to_channel(channel)
        if delivery.lost:
            if delivery.lost[0].reason is Reason.FULL:
                raise ChannelFull(channel)
            self._lost(None, delivery.lost)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of `channel`, waiting for it.

        Several may wait on one channel: each message goes to one of them.
        """
        self._require_channel(channel)
        while True:
            taken = self.hub.take(channel, self.clock(), LoopWaiter)
            if not isinstance(taken, LoopWaiter):
                return taken
            try:
                await taken.future
            except BaseException:
                self.hub.withdraw(channel, taken)
                raise

    def attach(self, channel: str, mailbox: Mailbox) -> None:
        """Deliver what is sent to `channel` straight into `mailbox`.

        To be called on the mailbox's own loop.
        """
        self.hub.attach(channel, mailbox)

    def detach(self, channel: str) -> None:
        """Forget `channel` and take it out of every group. Never fails."""
        self.hub.detach(channel)

    # -- groups ------------------------------------------------------------

    async def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member of `group`, or renew its membership."""
        self._require_group(group)
        self._require_channel(channel)
        self.hub.join(group, channel, self.clock())

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`; it need not be a member."""
        self._require_group(group)
        self._require_channel(channel)
        self.hub.leave(group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send `message` to every member of `group`.

        A member that cannot take it misses it: that is counted and logged, not raised.
        """
        _require_message(message)
        self._require_group(group)
        members = self.hub.members(group, self.clock())
        if not members:
            return
        delivery = self._delivery(message, group)
        delivery.to_group(group, members)
        if delivery.lost:
            self._lost(group, delivery.lost)
        # One turn of the loop: members that can keep up do so, and a sender in a
        # loop does not fill their mailboxes before any of them has run.
        await asyncio.sleep(0)

    # -- the whole ---------------------------------------------------------

    async def flush(self) -> None:
        """Forget every waiting message and every group."""
        self.hub.flush()

    async def close(self) -> None:
        """Forget everything. There is nothing else to close."""
        self.hub.flush()

    def statistics(self) -> dict[str, int]:
        """Return counts: channels, groups, waiting messages, and what was lost and why."""
        return {**self.hub.statistics(), **self._losses.statistics()}

    # -- inside ------------------------------------------------------------

    def _delivery(self, message: dict[str, Any], group: str | None) -> Delivery:
        now = self.clock()
        on_lost = partial(self._lost, group)
        return Delivery(self.hub, message, now, now + self.expiry, running_loop(), on_lost)

    def _lost(self, group: str | None, lost: list[Loss]) -> None:
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

    # Checking a name takes longer than delivering to it, so what the hub knows is
    # not checked again.

    def _require_channel(self, channel: str) -> None:
        if type(channel) is not str or not self.hub.knows(channel):
            self.require_valid_channel_name(channel)

    def _require_group(self, group: str) -> None:
        if type(group) is not str or group not in self.hub.groups:
            self.require_valid_group_name(group)


def _require_message(message: Any) -> None:
    if not isinstance(message, dict):
        raise TypeError(f"message is not a dict: {message!r:.60}")
    if "__asgi_channel__" in message:
        raise TypeError("message has the key '__asgi_channel__', which layers keep for themselves")
