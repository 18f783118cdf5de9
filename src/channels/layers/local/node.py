"""A process's end of the bus: one connection, used from any thread and event loop.

Who writes does so in their own thread, straight to the socket if it takes it. A
thread of the node's own reads, connects anew when the host has gone, and makes
this process the host where nobody else is and it may.

What a node wants is kept as state (`wishes`) and said anew to each host. What it
has to say waits in order (`outbox`); a frame of which the old host got only a part
is said whole to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol

from ...exceptions import LayerUnavailable
from ..gaps import Gaps, Numbers, Position
from ..waiter import running_loop
from . import frames
from .addresses import new_node
from .calls import Call, Calls, OnSent, fail
from .frames import BadFrame, FrameReader, Item, Op, Outcome, Publication, Sending
from .joining import Joining
from .outbox import Outbox
from .place import BusPlace
from .wake import Wake
from .wishes import Wishes, in_parts

logger = logging.getLogger("channels.layers")

# Bytes that may wait for the host. Policy: *wait*. Over it, senders wait for room,
# and after WAIT_SECONDS are told that nothing was sent.
MAX_WAITING: Final = 16 << 20
# What a sender waits for the bus: of a process that may host it, and of one that
# only joins and can do nothing about it.
WAIT_SECONDS: Final = 5.0
JOIN_SECONDS: Final = 2.0
# Positions are told this long after the publications they are of.
HEARTBEAT_SECONDS: Final = 1.0
# Between two attempts to find a host.
FIRST_RETRY_SECONDS: Final = 0.01
LONGEST_RETRY_SECONDS: Final = 0.5
# Soon after a host was lost the next one is there: whoever comes late misses messages.
QUICK_RETRY_SECONDS: Final = 0.05
QUICK_FOR_SECONDS: Final = 5.0
# Who was refused waits for somebody to mend what is wrong.
REFUSED_RETRY_SECONDS: Final = 30.0
# A host that is silent for so long, while something waits for it, is mentioned.
SILENCE_SECONDS: Final = 5.0
# A message of which nobody has said in this time what became of it.
ANSWER_SECONDS: Final = 30.0
_READ: Final = 1 << 18

# One thing that arrived for this process.
Arrival = Publication | Sending


class Events(Protocol):
    """What a node tells its layer, in the node's own thread."""

    def arrived(self, arrivals: list[Arrival]) -> bool: ...
    def missed(self, group: str, count: int) -> None: ...
    def dropped(self, group: str, channel: str) -> None: ...
    def reconnected(self, *, all_may_have_missed: bool) -> None: ...
    def called(self, call: dict[str, Any]) -> dict[str, Any]: ...


