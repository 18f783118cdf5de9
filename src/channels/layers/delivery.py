"""One message on its way to many channels of this process.

To a mailbox of the running loop it goes at once; mailboxes of other loops get
theirs in one call per loop. Members whose class is on the fast lane share one
rendering. A member that cannot take the message is a loss to report, and
changes nothing for the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from ..mailbox import LAYER, Mailbox, SharedMessage
from .base import Renderer
from .copies import Copier
from .hub import Hub
from .losses import Loss, Reason

logger = logging.getLogger("channels.layers")

LostCallback = Callable[[list[Loss]], None]


class _Parcel(NamedTuple):
    """What one mailbox of another loop gets."""

    channel: str
    mailbox: Mailbox
    capacity: int
    content: dict[str, Any] | SharedMessage


class _Rendering(NamedTuple):
    """What a renderer made of the message; without `ordinary`, None is nothing to send."""

    shared: SharedMessage | None = None
    ordinary: bool = False
    failed: bool = False


_ORDINARY: Final = _Rendering(ordinary=True)


class Delivery:
    """Carries one message to channels; `lost` says who did not get it.

    `on_lost` hears of losses that other loops report later.
    """

    __slots__ = (
        "_copy",
        "_elsewhere",
        "_expires_at",
        "_hub",
        "_loop",
        "_now",
        "_on_lost",
        "_rendered",
        "lost",
    )

    def __init__(
        self,
        hub: Hub,
        copy: Copier,
        now: float,
        expires_at: float,
        loop: asyncio.AbstractEventLoop | None,
        on_lost: LostCallback,
    ) -> None:
        self.lost: list[Loss] = []
        self._hub = hub
        self._copy = copy
        self._now = now
        self._expires_at = expires_at
        self._loop = loop
        self._on_lost = on_lost
        self._rendered: dict[Renderer, _Rendering] = {}
        self._elsewhere: dict[asyncio.AbstractEventLoop, list[_Parcel]] = {}

    def to_channel(self, channel: str) -> None:
        """Deliver to one channel that a mailbox is attached to."""
        self._to_attached(channel)
        self._send_elsewhere()

    def to_group(self, group: str, channels: Iterable[str]) -> None:
        """Deliver to the members of a group."""
        attached, loop, copy = self._hub.attached, self._loop, self._copy
        expires_at = self._expires_at
        renderer: Renderer | None = None
        shared, ordinary, failed = _ORDINARY
        for channel in channels:
            place = attached.get(channel)
            if place is None:
                self._to_unattached(group, channel)
                continue
            mailbox, capacity = place
            if mailbox.loop is not loop:
                self._to_mailbox(channel, mailbox, capacity)
                continue
            # From here to the end of the loop is the cost of a broadcast. Neighbours
            # mostly have one renderer, or none.
            if mailbox.renderer is not renderer:
                renderer = mailbox.renderer
                shared, ordinary, failed = self._rendering(renderer)
            try:
                if shared is not None:
                    taken = mailbox.put_shared(shared, expires_at, capacity)
                elif not ordinary:
                    taken = not failed
                elif mailbox.closed or mailbox.layer_count >= capacity:
                    taken = False
                else:
                    # As in put_layer(): a call less for each member, a tenth of it all (W6).
                    mailbox.entries.append((LAYER, copy(), expires_at))
                    mailbox.layer_count += 1
                    waiter = mailbox.waiter
                    if waiter is not None:
                        mailbox.waiter = None
                        if not waiter.done():
                            waiter.set_result(None)
                    continue
            except Exception:
                self._failed(channel, self.lost)
            else:
                if not taken:
                    self._refused(channel, mailbox, failed)
        self._send_elsewhere()

    # -- one channel -------------------------------------------------------

    def _to_unattached(self, group: str, channel: str) -> None:
        # Another thread may have ended the membership since the list was made.
        if not self._hub.is_member(group, channel):
            return
        queued = self._hub.enqueue(channel, self._copy(), self._expires_at, self._now)
        if queued is None:
            self._to_attached(channel)
        elif not queued:
            self.lost.append(Loss(channel, Reason.FULL))

    def _to_attached(self, channel: str) -> None:
        place = self._hub.attached.get(channel)
        if place is not None:
            self._to_mailbox(channel, *place)

    def _to_mailbox(self, channel: str, mailbox: Mailbox, capacity: int) -> None:
        content = self._content_for(channel, mailbox)
        if content is None:
            return
        parcel = _Parcel(channel, mailbox, capacity, content)
        if mailbox.loop is self._loop:
            self._put(parcel, self.lost)
        elif mailbox.closed or mailbox.layer_count >= capacity:
            self._refused(channel, mailbox)
        else:
            self._elsewhere.setdefault(mailbox.loop, []).append(parcel)

    def _refused(self, channel: str, mailbox: Mailbox, failed: bool = False) -> None:
        if failed:
            reason = Reason.FAILED
        else:
            reason = Reason.CLOSED if mailbox.closed else Reason.FULL
        self.lost.append(Loss(channel, reason))

    def _failed(self, channel: str, lost: list[Loss]) -> None:
        logger.exception("Writing a message to channel %r failed", channel)
        lost.append(Loss(channel, Reason.FAILED))

    # -- contents ----------------------------------------------------------

    def _content_for(self, channel: str, mailbox: Mailbox) -> dict[str, Any] | SharedMessage | None:
        rendering = self._rendering(mailbox.renderer)
        if rendering.ordinary:
            return self._copy()
        if rendering.failed:
            self.lost.append(Loss(channel, Reason.FAILED))
        return rendering.shared

    def _rendering(self, renderer: Renderer | None) -> _Rendering:
        if renderer is None:
            return _ORDINARY
        rendering = self._rendered.get(renderer)
        if rendering is None:
            rendering = self._rendered[renderer] = self._render(renderer)
        return rendering

    def _render(self, renderer: Renderer) -> _Rendering:
        message = self._copy()
        type_ = message.get("type")
        try:
            if not isinstance(type_, str) or not renderer.handles(type_):
                return _Rendering(ordinary=True)
            return _Rendering(renderer.render(message))
        except Exception:
            logger.exception("Rendering a message of type %r failed; nobody gets it", type_)
            return _Rendering(failed=True)

    # -- mailboxes ---------------------------------------------------------

    def _put(self, parcel: _Parcel, lost: list[Loss]) -> None:
        channel, mailbox, capacity, content = parcel
        try:
            if isinstance(content, SharedMessage):
                taken = mailbox.put_shared(content, self._expires_at, capacity)
            else:
                taken = mailbox.put_layer(content, self._expires_at, capacity)
        except Exception:
            self._failed(channel, lost)
            return
        if not taken:
            lost.append(Loss(channel, Reason.CLOSED if mailbox.closed else Reason.FULL))

    def _send_elsewhere(self) -> None:
        for loop, parcels in self._elsewhere.items():
            try:
                loop.call_soon_threadsafe(self._arrive, parcels)
            except RuntimeError:
                self._abandon(parcels)

    def _arrive(self, parcels: list[_Parcel]) -> None:
        """Runs on the mailboxes' own loop."""
        lost: list[Loss] = []
        for parcel in parcels:
            self._put(parcel, lost)
        if lost:
            self._on_lost(lost)

    def _abandon(self, parcels: list[_Parcel]) -> None:
        """The loop is closed: its consumers can never come back."""
        for parcel in parcels:
            self.lost.append(Loss(parcel.channel, Reason.UNREACHABLE))
            self._hub.detach(parcel.channel)
