"""Workers: the messages of named channels, handled by consumers without a client.

Each channel has one application instance, or as many as `concurrency` says; each
gets its messages one at a time as events of the scope
`{"type": "channel", "channel": name}`. The worker stands where a server stands
for sockets: it fills the application's mailbox. It takes a message from the layer
only when an instance waits for one, so what waits stays in the layer, under its
capacity and expiry, for any worker to take. With one instance a channel's
messages are handled in order; several overtake each other.

Whatever fails is logged and goes on: the next message gets a new instance of an
application that failed, a layer is asked again after a growing pause, and so is
a listener started that broke. SIGTERM and SIGINT let the running handlers finish;
a second one does not.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

from .consumer import as_application
from .mailbox import DirectReceive, Entry, Inlet, Mailbox
from .types import ASGIApplication, Message

logger = logging.getLogger("django.channels.worker")

# A layer that fails is asked again, and a listener that breaks started again, after
# this, doubled each time up to the most.
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 30.0
# An outage is said once in so long.
SAY_AGAIN_SECONDS: Final = 60.0
# What a running handler may still take when the worker stops.
STOP_SECONDS: Final = 10.0
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


async def _send(message: Message) -> None:
    raise NotImplementedError(
        "A worker has no client to send to. To reach sockets, send to their group: "
        f"`channel_layer.group_send(...)`. What was sent: {message!r:.60}"
    )


class Worker:
    """Runs `application` for the messages of `channels` of `channel_layer`."""

    def __init__(
        self,
        application: Any,
        channels: Sequence[str],
        channel_layer: Any,
        max_applications: int = 1000,
        *,
        concurrency: int = 1,
    ) -> None:
        if channel_layer is None:
            raise ValueError("Channel layer is not valid")
        if concurrency < 1:
            raise ValueError(
                f"concurrency is how many messages of a channel are handled at once: "
                f"1 or more, not {concurrency!r}"
            )
        self.application: ASGIApplication = as_application(application)
        self.channels = channels
        self.channel_layer = channel_layer
        # Upstream's bound on instances; here `concurrency` is how many a channel has.
        self.max_applications = max_applications
        self.concurrency = concurrency
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Work until SIGINT or SIGTERM. Blocks."""
        asyncio.run(self._run_until_signal())

    async def _run_until_signal(self) -> None:
        with _signals_call(self._stop_when_told):
            await self.handle()

    def _stop_when_told(self) -> None:
        logger.info("Stopping; running handlers have %.0f s to finish", STOP_SECONDS)
        self.stop()

    async def handle(self) -> None:
        """Work until `stop()` is called."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                for channel in dict.fromkeys(self.channels):
                    for _ in range(self.concurrency):
                        group.create_task(self._supervise(channel))
        finally:
            with self._lock:
                self._loop = None

    def stop(self) -> None:
        """Let running handlers finish, then end `handle()`. To be called on its loop."""
        self._stopping.set()

    def request_stop(self) -> None:
        """As `stop()`, from any thread."""
        with self._lock:
            if self._loop is None:
                self._stopping.set()
            else:
                self._loop.call_soon_threadsafe(self._stop_when_told)

    async def _supervise(self, channel: str) -> None:
        """Start the listener of a channel again, whatever breaks it; the others go on."""
        clock = asyncio.get_running_loop().time
        delay = FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            began = clock()
            try:
                return await self.listener(channel)
            except Exception:
                if clock() - began > LONGEST_RETRY_SECONDS:
                    delay = FIRST_RETRY_SECONDS
                logger.exception(
                    "The listener of channel %r failed; it starts again in %.1f s", channel, delay
                )
            await self._pause(delay)
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)

    async def _pause(self, delay: float) -> None:
        """Wait for about `delay` seconds, or until the worker stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay * random.uniform(0.5, 1.0)):
                await self._stopping.wait()

    async def listener(self, channel: str) -> None:
        """Work off one channel, with one application instance, until `stop()` is called."""
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
        while True:
            message = await self._next_message(channel)
            if message.get("type"):
                await seat.hand_over(message)
            else:
                logger.error(
                    "Worker received message with no type. It is dropped; on channel %r: %.60r",
                    channel,
                    message,
                )

    async def _next_message(self, channel: str) -> Message:
        clock = asyncio.get_running_loop().time
        delay, said_at = FIRST_RETRY_SECONDS, -math.inf
        while True:
            try:
                return await self.channel_layer.receive(channel)  # type: ignore[no-any-return]
            except Exception:
                if clock() - said_at >= SAY_AGAIN_SECONDS:
                    said_at = clock()
                    logger.exception(
                        "Reading channel %r failed; again in %.1f s, then less and less often, "
                        "at least each %.0f s",
                        channel,
                        delay,
                        LONGEST_RETRY_SECONDS,
                    )
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_RETRY_SECONDS)