class Node:
    """One process on the bus of `place`.

    `events.arrived` answers False when it has taken enough for now; `resume()` asks
    for more. `may_host`: whether this process lives long enough to serve the others.
    """

    def __init__(
        self,
        place: BusPlace,
        events: Events | None = None,
        *,
        may_host: Callable[[], bool],
        project: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = new_node()
        self.missed = 0
        self.reconnects = 0
        self._place = place
        self._events = events
        self._may_host = may_host
        self._project = project
        self._clock = clock
        self._id_bytes = self.id.encode()
        self._joining = Joining(place, may_host, project, clock)
        # Re-entrant: detach() may be called by a finalizer, at any allocation.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._wake: Wake | None = None
        self._closing = False
        self._wishes = Wishes()
        self._outbox = Outbox()
        self._calls = Calls()
        self._numbers = Numbers()
        self._gaps = Gaps()
        self._waiters: list[tuple[Callable[[], bool], Future[None]]] = []
        # The connection. `_open`: the host has said welcome, senders may write.
        self._sock: socket.socket | None = None
        self._open = False
        self._reading = True
        # How often `resume` was called.
        self._resumed = 0
        self._heard_at = 0.0
        self._beat_at: float | None = None
        self._sweep_at: float | None = None
        # The loop at the end of whose turn the outbox is written.
        self._corking: asyncio.AbstractEventLoop | None = None
        # The host before: who it was, and whether it had said goodbye.
        self._host_id = ""
        self._lost_at = -math.inf
        # Whom it has named in its goodbye: they will come back.
        self._expected: frozenset[str] = frozenset()
        self._graceful = False
        self._let_in = False
        self._was_refused = False
        # At a new host: groups whose subscription it has not taken yet.
        self._renewing: set[str] = set()
        self._returned = False
        self._may_have_missed = False

    # -- life --------------------------------------------------------------

    def start(self) -> None:
        """Join the bus, in a thread; nothing happens where that was done."""
        with self._lock:
            if self._thread is not None:
                if self._sock is None:
                    # It may sleep, if nothing was wanted of it.
                    self._call_thread()
            elif not self._closing:
                self._wake = Wake()
                self._thread = threading.Thread(target=self._run, name="channels-bus", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what waits, as long as the host takes it, and leave. Blocks."""
        flushed = self.flush(WAIT_SECONDS)
        with self._lock:
            self._closing = True
            if not flushed:
                # Said to be lost; its thread would wait for it.
                self._outbox.clear()
            self._call_thread()
        if self._thread is not None:
            self._thread.join(WAIT_SECONDS)
        self._joining.stop()
        self._fail_all("it was left")
        if self._wake is not None:
            self._wake.close()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was sent is with the kernel; False if that takes too long."""
        future = self._when(lambda: not self._outbox)
        try:
            if future is not None:
                future.result(seconds)
        except TimeoutError:
            assert future is not None
            future.cancel()
            left = len(self._outbox.durable())
            logger.error("The bus did not take %d message(s) in %g s; lost.", left, seconds)
            return False
        return True

    def close_in_child(self) -> None:
        """In a forked child: close our copies of what stays the parent's."""
        if self._sock is not None:
            self._sock.close()
        if self._wake is not None:
            self._wake.close()
        self._joining.close_in_child()

    @property
    def hosting(self) -> bool:
        return self._joining.hosting

    @property
    def waiting_bytes(self) -> int:
        return self._outbox.bytes

    @property
    def duplicates(self) -> int:
        return self._gaps.duplicates

    # -- waiting for the bus -----------------------------------------------

    def ready(self) -> Future[None] | None:
        """None when there is a host and room for more; else a future of that moment."""
        if self._open and self._outbox.bytes <= MAX_WAITING:
            return None
        if threading.current_thread() is self._thread:
            # A logging handler that sends, say. It would wait for itself.
            raise self.unavailable()
        self.start()
        return self._when(lambda: self._open and self._outbox.bytes <= MAX_WAITING // 2)

    @property
    def patience(self) -> float:
        """Seconds worth waiting for `ready`."""
        return WAIT_SECONDS if self._may_host() else JOIN_SECONDS

    def unavailable(self) -> LayerUnavailable:
        """What to raise when waiting was in vain."""
        if self._open:
            return LayerUnavailable(
                f"The bus {self._place.socket_path} has taken nothing for {self.patience:g} s, and "
                f"{self._outbox.bytes} bytes wait for it: nothing was sent."
            )
        return LayerUnavailable(f"{self._problem()} Nothing was sent.")

    def _problem(self) -> str:
        if self._joining.problem:
            return self._joining.problem
        if self._sock is not None:
            return (
                f"The host of the bus {self._place.socket_path} does not answer: the process whose "
                f"number is in {self._place.lock_path} is stopped or stuck."
            )
        return (
            f"No process hosts the bus {self._place.socket_path}. Start one that serves "
            "(channels serve, manage.py runserver or runworker), or let this one be it "
            'with "host": True in the CONFIG of the layer.'
        )

    def _when(self, condition: Callable[[], bool]) -> Future[None] | None:
        """A future that is done when `condition` has become true; None if it is."""
        with self._lock:
            if condition():
                return None
            future: Future[None] = Future()
            self._waiters.append((condition, future))
            self._call_thread()
            return future

    def _check_waiters(self) -> None:
        if not self._waiters:
            return
        with self._lock:
            waiters, self._waiters = self._waiters, []
            for condition, future in waiters:
                if not condition():
                    if not future.done():
                        self._waiters.append((condition, future))
                elif future.set_running_or_notify_cancel():
                    future.set_result(None)

    # -- saying things; any thread -----------------------------------------

    def publish(self, group: str, payload: bytes, expires_at: float) -> None:
        """Send a message to every node that has members of `group`."""
        name = group.encode()
        with self._lock:
            epoch, number, _ = self._numbers.take(group, self._clock())
            self._say(frames.publication(self._id_bytes, epoch, number, expires_at, name, payload))
            if self._beat_at is None:
                self._beat_at = time.monotonic() + HEARTBEAT_SECONDS
                self._call_thread()

    def send(
        self, channel: str, payload: bytes, expires_at: float, capacity: int, on_sent: OnSent
    ) -> None:
        """Send a message to one channel; `on_sent` is called in the node's thread."""
        name = channel.encode()
        with self._lock:
            id = self._calls.send(on_sent, time.monotonic())
            if self._sweep_at is None:
                self._sweep_at = time.monotonic() + ANSWER_SECONDS
                self._call_thread()
            self._say(frames.sending(self._id_bytes, id, expires_at, capacity, name, payload))

    def answer(self, node: str, ids: Sequence[int], outcome: Outcome, room: int) -> None:
        """Tell the sender of messages to one channel what became of them."""
        with self._lock:
            self._say(frames.sent(node, ids, outcome, room))

    def call(self, to: str, method: str, **details: Any) -> Call:
        """Ask another node for something; `to`: a node, "" for the host, "*" for all."""
        call = Call(to)
        with self._lock:
            content = {"id": self._calls.call(call), "node": self.id, "to": to, "method": method}
            self._say(frames.control(Op.CALL, **content, **details))
        return call

    def abandon(self, call: Call) -> None:
        """Nobody waits for the answers any more."""
        with self._lock:
            self._calls.abandon(call)

    def subscribe(self, group: str) -> None:
        with self._lock:
            if self._wishes.subscribe(group):
                self.start()
                self._say(frames.control(Op.SUBSCRIBE, groups=[group]), durable=False)

    def subscribed(self, group: str) -> Future[None] | None:
        """A future of the moment when the host has taken the subscription; None if it has."""
        return self._wishes.groups.get(group)

    def unsubscribe(self, group: str) -> None:
        """Never fails: without a host there is nothing to take back."""
        with self._lock:
            self._wishes.unsubscribe(group)
            self._gaps.unsubscribed(group)
            self._say(frames.control(Op.UNSUBSCRIBE, groups=[group]), durable=False)

    def want(self, channel: str) -> Future[Item]:
        """The next message of a named channel."""
        with self._lock:
            self.start()
            future = self._wishes.want(channel)
            self._say(frames.want(Op.WANT, channel), durable=False)
        return future

    def withdraw(self, channel: str, future: Future[Item]) -> None:
        """Nobody waits for this item any more; if it has come, it goes back."""
        with self._lock:
            if self._wishes.withdraw(channel, future):
                self._say(frames.want(Op.UNWANT, channel), durable=False)
            if not future.cancel() and future.exception() is None:
                self._give_back(future.result())

    def _give_back(self, item: Item) -> None:
        self._say(frames.item(Op.RETURN, item.expires_at, item.channel, item.payload))

    def keep_named(self, group: str, channel: str, details: dict[str, Any] | None) -> None:
        """Remember a named channel's membership for the next host; None: it has left."""
        with self._lock:
            if details is None:
                self._wishes.leave(group, channel)
            else:
                self._wishes.join(group, channel, details, self._clock())

    def forget_named(self) -> None:
        with self._lock:
            self._wishes.forget_named()

    def resume(self) -> None:
        """Read on, after `arrived` has answered False."""
        with self._lock:
            self._reading = True
            self._resumed += 1
            self._call_thread()

    def _say(self, frame: bytes, durable: bool = True) -> None:
        """Write a frame, or let it wait. One that is not durable is for this host alone."""
        if self._sock is None and not durable:
            return
        loop = running_loop() if self._open else None
        waited = bool(self._outbox)
        sock = self._sock if self._open and loop is None else None
        if self._outbox.put(frame, durable, sock):
            return
        if loop is not None:
            self._cork(loop)
        elif not waited or self._corking is not None:
            # What waits may be a loop's, whose turn is long.
            self._call_thread()

    def _cork(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write at the end of this turn of the loop: one system call for all it had to say."""
        if self._corking is None or self._corking.is_closed():
            self._corking = loop
            loop.call_soon(self._uncork)
        elif self._corking is not loop:
            # Another loop may have more to do in its turn than we can wait for.
            self._call_thread()

    def _uncork(self) -> None:
        with self._lock:
            self._corking = None
            if self._open and self._sock is not None:
                try:
                    self._outbox.write(self._sock)
                except OSError as error:
                    # The thread finds the end of the connection by itself.
                    logger.debug("Writing to the bus failed: %s", error)
            if self._outbox:
                self._call_thread()

    def _call_thread(self) -> None:
        if self._wake is not None and threading.current_thread() is not self._thread:
            self._wake.call()

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        try:
            self._stay_connected()
        except BaseException:
            logger.exception("The bus thread failed; this process has left the bus")
            self._fail_all("its thread failed")

    def _stay_connected(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while not self._closing:
            sock = self._joining.connect(
                followed_another=bool(self._host_id), expected=self._expected
            )
            if sock is not None:
                with sock:
                    welcomed = self._converse(sock)
                if welcomed:
                    delay = FIRST_RETRY_SECONDS
                    continue
            elif not self._is_needed():
                self._sleep(None)
                continue
            self._sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, self._longest_retry())

    def _longest_retry(self) -> float:
        if self._was_refused:
            return REFUSED_RETRY_SECONDS
        quick = time.monotonic() - self._lost_at < QUICK_FOR_SECONDS
        return QUICK_RETRY_SECONDS if quick else LONGEST_RETRY_SECONDS

    def _is_needed(self) -> bool:
        with self._lock:
            self._waiters = [waiter for waiter in self._waiters if not waiter[1].done()]
            return bool(self._outbox or self._waiters or self._wishes or self._may_host())

    def _sleep(self, seconds: float | None) -> None:
        assert self._wake is not None
        # Not select(): descriptors of a busy server are above its 1024.
        poll = select.poll()
        poll.register(self._wake.reader, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
        self._wake.hear()

    def _converse(self, sock: socket.socket) -> bool:
        """Speak with one host, until one of us goes; False if it has not let us in."""
        assert self._wake is not None
        sock.setblocking(False)
        reader, poll = FrameReader(), select.poll()
        poll.register(self._wake.reader, select.POLLIN)
        poll.register(sock, select.POLLIN)
        try:
            self._greet(sock)
            while not (self._closing and not self._outbox) and self._turn(sock, reader, poll):
                pass
        except OSError as error:
            logger.debug("The connection to the host of the bus ended: %s", error)
        except ValueError as error:
            # BadFrame is one.
            logger.error("The host of the bus sent what this process cannot read: %s", error)
            self._let_in = False
        except Exception:
            # What was read with it is lost, so it counts as the loss of a host.
            logger.exception("Taking what came from the bus failed; this process joins again")
            self._host_id = "lost"
        finally:
            self._lost()
        return self._let_in

    def _turn(self, sock: socket.socket, reader: FrameReader, poll: select.poll) -> bool:
        """Wait for what can be done and do it; False at the end of the connection."""
        assert self._wake is not None
        with self._lock:
            events = select.POLLIN if self._reading else 0
            events |= select.POLLOUT if self._outbox.writable else 0
        poll.modify(sock, events)
        came = dict(poll.poll(self._timeout()))
        if self._wake.reader.fileno() in came:
            self._wake.hear()
        events = came.get(sock.fileno(), 0)
        if events & select.POLLOUT:
            # An error is not the end: what the host wrote before it went can be read.
            with self._lock, contextlib.suppress(OSError):
                self._outbox.write(sock)
        if events & ~select.POLLOUT:
            data = sock.recv(_READ)
            if not data:
                return False
            self._heard_at = time.monotonic()
            self._read(reader.receive(data))
        self._check_waiters()
        self._keep_time()
        return True

    def _timeout(self) -> float | None:
        """Milliseconds until there is something to do by the clock."""
        due = [at for at in (self._beat_at, self._sweep_at) if at is not None]
        if self._outbox:
            due.append(max(self._heard_at, self._outbox.since) + SILENCE_SECONDS)
        return max(min(due) - time.monotonic(), 0.0) * 1000 if due else None

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._beat_at is not None and now >= self._beat_at:
            with self._lock:
                self._beat_at = None
                for frame in _position_frames(self._numbers.take_unsaid()):
                    self._say(frame, durable=False)
        if self._sweep_at is not None and now >= self._sweep_at:
            with self._lock:
                unanswered = self._calls.take_older(now - ANSWER_SECONDS)
                self._sweep_at = now + ANSWER_SECONDS if self._calls.waiting else None
            _tell_unanswered(unanswered)
        if self._outbox and now - max(self._heard_at, self._outbox.since) >= SILENCE_SECONDS:
            self._outbox.since = now
            logger.warning(
                "The host of the bus %s is silent; %d bytes wait for it.",
                self._place.socket_path,
                self._outbox.bytes,
            )

    # -- beginning and end of a connection ---------------------------------

    def _greet(self, sock: socket.socket) -> None:
        """Say who we are and what we want; what waited comes after it."""
        with self._lock:
            self._sock = sock
            self._heard_at = time.monotonic()
            self._reading = True
            self._let_in = False
            self._renewing = set(self._wishes.groups)
            words = [
                *_position_frames(self._positions_said()),
                *self._wishes.first_words(self.id, self._clock()),
            ]
            # Nothing is newly sent before what an earlier host has left is back.
            self._outbox.begin([self._hello(len(words) + self._outbox.returns), *words])

    def _hello(self, words: int) -> bytes:
        return frames.control(
            Op.HELLO,
            version=frames.VERSION,
            node=self.id,
            pid=os.getpid(),
            project=self._project,
            keeps=self._may_host() and self._events is not None,
            words=words,
        )

    def _positions_said(self) -> dict[str, Position]:
        """Recent positions without publications that still wait: these are not missing."""
        positions = self._numbers.recent(self._clock())
        for frame in reversed(self._outbox.publications):
            _, epoch, number, _, group, _ = frames.read_publication(frame)
            if group in positions:
                positions[group] = positions[group]._replace(epoch=epoch, number=number - 1)
        return {group: place for group, place in positions.items() if place.number}

    def _lost(self) -> None:
        with self._lock:
            if self._let_in:
                self._lost_at = time.monotonic()
            self._open = False
            self._sock = None
            kept = self._outbox.end()
            unanswered: list[OnSent] = []
            if not self._graceful:
                # Who was asked before a goodbye has the question, and the next host the answer.
                why = "The bus lost its host before there was an answer."
                unanswered = self._calls.lost(kept, why)
        _tell_unanswered(unanswered)
        if not self._closing and not self._graceful:
            logger.warning("Lost the host of the bus %s", self._place.socket_path)

    def _fail_all(self, why: str) -> None:
        """This process is not on the bus any more: nobody need wait."""
        why = f"Not on the bus {self._place.socket_path}: {why}."
        with self._lock:
            self._open = False
            self._outbox.clear()
            unanswered = self._calls.lost((), why)
            self._wishes.fail(why)
            for _, future in self._waiters:
                fail(future, why)
            self._waiters.clear()
        _tell_unanswered(unanswered)

    # -- reading -----------------------------------------------------------

    def _read(self, came: list[bytes]) -> None:
        """Act on frames, in order; messages are handed on together."""
        arrivals: list[Arrival] = []
        for frame in came:
            op = frames.op_of(frame)
            if op == Op.PUBLISH:
                publication = frames.read_publication(frame)
                if self._is_new(publication, arrivals):
                    arrivals.append(publication)
            elif op == Op.SEND:
                arrivals.append(frames.read_sending(frame))
            elif op == Op.SENT:
                self._calls.sent(frames.read_sent(frame))
            else:
                # What these tell comes after the messages before them.
                self._hand_on(arrivals)
                self._read_other(op, frame)
        self._hand_on(arrivals)

    def _hand_on(self, arrivals: list[Arrival]) -> None:
        resumed = self._resumed
        if arrivals and self._events is not None and not self._events.arrived(arrivals):
            with self._lock:
                # There may be room again by now.
                self._reading = self._resumed != resumed
        arrivals.clear()

    def _is_new(self, publication: Publication, before: list[Arrival]) -> bool:
        missing = self._gaps.received(
            publication.group, publication.node, publication.epoch, publication.number
        )
        if missing:
            self._hand_on(before)
            self._tell_missed(publication.group, missing)
        return missing is not None

    def _tell_missed(self, group: str, count: int) -> None:
        if count:
            self.missed += count
            if self._events is not None:
                self._events.missed(group, count)

    def _read_other(self, op: int, frame: bytes) -> None:
        if op == Op.ITEM:
            self._take_item(frames.read_item(frame))
            return
        handler = _HANDLERS.get(op)
        if handler is None:
            raise BadFrame(f"an unknown op, {op}")
        try:
            handler(self, frames.read_control(frame))
        except (AttributeError, KeyError, TypeError) as error:
            raise BadFrame(f"{Op(op).name} without what belongs to it: {error!r}") from error

    def _take_item(self, item: Item) -> None:
        with self._lock:
            if not self._wishes.give(item):
                self._give_back(item)

    def _welcomed(self, welcome: dict[str, Any]) -> None:
        if welcome["project"] != self._project and welcome["project"] and self._project:
            logger.warning(
                "The bus %s is hosted by another project (%s, process %d; this is %s). They share "
                'groups and channels: give each a "name" of its own in the CONFIG of its layer.',
                self._place.socket_path,
                welcome["project"],
                welcome["pid"],
                self._project,
            )
        with self._lock:
            before, self._host_id = self._host_id, welcome["host"]
            self._may_have_missed = bool(before) and before != self._host_id and not self._graceful
            self._graceful = False
            self._expected = frozenset()
            self._was_refused = False
            self._returned = bool(before)
            self._open = self._let_in = True
            self._outbox.let_go()
            self._joining.problem = ""
        self._tell_reconnected()

    def _tell_reconnected(self) -> None:
        """Once the new host has taken what the old one had."""
        if self._returned and not self._renewing:
            self._returned = False
            self.reconnects += 1
            logger.info("Joined the bus %s again", self._place.socket_path)
            if self._events is not None:
                self._events.reconnected(all_may_have_missed=self._may_have_missed)

    def _subscribed(self, content: dict[str, Any]) -> None:
        for group, places in content["positions"].items():
            with self._lock:
                wanted = self._wishes.subscribed(group)
                if wanted:
                    told = {node: Position(*place) for node, place in places.items()}
                    missed = self._gaps.subscribed(group, told, self._clock())
            if wanted:
                self._tell_missed(group, missed)
        self._renewing -= content["positions"].keys()
        self._tell_reconnected()

    def _positions_told(self, content: dict[str, Any]) -> None:
        for group, place in content["positions"].items():
            self._tell_missed(group, self._gaps.told(group, content["node"], Position(*place)))

    def _called(self, call: dict[str, Any]) -> None:
        result = self._events.called(call) if self._events is not None else {}
        reply = {"id": call["id"], "node": call["node"], "of": self.id}
        frame = frames.control(Op.REPLY, **reply, result=result)
        if len(frame) > frames.MAX_FRAME:
            # The report of a process with hundreds of thousands of memberships.
            logger.error("An answer of %d bytes is too long for the bus: left out", len(frame))
            frame = frames.control(Op.REPLY, **reply, result={})
        with self._lock:
            self._say(frame)

    def _replied(self, reply: dict[str, Any]) -> None:
        with self._lock:
            self._calls.replied(reply)

    def _bidden_farewell(self, content: dict[str, Any]) -> None:
        """The host ends: finish the frame that is under way, say goodbye, and wait for the end."""
        with self._lock:
            self._graceful = True
            self._expected = frozenset(content["nodes"])
            self._open = False
            self._outbox.say_goodbye(frames.control(Op.BYE))

    def _dropped(self, content: dict[str, Any]) -> None:
        if self._events is not None:
            self._events.dropped(content["group"], content["channel"])

    def _refused(self, content: dict[str, Any]) -> None:
        problem = f"The bus {self._place.socket_path} refused this process: {content['reason']}"
        self._let_in = False
        self._was_refused = True
        if problem != self._joining.problem:
            self._joining.problem = problem
            logger.error("%s", problem)


_HANDLERS: Final[dict[int, Callable[[Node, dict[str, Any]], None]]] = {
    Op.WELCOME: Node._welcomed,
    Op.SUBSCRIBED: Node._subscribed,
    Op.POSITIONS: Node._positions_told,
    Op.CALL: Node._called,
    Op.REPLY: Node._replied,
    Op.BYE: Node._bidden_farewell,
    Op.DROPPED: Node._dropped,
    Op.REFUSED: Node._refused,
}


def _tell_unanswered(unanswered: Iterable[OnSent]) -> None:
    for on_sent in unanswered:
        on_sent(None, 0)


def _position_frames(positions: dict[str, Position]) -> Iterator[bytes]:
    for groups in in_parts(list(positions)):
        places = {group: tuple(positions[group]) for group in groups}
        yield frames.control(Op.POSITIONS, positions=places)
