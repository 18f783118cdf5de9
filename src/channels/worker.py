"""Workers: the messages of named channels, handled by consumers without a client.

Each channel has one application instance, which gets its messages one at a time
as events of the scope `{"type": "channel", "channel": name}`. The worker stands
where a server stands for sockets: it fills the application's mailbox. It takes
a message from the layer only when the one before has been taken by the
application, so what waits stays in the layer, under its capacity and expiry.

Whatever fails is logged and started again: an application with a new instance
and the message that was next, a layer after a growing pause. SIGTERM and SIGINT
let the running handlers finish.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from .consumer import as_application
from .exceptions import StopConsumer
from .layers.names import shortened
from .mailbox import DirectReceive, Mailbox
from .types import ASGIApplication, Message

logger = logging.getLogger("django.channels.worker")

# A layer that fails is asked again after this, doubled each time up to the most.
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 30.0
# What a running handler may still take when the worker stops.
STOP_SECONDS: Final = 10.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def _send(message: Message) -> NoReturn:
    raise NotImplementedError(
        "A worker has no client to send to. To reach sockets, send to their group: "
        f"`channel_layer.group_send(...)`. What was sent: {shortened(message)}"
    )


class Worker:
    """Runs `application` for the messages of `channels` of `channel_layer`."""

    def __init__(
        self,
        application: Any,
        channels: Sequence[str],
        channel_layer: Any,
        max_applications: int = 1000,
    ) -> None:
        if channel_layer is None:
            raise ValueError("Channel layer is not valid")
        self.application: ASGIApplication = as_application(application)
        self.channels = channels
        self.channel_layer = channel_layer
        self.max_applications = max_applications
        self._stopping: asyncio.Event | None = None

    def run(self) -> None:
        """Work until SIGINT or SIGTERM. Blocks."""
        asyncio.run(self._run_until_signal())

    async def _run_until_signal(self) -> None:
        with _signals_call(self.stop):
            await self.handle()

    async def handle(self) -> None:
        """Work until `stop()` is called."""
        self._stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for channel in dict.fromkeys(self.channels):
                group.create_task(self.listener(channel))

    def stop(self) -> None:
        """Let running handlers finish, then end `handle()`. To be called on its loop."""
        if self._stopping is not None:
            self._stopping.set()

    async def listener(self, channel: str) -> None:
        """Work off one channel."""
        if self._stopping is None:
            self._stopping = asyncio.Event()
        seat = _Seat(self.application, channel)
        feeding = asyncio.create_task(self._feed(seat, channel))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([feeding, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(feeding, stopping)
            await seat.aclose()
        if not feeding.cancelled():
            feeding.result()

    async def _feed(self, seat: _Seat, channel: str) -> None:
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                message = await self.channel_layer.receive(channel)
            except Exception:
                logger.exception("Reading channel %r failed; again in %.1f s", channel, delay)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, LONGEST_RETRY_SECONDS)
                continue
            delay = FIRST_RETRY_SECONDS
            if not message.get("type", None):
                logger.error("Worker received message with no type. It came on %r.", channel)
                continue
            await seat.hand_over(message)


class _Inbox(Mailbox):
    """A mailbox that knows whether its reader waits: then no handler is running."""

    __slots__ = ("idle",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.idle = asyncio.Event()

    async def wait(self) -> None:
        self.idle.set()
        try:
            await super().wait()
        finally:
            self.idle.clear()


class _Seat:
    """Where the application instances of one channel sit, one after another."""

    def __init__(self, application: ASGIApplication, channel: str) -> None:
        self._application = application
        self._channel = channel
        self._inbox: _Inbox | None = None
        self._task: asyncio.Task[None] | None = None
        self._handling: Message | None = None
