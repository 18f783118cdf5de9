"""Hears the announcements for the sockets of one event loop.

One task, while there is somebody to hear for. Our own layers deliver into a mailbox
and tell when announcements may have been missed; other layers are read with
`receive()`. An engine that fails is joined again. What may have been missed meanwhile
is found out by looking at every socket once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from ..layers import InMemoryChannelLayer, MailboxLayer, get_channel_layer
from ..mailbox import LAYER, Mailbox
from ..types import Message
from .announcements import GROUP, LOGGED_OUT, PASSWORD_CHANGED

__all__ = ["Hearing", "Listeners"]

logger = logging.getLogger("channels.security")

# A layer that fails is joined again after this, doubled each time up to the most.
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 30.0
# Having been joined for so long, a layer that fails is one that had worked.
STEADY_SECONDS: Final = 60.0
# What each step of joining and leaving may take.
JOIN_SECONDS: Final = 10.0
LEAVE_SECONDS: Final = 1.0
# Joining takes milliseconds; beyond this, log-outs may have gone by.
LATE_SECONDS: Final = 1.0
# Announcements waiting in this process; they are a few hundred bytes each.
ROOM: Final = 10_000
# Layers of other packages forget members, as a rule after a day; all do at a flush().
RENEW_SECONDS: Final = 3600.0


class Listeners(Protocol):
    """For whom announcements are heard."""

    async def logged_out(self, session: str) -> None: ...
    async def password_changed(self, user: str, password: str) -> None: ...
    def may_have_missed(self) -> None: ...


class _Ear(Mailbox):
    """A mailbox with room of its own: a project's channels may have little.

    What is over it the layer counts and logs, as for every channel.
    """

    __slots__ = ()

    @property
    def layer_count(self) -> int:
        return 0 if len(self.entries) < ROOM else ROOM

    @layer_count.setter
    def layer_count(self, value: int) -> None:
        """The entries themselves are counted."""


def _renew_seconds(layer: Any) -> float:
    """Well before the layer forgets its members, where it says when that is."""
    expiry = getattr(layer, "group_expiry", None)
    if isinstance(expiry, (int, float)) and expiry > 0:
        return min(RENEW_SECONDS, expiry / 2)
    return RENEW_SECONDS


class Hearing:
    """Joins the group of announcements and passes them on, until it is cancelled."""

    def __init__(
        self,
        listeners: Listeners,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._listeners = listeners
        self._clock = clock
        self._sleep = sleep
        self._began = clock()
        self._failing = False
        self._joined_at: float | None = None

    async def run(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                layer = get_channel_layer()
                if layer is None:
                    return
                await self._hear(layer)
            except Exception as error:
                if self._was_steady():
                    delay, self._failing = FIRST_RETRY_SECONDS, False
                if not self._failing:
                    logger.warning("Log-outs are not heard, the layer failed: %r", error)
                self._failing = True
            await self._sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)

    def _was_steady(self) -> bool:
        joined_at, self._joined_at = self._joined_at, None
        return joined_at is not None and self._clock() - joined_at > STEADY_SECONDS

    async def _hear(self, layer: Any) -> None:
        if isinstance(layer, MailboxLayer):
            await self._hear_mailbox(layer)
        else:
            await self._hear_receive(layer)

    def _joined(self, layer: Any) -> None:
        self._joined_at = now = self._clock()
        if self._failing:
            logger.info("Log-outs are heard again")
        # Another process may have told of somebody while this one was joining. In one
        # process alone that is known, and joining takes no time.
        shared = not isinstance(layer, InMemoryChannelLayer)
        if shared or self._failing or now - self._began > LATE_SECONDS:
            self._listeners.may_have_missed()

    # -- our own layers ----------------------------------------------------

    async def _hear_mailbox(self, layer: Any) -> None:
        mailbox = _Ear(asyncio.get_running_loop())
        mailbox.wants_notices = True
        channel = await layer.new_channel(GROUP)
        layer.attach(channel, mailbox)
        try:
            renew_at = await self._join(layer, channel)
            self._joined(layer)
            while True:
                if self._clock() >= renew_at:
                    renew_at = await self._join(layer, channel)
                entry = mailbox.take_nowait(time.monotonic)
                if entry is None:
                    await self._arrival(mailbox, renew_at)
                    continue
                source, content, _ = entry
                if source is LAYER:
                    await self._announced(content)
                elif content:
                    self._listeners.may_have_missed()
        finally:
            mailbox.close()
            layer.detach(channel)

    async def _arrival(self, mailbox: Mailbox, renew_at: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, renew_at - self._clock())):
                await mailbox.arrival()
        except TimeoutError:
            mailbox.forget_reader()

    # -- layers of other packages ------------------------------------------

    async def _hear_receive(self, layer: Any) -> None:
        channel = await layer.new_channel()
        receiving: asyncio.Future[Any] | None = None
        try:
            renew_at = await self._join(layer, channel)
            self._joined(layer)
            while True:
                if receiving is None:
                    receiving = asyncio.ensure_future(layer.receive(channel))
                await asyncio.wait([receiving], timeout=max(0.0, renew_at - self._clock()))
                if receiving.done():
                    message, receiving = receiving.result(), None
                    await self._announced(message)
                if self._clock() >= renew_at:
                    renew_at = await self._join(layer, channel)
        finally:
            await self._leave(layer, channel, receiving)

    async def _join(self, layer: Any, channel: str) -> float:
        """Join, or renew the membership; answers when that is due again."""
        async with asyncio.timeout(JOIN_SECONDS):
            await layer.group_add(GROUP, channel)
        return self._clock() + _renew_seconds(layer)

    async def _leave(self, layer: Any, channel: str, receiving: asyncio.Future[Any] | None) -> None:
        if receiving is not None:
            receiving.cancel()
            await asyncio.wait([receiving], timeout=LEAVE_SECONDS)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await layer.group_discard(GROUP, channel)
        except Exception as error:
            # The membership ends by itself, and nobody reads the channel any more.
            logger.debug("A channel could not be taken out of group %r: %r", GROUP, error)

    async def _announced(self, message: Message) -> None:
        kind = message.get("type")
        if kind == LOGGED_OUT:
            await self._listeners.logged_out(str(message.get("session")))
        elif kind == PASSWORD_CHANGED:
            user, password = message.get("user"), message.get("password")
            await self._listeners.password_changed(str(user), str(password))
