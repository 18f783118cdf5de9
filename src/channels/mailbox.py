"""The queue of one ASGI scope: what its client sent and what layers sent, in one order.

Two budgets, so that neither source can push out the other. Client input is
counted in bytes; over the budget the server is asked to stop reading from the
client. Layer messages are counted by number; over the capacity a message is
refused, and whoever offered it counts the loss. A disconnect needs no budget
and is never refused; nor is the notice that a layer may have lost messages, of
which at most one waits.

A mailbox belongs to one event loop. It is filled and read in callbacks and
coroutines of that loop alone; other threads go through the loop's
`call_soon_threadsafe`. Taking an entry never waits, so a cancelled reader
loses nothing.

A leaf: it imports the standard library alone, and everything else may import
it (the server fills mailboxes, consumers and layers read and fill them).
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Protocol

from .types import Message, Send

# What a client may have waiting before the server stops reading, in bytes, or
# characters of text: about one message of the default size limit.
DEFAULT_CLIENT_LIMIT: Final = 1 << 20
# What an event costs beyond its payload, roughly: without it, empty messages
# would cost a client nothing and the server all its memory.
EVENT_BYTES: Final = 256


class Source(enum.Enum):
    """Who an entry comes from; what may be asked of a handler depends on it."""

    CLIENT = "client"
    DISCONNECT = "disconnect"
    FAILURE = "failure"
    LAYER = "layer"
    NOTICE = "notice"
    SHARED = "shared"


CLIENT: Final = Source.CLIENT
DISCONNECT: Final = Source.DISCONNECT
FAILURE: Final = Source.FAILURE
LAYER: Final = Source.LAYER
NOTICE: Final = Source.NOTICE
SHARED: Final = Source.SHARED

# (source, content, number). The number of a client's entry is its size in bytes;
# of a layer's, the time.monotonic() after which it is stale. The content of a
# SHARED entry is a SharedMessage, of a NOTICE whether messages may have been missed.
# A bare tuple: a named one costs four times as much, once per message.
Entry = tuple[Source, Any, float]


class Inlet(Protocol):
    """The server's side of a mailbox: the client's bytes can be held back."""

    def pause_input(self) -> None: ...
    def resume_input(self) -> None: ...


class Sink(Protocol):
    """Where frames that many members share are written, past the consumer.

    `writable` is a plain attribute, true while the client has been accepted, is
    not closing and is below its high-water mark. Sinks of equal `kind` (transport
    kind, subprotocol, compression) share the same bytes.
    """

    writable: bool
    kind: Hashable

    def encode(self, text: str | None, data: bytes | None) -> bytes: ...
    @property
    def write_frame(self) -> Callable[[bytes], None]: ...


class SharedMessage:
    """One content for many sockets, framed once per kind of sink."""

    __slots__ = ("_frames", "data", "last_frame", "last_kind", "text")

    def __init__(self, text: str | None, data: bytes | None) -> None:
        self.text = text
        self.data = data
        self._frames: dict[Hashable, bytes] = {}
        # The last one asked for: sinks of one kind mostly come in a row.
        self.last_kind: Hashable = None
        self.last_frame = b""

    def frame(self, sink: Sink) -> bytes:
        kind = sink.kind
        frame = self._frames.get(kind)
        if frame is None:
            frame = self._frames[kind] = sink.encode(self.text, self.data)
        self.last_kind, self.last_frame = kind, frame
        return frame


class Mailbox:
    """The bounded queue of one consumer or application.

    `client_limit`: bytes of client input waiting before `inlet` is paused. A
    single larger message is taken whole, since refusing it would lose it.
    """

    __slots__ = (
        "_last",
        "_missed",
        "_paused",
        "_room",
        "claimed",
        "client_bytes",
        "client_limit",
        "closed",
        "endless",
        "entries",
        "expired",
        "inlet",
        "layer_count",
        "loop",
        "on_disconnect",
        "renderer",
        "sink",
        "waiter",
        "wants_notices",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inlet: Inlet | None = None,
        client_limit: int = DEFAULT_CLIENT_LIMIT,
    ) -> None:
        self.loop = loop
        self.inlet = inlet
        self.client_limit = client_limit
        self.client_bytes = 0
        self.layer_count = 0
        self.expired = 0
        self.claimed = False
        self.closed = False
        # Set by a consumer whose class is on the fast lane (see broadcast.py).
        self.renderer: Any = None
        self.sink: Sink | None = None
        # Set by a consumer whose response goes on until the client leaves: a server that
        # stops does not wait for its end.
        self.endless = False
        # Set by a consumer that must know at once, not when its turn comes.
        self.on_disconnect: Callable[[], None] | None = None
        # Set by a consumer whose class defines `layer_reconnected`.
        self.wants_notices = False
        # Its reader asks whether there are any; all else goes through methods.
        self.entries: deque[Entry] = deque()
        # Of whoever waits for an entry.
        self.waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._paused = False
        self._last: Message | None = None
        # What the waiting notice says; None while there is none.
        self._missed: bool | None = None

    def __len__(self) -> int:
        return len(self.entries)

    # -- filling -----------------------------------------------------------

    def put_client(self, message: Message, size: int) -> None:
        """Queue an event of the client; `size` is its payload, in bytes or characters."""
        if self.closed:
            return
        size += EVENT_BYTES
        self.entries.append((CLIENT, message, size))
        self.client_bytes += size
        if self.client_bytes > self.client_limit and not self._paused and self.inlet is not None:
            self._paused = True
            self.inlet.pause_input()
        waiter = self.waiter
        if waiter is not None:
            # As in _wake(): a call less for each message.
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def put_disconnect(self, message: Message) -> None:
        """Queue the last event of the client; later calls change nothing."""
        if self._last is None and not self.closed:
            self._last = message
            self.entries.append((DISCONNECT, message, 0))
            self._wake()
            if self.on_disconnect is not None:
                self.on_disconnect()

    def put_notice(self, may_have_missed: bool) -> None:
        """Queue a notice that the layer is connected again, if the reader wants any.

        While one waits, another adds what it says to it, and changes no place.
        """
        if self.closed or not self.wants_notices:
            return
        if self._missed is not None:
            self._missed |= may_have_missed
            return
        self._missed = may_have_missed
        self.entries.append((NOTICE, None, 0))
        self._wake()

    def fail(self, error: BaseException) -> None:
        """The source of client events broke: raised to the reader after what is queued."""
        self.entries.append((FAILURE, error, 0))
        self._wake()

    def put_layer(self, message: Message, expires_at: float, capacity: int) -> bool:
        """Queue a layer message, or answer False when `capacity` of them wait already."""
        if self.closed or self.layer_count >= capacity:
            return False
        self.entries.append((LAYER, message, expires_at))
        self.layer_count += 1
        waiter = self.waiter
        if waiter is not None:
            # As in _wake().
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)
        return True

    def put_shared(self, shared: SharedMessage, expires_at: float, capacity: int) -> bool:
        """Write a shared frame at once if nothing is ahead of it, else queue it.

        Somebody waiting means that no entry is queued and no handler is running,
        so order holds. False when `capacity` layer messages wait already.
        """
        sink = self.sink
        if self.waiter is not None and sink is not None and sink.writable:
            same = sink.kind is shared.last_kind
            sink.write_frame(shared.last_frame if same else shared.frame(sink))
            return True
        if self.closed or self.layer_count >= capacity:
            return False
        self.entries.append((SHARED, shared, expires_at))
        self.layer_count += 1
        if self.waiter is not None:
            self._wake()
        return True

    def _wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- taking ------------------------------------------------------------

    def take_nowait(self, clock: Callable[[], float]) -> Entry | None:
        """Take the next entry, or None. Layer messages that went stale are counted and dropped.

        `clock` is asked for layer messages alone: it would be a tenth of what
        taking a client's event costs.
        """
        entries = self.entries
        while entries:
            entry = entries.popleft()
            source, content, number = entry
            if source is CLIENT:
                self.client_bytes -= number  # type: ignore[assignment]
                if self._paused:
                    self._resume_if_low()
                return entry
            if source is LAYER or source is SHARED:
                self.layer_count -= 1
                if self._room is not None:
                    self._wake_room()
                if number > clock():
                    return entry
                self.expired += 1
                continue
            if source is FAILURE:
                raise content
            return self._notice() if source is NOTICE else entry
        return None

    def _notice(self) -> Entry:
        missed, self._missed = self._missed, None
        return NOTICE, missed, 0

    def _wake_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def wait_layer_room(self, capacity: int) -> None:
        """Return when fewer than `capacity` layer messages wait. One pump at a time."""
        while self.layer_count >= capacity and not self.closed:
            self._room = self.loop.create_future()
            await self._room

    def _resume_if_low(self) -> None:
        # Half of the limit: a pause is worth a few messages, not a flutter.
        if self.client_bytes <= self.client_limit // 2:
            self._paused = False
            if self.inlet is not None and not self.closed:
                self.inlet.resume_input()

    def arrival(self) -> asyncio.Future[None]:
        """A future that is done when an entry comes; to be asked for when there is none.

        One reader at a time. One that is cancelled says so with `forget_reader()`.
        """
        if self.waiter is not None:
            raise RuntimeError("Two tasks wait on one mailbox; give each consumer its own.")
        waiter = self.waiter = self.loop.create_future()
        return waiter

    @property
    def reader_waits(self) -> bool:
        """Nothing is queued and no handler runs."""
        return self.waiter is not None

    def forget_reader(self) -> None:
        """The reader is gone: nothing may go past the mailbox in its name."""
        self.waiter = None

    async def receive(self) -> Message:
        """The ASGI `receive` of an application that has no other source of messages.

        After the disconnect every call returns it again (ASGI HTTP 2.5).
        """
        if self.claimed:
            raise RuntimeError(
                "The events of this connection are read by a consumer; receive() is not for others."
            )
        while not self.entries:
            if self.closed and self._last is not None:
                return self._last
            waiter = self.arrival()
            try:
                await waiter
            finally:
                if self.waiter is waiter:
                    self.waiter = None
        source, message, number = self.entries.popleft()
        if source is FAILURE:
            raise message
        assert source in (CLIENT, DISCONNECT), "layers only fill mailboxes that were claimed"
        self.client_bytes -= number  # type: ignore[assignment]
        if self._paused:
            self._resume_if_low()
        if source is DISCONNECT:
            self.closed = True
        return message  # type: ignore[no-any-return]

    def close(self) -> int:
        """Refuse all that comes; answer how many entries were left unread."""
        self.closed = True
        self.sink = None
        left = len(self.entries)
        self.entries.clear()
        self.client_bytes = self.layer_count = 0
        self._wake_room()
        return left


class DirectReceive:
    """The `receive` that our own server hands to an application.

    A consumer that was given this very object, and with it the `send` it was
    made with, stands directly on the server: it may read the mailbox itself,
    without a pump. Behind a middleware that wraps either of them it may not.
    """

    __slots__ = ("mailbox", "send", "sink")

    def __init__(self, mailbox: Mailbox, send: Send, sink: Sink | None = None) -> None:
        self.mailbox = mailbox
        self.send = send
        self.sink = sink

    def __call__(self) -> Awaitable[Message]:
        # Not a coroutine around a coroutine: it would cost as much as the inner one.
        return self.mailbox.receive()
