"""The channel layer of a single process: nothing leaves it, nothing needs a server.

What other layers do over a network this one does in memory, with the same
rules: capacity, expiry, at most once, in order, every receiver with a message
of its own. It may be used from several event loops and threads at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..exceptions import ChannelFull
from ..mailbox import Mailbox
from .base import BaseChannelLayer
from .copies import copier, copy_of
from .losses import Loss, Reason
from .mailroom import Mailroom, require_message
from .names import random_letters


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
        self._mailroom = Mailroom(
            self.get_capacity, expiry, group_expiry, clock=lambda: self.clock()
        )
        self.hub = self._mailroom.hub

    @property
    def channels(self) -> dict[str, Any]:
        """The channels that are read or have messages, as they are now."""
        return self.hub.channels()

    @property
    def groups(self) -> dict[str, dict[str, float]]:
        """Group -> {channel: time of joining, by the monotonic clock}."""
        return self.hub.projects_groups()

    # -- channels ----------------------------------------------------------

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a channel name that nobody else has."""
        return f"{prefix}.inmemory!{random_letters()}"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel; ChannelFull if its capacity is reached."""
        require_message(message)
        self._require_channel(channel)
        self._mailroom.send(channel, copy_of(message), self.clock() + self.expiry)

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of `channel`, waiting for it.

        Several may wait on one channel: each message goes to one of them.
        """
        self._require_channel(channel)
        return await self._mailroom.receive(channel)

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
        require_message(message)
        self._require_group(group)
        # Also where nobody is there to get it: what cannot be carried is always told.
        copy = copier(message)
        # The instance is asked: a project's test may have put a `send` of its own there.
        if getattr(self.send, "__func__", None) is InMemoryChannelLayer.send:
            self._mailroom.send_to_group(group, copy, self.clock() + self.expiry)
        else:
            await self._send_to_each(group, message)
        # One turn of the loop: members that can keep up do so, and a sender in a
        # loop does not fill their mailboxes before any of them has run.
        await asyncio.sleep(0)

    async def _send_to_each(self, group: str, message: dict[str, Any]) -> None:
        """For layers that have a `send` of their own, to record what is sent for instance."""
        for channel in self.hub.members(group, self.clock()):
            try:
                await self.send(channel, message)
            except ChannelFull:
                self._mailroom.lost(group, [Loss(channel, Reason.FULL)])

    # -- the whole ---------------------------------------------------------

    async def flush(self) -> None:
        """Forget every waiting message and every group."""
        self.hub.flush()

    async def close(self) -> None:
        """Forget everything. There is nothing else to close."""
        self.hub.flush()

    def statistics(self) -> dict[str, int]:
        """Return counts: channels, groups, waiting messages, and what was lost and why."""
        return self._mailroom.statistics()

    # -- inside ------------------------------------------------------------

    # Checking a name takes longer than delivering to it, so what the hub knows is
    # not checked again.

    def _require_channel(self, channel: str) -> None:
        if type(channel) is not str or not self.hub.knows(channel):
            self.require_valid_channel_name(channel)

    def _require_group(self, group: str) -> None:
        if type(group) is not str or group not in self.hub.groups:
            self.require_valid_group_name(group)