class _Inbox(Mailbox):
    """A mailbox that says when its reader waits: then no handler is running."""

    __slots__ = ("settled",)

    def __init__(self, inlet: Inlet, settled: asyncio.Event) -> None:
        # No room at all: one message pauses the seat until it is taken.
        super().__init__(asyncio.get_running_loop(), inlet, client_limit=0)
        self.settled = settled

    def arrival(self) -> asyncio.Future[None]:
        self.settled.set()
        return super().arrival()

    def take_nowait(self, clock: Callable[[], float]) -> Entry | None:
        entry = super().take_nowait(clock)
        if entry is not None:
            self.settled.clear()
        return entry


class _Seat:
    """Application instances of one channel, one after another."""

    def __init__(self, application: ASGIApplication, channel: str) -> None:
        self._application = application
        self._channel = channel
        self._task: asyncio.Task[None] | None = None
        self._inbox: _Inbox | None = None
        self._type = ""
        self._taken = False
        # Set while the instance waits for a message, and when it has ended.
        self._settled = asyncio.Event()

    async def hand_over(self, message: Message) -> None:
        """Return when the application waits for the next message, or has failed with this one."""
        self._type = message["type"]
        fresh = False
        while not fresh:
            inbox, fresh = self._instance()
            self._settled.clear()
            self._taken = False
            inbox.put_client(message, 0)
            while not self._settled.is_set():
                await self._settled.wait()
            # An instance that ended just before leaves the message to the next one.
            if self._taken:
                return
        logger.error(
            "The application of channel %r ended without reading a message of type %r",
            self._channel,
            self._type,
        )

    # -- Inlet -------------------------------------------------------------

    def pause_input(self) -> None:
        """Nothing more comes before the message is taken."""

    def resume_input(self) -> None:
        self._taken = True

    # -- instances ---------------------------------------------------------

    def _instance(self) -> tuple[_Inbox, bool]:
        """The mailbox of the running instance, or of a new one; whether it is new."""
        if self._inbox is not None and self._task is not None and not self._task.done():
            return self._inbox, False
        self._inbox = inbox = _Inbox(self, self._settled)
        self._task = asyncio.create_task(self._run(inbox))
        self._task.add_done_callback(self._ended)
        return inbox, True

    async def _run(self, inbox: _Inbox) -> None:
        scope = {"type": "channel", "channel": self._channel}
        await self._application(scope, DirectReceive(inbox, _send), _send)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._settled.set()
        error = None if task.cancelled() else task.exception()
        # Consumers log what their handlers raise, with more to say about it.
        if error is not None and not hasattr(error, "__channels_logged__"):
            logger.error(
                "The application of channel %r failed with a message of type %r",
                self._channel,
                self._type,
                exc_info=error,
            )

    async def aclose(self) -> None:
        """Let the running handler finish, then end the instance."""
        if self._task is None or self._task.done():
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            logger.error(
                "A message of type %r on channel %r was not handled in %.0f s; it is cancelled",
                self._type,
                self._channel,
                STOP_SECONDS,
            )
        await _cancel(self._task)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=STOP_SECONDS)


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `stop` on the running loop.

    Once: the next signal has its old effect. Only the main thread may ask for
    signals; in others this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def caught(number: int, frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(stop)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, caught) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        restore()
