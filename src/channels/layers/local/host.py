"""The host of a bus: a thread that moves frames between the nodes of one machine.

It owns the listening socket, the lock that makes it the only host, and one
connection to each node; what to do with a frame is `switch`'s to decide. Plain
sockets and a selector, so that it also runs beside any event loop or none.

A node that does not read has MAX_WAITING bytes kept for it. Policy: *disconnect*.
Past that it is cut off; it joins again when it can, finds by the numbers what
it has missed, and tells its consumers. So one stopped process neither holds up
the others nor fills the host's memory.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from . import frames
from .addresses import new_node
from .frames import BadFrame, FrameReader, Op
from .place import BusPlace, Lock, bind_bus, peer_of, refuse_reason, unbind_bus
from .switch import Switch
from .wake import Wake

logger = logging.getLogger("channels.layers")

# Bytes that may wait for one node. Thousands of messages: what a process misses
# in a stop of some seconds.
MAX_WAITING: Final = 16 << 20
# Nodes at once; a site has tens.
MAX_NODES: Final = 1000
# How long a host that follows another one waits for all nodes to be back. Not so long
# if that one has said goodbye, and who they are, and all are there.
SETTLE_SECONDS: Final = 0.75
# What a host that ends waits for the last words of its nodes.
BYE_SECONDS: Final = 2.0
# While there is traffic, whether our lock is still where others find it is looked at so often.
LOOK_SECONDS: Final = 5.0
# Seconds until accepting is tried again when descriptors ran out.
RETRY: Final = 1.0
_READ: Final = 1 << 18
_WRITE: Final = 1 << 18


class _Link:
    """One node's connection: bytes in, bytes waiting to go out."""

    __slots__ = ("closing", "gone", "held", "head", "number", "out", "reader", "sock", "waiting")

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.reader = FrameReader()
        # Frames that wait for the bus to settle; meanwhile nothing more is read.
        self.held: deque[bytes] = deque()
        self.out: deque[bytes] = deque()
        self.head = memoryview(b"")
        self.waiting = 0
        # To be closed when `out` is written.
        self.closing = False
        # Its process takes no more; what it had to say is still to be read.
        self.gone = False

    def put(self, output: list[bytes]) -> None:
        if self.gone:
            return
        self.out.extend(output)
        self.waiting += sum(map(len, output))

    def write(self) -> None:
        """Write until nothing waits, or the kernel takes no more."""
        while self.waiting:
            if not self.head:
                self.head = memoryview(self._next_bytes())
            try:
                count = self.sock.send(self.head)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.gone = True
                self.out.clear()
                self.head = memoryview(b"")
                self.waiting = 0
                return
            self.waiting -= count
            self.head = self.head[count:]

    def _next_bytes(self) -> bytes:
        # Joined: a system call for many frames costs little more than for one.
        size, parts = 0, []
        while self.out and size < _WRITE:
            size += len(self.out[0])
            parts.append(self.out.popleft())
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Host:
    """Hosts the bus of `place`, whose `lock` it was given, until `stop()`."""

    def __init__(
        self,
        place: BusPlace,
        lock: Lock,
        *,
        settling: bool,
        expected: frozenset[str] = frozenset(),
        project: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = new_node()
        self._place = place
        self._lock = lock
        self._clock = clock
        self._switch = Switch(self.id, os.getpid(), project, settling=settling)
        self._expected = expected
        self._settled_at = time.monotonic() + SETTLE_SECONDS
        self._listener = bind_bus(place, lock)
        self._selector = selectors.DefaultSelector()
        self._wake = Wake()
        self._links: dict[int, _Link] = {}
        self._last_number = 0
        self._retry_at: float | None = None
        self._last_refusal = ""
        self._stopping = False
        self._bye_until: float | None = None
        self._handed_over = False
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._thread = threading.Thread(target=self._run, name="channels-bus-host", daemon=True)

    # -- from other threads ------------------------------------------------

    def start(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake.reader, selectors.EVENT_READ, self._woken)
        self._thread.start()
        logger.info("Hosting the bus %s", self._place.socket_path)

    def stop(self) -> None:
        """Let every node say its last words, give them what is theirs, and let go."""
        self._stopping = True
        self._wake.call()
        self._thread.join(BYE_SECONDS * 2)
        if self._thread.is_alive():
            logger.error("The host of the bus %s did not end", self._place.socket_path)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def close_in_child(self) -> None:
        """In a forked child: close our copies, which would keep the parent's bus alive."""
        for link in self._links.values():
            link.sock.close()
        self._listener.close()
        self._wake.close()
        self._selector.close()
        self._lock.close_in_child()

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException:
            logger.exception("The host of the bus %s failed", self._place.socket_path)
        finally:
            self._end()

    def _turn(self) -> bool:
        for key, events in self._selector.select(self._timeout()):
            key.data(key, events)
        now = time.monotonic()
        if self._switch.settling and (now >= self._settled_at or self._has_all()):
            self._settle()
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._flush()
        if now >= self._look_at and not self._stopping:
            self._look_at = now + LOOK_SECONDS
            self._look_for_lock()
        if not self._stopping:
            return True
        if self._bye_until is None:
            self._begin_to_end(now)
        assert self._bye_until is not None
        if not self._handed_over and (self._switch.all_said_bye or now >= self._bye_until):
            self._hand_over()
            self._bye_until = now + BYE_SECONDS
        return not self._handed_over or (now < self._bye_until and self._writes_on())

    def _has_all(self) -> bool:
        return bool(self._expected) and self._switch.has_all(self._expected)

    def _timeout(self) -> float | None:
        deadlines = [
            self._settled_at if self._switch.settling else None,
            self._retry_at,
            self._bye_until,
        ]
        due = [deadline for deadline in deadlines if deadline is not None]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _woken(self, key: selectors.SelectorKey, events: int) -> None:
        self._wake.hear()

    def _look_for_lock(self) -> None:
        """Give way where somebody removed the lock's file: the next process would host as well."""
        if not self._lock.is_in_place():
            logger.error(
                "The lock %s was removed, so another process may host the bus too; this one gives "
                "way. Do not remove it while anything runs.",
                self._place.lock_path,
            )
            self._stopping = True

    # -- accepting ---------------------------------------------------------

    def _accept(self, key: selectors.SelectorKey, events: int) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            logger.error("The bus cannot take another process: %s", error.strerror)
            self._selector.unregister(self._listener)
            self._retry_at = time.monotonic() + RETRY
            return
        sock.setblocking(False)
        try:
            peer = peer_of(sock)
        except OSError:
            sock.close()
            return
        reason = refuse_reason(self._place, peer)
        if reason is None and len(self._links) >= MAX_NODES:
            reason = f"this bus has {MAX_NODES} processes already, its limit."
        if reason is not None:
            self._refuse(sock, reason)
            return
        self._last_number += 1
        link = self._links[self._last_number] = _Link(sock, self._last_number)
        self._switch.join(link.number)
        self._selector.register(sock, selectors.EVENT_READ, self._ready_method(link))

    def _refuse(self, sock: socket.socket, reason: str) -> None:
        if reason != self._last_refusal:
            # Whoever is refused tries again.
            self._last_refusal = reason
            logger.warning("The bus %s refused a process: %s", self._place.socket_path, reason)
        with contextlib.suppress(OSError):
            sock.send(frames.control(Op.REFUSED, reason=reason))
        sock.close()

    # -- one connection ----------------------------------------------------

    def _ready_method(self, link: _Link) -> Callable[[selectors.SelectorKey, int], None]:
        def ready(key: selectors.SelectorKey, events: int) -> None:
            if events & selectors.EVENT_READ:
                self._read(link)
            if events & selectors.EVENT_WRITE and link.number in self._links:
                self._write(link)

        return ready

    def _read(self, link: _Link) -> None:
        try:
            data = link.sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._drop(link)
            return
        try:
            link.held.extend(link.reader.receive(data))
        except BadFrame as error:
            self._disconnect(link, error)
        else:
            self._take_frames(link)

    def _take_frames(self, link: _Link) -> None:
        now, receive, held = self._clock(), self._switch.receive, link.held
        try:
            while held and receive(link.number, held[0], now):
                held.popleft()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # Its own layout, or what a control frame must have, is not there.
            self._disconnect(link, error)
            return
        if held:
            self._watch(link)

    def _disconnect(self, link: _Link, error: Exception) -> None:
        reason = f"it sent what this host cannot read: {error}"
        logger.error("The bus disconnected a process: %s", reason)
        self._switch.leave(link.number)
        link.put([frames.control(Op.REFUSED, reason=reason)])
        link.closing = True
        self._write(link)

    def _settle(self) -> None:
        self._switch.settle()
        for link in tuple(self._links.values()):
            if link.held:
                self._take_frames(link)
                if link.number in self._links:
                    self._watch(link)

    def _flush(self) -> None:
        outputs = self._switch.outputs
        while outputs:
            number, output = outputs.popitem()
            link = self._links.get(number)
            if link is not None and not link.closing:
                link.put(output)
                self._write(link)

    def _write(self, link: _Link) -> None:
        link.write()
        if link.closing and not link.waiting:
            self._drop(link)
        elif link.waiting > MAX_WAITING and not link.closing and self._bye_until is None:
            pid = self._switch.seats[link.number].pid
            logger.error(
                "Process %d reads more slowly from the bus than others write: over %d bytes wait "
                "for it. It is disconnected, and joins again when it can.",
                pid,
                MAX_WAITING,
            )
            self._drop(link)
        else:
            self._watch(link)

    def _watch(self, link: _Link) -> None:
        """Look for what can be done with this connection now."""
        events = selectors.EVENT_WRITE if link.waiting else 0
        if not link.held and not link.closing:
            events |= selectors.EVENT_READ
        registered = self._selector.get_map().get(link.sock.fileno())
        if registered is not None and registered.events == events:
            return
        if registered is not None:
            self._selector.unregister(link.sock)
        if events:
            self._selector.register(link.sock, events, self._ready_method(link))

    def _drop(self, link: _Link) -> None:
        if self._links.pop(link.number, None) is None:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(link.sock)
        self._switch.leave(link.number)
        link.sock.close()

    # -- the end -----------------------------------------------------------

    def _begin_to_end(self, now: float) -> None:
        self._bye_until = now + BYE_SECONDS
        if self._retry_at is None:
            self._selector.unregister(self._listener)
        self._retry_at = None
        if self._switch.settling:
            self._settle()
        self._switch.say_bye()
        self._flush()

    def _hand_over(self) -> None:
        """Give what waits to a process that stays; say what is lost."""
        self._handed_over = True
        left = self._switch.hand_over()
        for channel, count in left.items():
            logger.warning(
                "%d message(s) on channel %r are lost: the host of the bus ends, and no other "
                "process that serves is here to keep them.",
                count,
                channel,
            )
        self._flush()

    def _writes_on(self) -> bool:
        """Something waits for a process that still reads."""
        seats = self._switch.seats
        return any(
            link.waiting and not link.closing and seats[link.number].bye
            for link in self._links.values()
        )

    def _end(self) -> None:
        for link in tuple(self._links.values()):
            if link.waiting and not link.closing:
                logger.warning(
                    "%d bytes for process %d were not written before the host of the bus ended.",
                    link.waiting,
                    self._switch.seats[link.number].pid,
                )
            self._drop(link)
        self._selector.close()
        unbind_bus(self._place, self._listener, self._lock)
        self._wake.close()
