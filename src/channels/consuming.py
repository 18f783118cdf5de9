"""One consumer at work: entries out of its mailbox, until something ends it.

Whatever that is, the consumer's own handler of `<protocol>.disconnect` runs once:
with the client's event, or else with one made here. This is the path of every
message; what each line costs stands 1,000 times in a broadcast.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import AsyncToSync

from .exceptions import StopConsumer, UnknownMessageType
from .handlers import ON_RECONNECT, check_open_to_layers, handler_name, types_open_to_layers
from .mailbox import (
    CLIENT,
    DISCONNECT,
    LAYER,
    NOTICE,
    SHARED,
    Mailbox,
    SharedMessage,
    Source,
)
from .threads import CallerLane, Lane
from .types import ClientDisconnected
from .utils import name_that_thing

if TYPE_CHECKING:
    from .consumer import AsyncConsumer

logger = logging.getLogger("channels.consumer")

# What `disconnect` may still take after an error or a cancellation ended the consumer.
CLEANUP_SECONDS: Final = 10.0
# RFC 6455 7.4.1: an unexpected condition on the server; the connection was lost.
INTERNAL_ERROR: Final = 1011
CONNECTION_LOST: Final = 1006


class Run:
    """The loop of one consumer for one scope."""

    __slots__ = ("consumer", "lane", "mailbox", "protocol", "told")

    def __init__(
        self, consumer: AsyncConsumer, mailbox: Mailbox, active: Lane | CallerLane
    ) -> None:
        self.consumer = consumer
        self.mailbox = mailbox
        self.lane = active
        self.protocol: str = consumer.scope.get("type", "")
        # The handler of the disconnect has been called.
        self.told = False

    async def run(self) -> None:
        failed = False
        try:
            await self._loop()
        except StopConsumer as stop:
            # Out of a thread it comes with asgiref's frame, which holds the future that
            # holds it: a cycle, without this.
            stop.__traceback__ = None
        except Exception:
            # Its name is kept by no frame of its traceback, here as in _ends_with.
            failed = True
            raise
        finally:
            self.mailbox.forget_reader()
            try:
                await self._tell_disconnect(INTERNAL_ERROR if failed else CONNECTION_LOST)
            except asyncio.CancelledError:
                # Who cancels the clean-up still learns what made it necessary.
                if not failed:
                    raise

    async def _loop(self) -> None:
        consumer, mailbox, active = self.consumer, self.mailbox, self.lane
        take, clock, dispatch = mailbox.take_nowait, time.monotonic, consumer.dispatch
        owner: Any = type(consumer)
        entries, open_types = mailbox.entries, types_open_to_layers(owner)
        # A named channel is the layer's too, though a worker hands its messages over.
        named = self.protocol == "channel"
        source = CLIENT
        if not entries:
            await mailbox.arrival()
        # Not before: without an event yet it has joined no group, and missed nothing.
        mailbox.wants_notices = callable(getattr(owner, ON_RECONNECT, None))
        while source is not DISCONNECT:
            if not entries:
                await mailbox.arrival()
            entry = take(clock)
            if entry is None:
                continue
            source, content, _number = entry
            if named and source is CLIENT:
                source = LAYER
            try:
                if source is LAYER:
                    type_ = content.get("type")
                    if type(type_) is not str or type_ not in open_types:
                        check_open_to_layers(owner, type_)
                    await dispatch(content)
                elif source is CLIENT:
                    await dispatch(content)
                elif source is SHARED:
                    await consumer._send_shared(content)
                elif source is NOTICE:
                    await consumer._dispatch_notice(content)
                else:
                    self.told = True
                    await dispatch(content)
            except StopConsumer:
                raise
            except Exception as error:
                if self._ends_with(error, source, content):
                    raise
            if active.open:
                active.end_event()
            if entries:
                # A turn for others, and for tasks that the handler has made: one client's
                # burst must not hold up the loop.
                await asyncio.sleep(0)

    def _ends_with(self, error: Exception, source: Source, content: Any) -> bool:
        """Decide what a handler's exception means: whether it ends the consumer.

        It is not raised from here: a frame in its traceback that holds it is a cycle.
        """
        if isinstance(error, ClientDisconnected):
            # The client left while the handler was sending to it. Its disconnect
            # is on the way, and is what the consumer hears of it.
            logger.debug("%s: the client left before %s", self._where(), _describe(content))
        elif isinstance(error, UnknownMessageType) and source is LAYER:
            # A group's other members may well know this type. Escaped: it may be a client's
            # text, and must not make a line of its own.
            said = repr(str(error))[1:-1]
            logger.warning("%s ignored a layer message: %s", self._where(), said)
        elif isinstance(error, UnknownMessageType) and source is DISCONNECT:
            raise StopConsumer from None
        else:
            self._log(error, content)
            return True
        return False

    async def _tell_disconnect(self, code: int) -> None:
        type_ = f"{self.protocol}.disconnect"
        handler = handler_name(type_) if self.protocol else ""
        if self.told or not getattr(self.consumer, handler, None):
            return
        self.told = True
        # A blocking call that was cancelled just as it returned can leave its thread's
        # executor in this task (asgiref copies contexts back): the lane is what counts.
        AsyncToSync.executors.current = None
        message = {"type": type_, "code": code}
        limit = asyncio.timeout(CLEANUP_SECONDS)
        try:
            async with limit:
                await self.consumer.dispatch(message)
        except StopConsumer:
            pass
        except Exception as error:
            if limit.expired():
                logger.error("%s: disconnect() took over %.0f s", self._where(), CLEANUP_SECONDS)
            else:
                self._log(error, message)

    def _where(self) -> str:
        path = self.consumer.scope.get("path") or self.consumer.scope.get("channel", "")
        return f"{name_that_thing(type(self.consumer))} at {path!r}"

    def _log(self, error: Exception, content: Any) -> None:
        """Log an exception once, with all that helps to find its cause."""
        logger.error(
            "%s failed to handle %s",
            self._where(),
            _describe(content),
            exc_info=error,
            extra={"scope_path": self.consumer.scope.get("path")},
        )
        # For the server above: this one has been said.
        error.__channels_logged__ = True  # type: ignore[attr-defined]


def _describe(content: Any) -> str:
    if isinstance(content, SharedMessage):
        return "a shared message"
    if isinstance(content, bool):
        return f"{ON_RECONNECT}(may_have_missed={content})"
    return f"{content.get('type')!r}" if "type" in content else "a message without a type"
