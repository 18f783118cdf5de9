"""A process's end of the bus: one connection, used from any thread and event loop.

Who writes does so in their own thread, straight to the socket if it takes it. A
thread of the node's own (`thread`) reads, connects anew when the host has gone, and
makes this process the host where nobody else is and it may.

What a node wants is kept as state (`wishes`) and said anew to each host. What it
has to say waits in order (`outbox`); a frame of which the old host got only a part
is said whole to the next.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final

from ...exceptions import LayerUnavailable
from ..gaps import Numbers, Position
from ..waiter import running_loop
from . import frames
from .addresses import new_node
from .calls import Call, Calls, OnSent
from .frames import BadFrame, Item, Op, Outcome
from .hearing import Events, Hearing, Nobody
from .joining import Joining
from .outbox import Outbox
from .place import BusPlace
from .succession import Succession
from .thread import BusThread
from .waiters import Waiters
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
# A host that is silent for so long, while something waits for it, is mentioned.
SILENCE_SECONDS: Final = 5.0
# A message of which nobody has said in this time what became of it.
ANSWER_SECONDS: Final = 30.0


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
        self.reconnects = 0
        self._place = place
        self._events = Nobody() if events is None else events
        # Who only carries the bus keeps nothing of what a host leaves behind.
        self._keeps = events is not None
        self._may_host = may_host
        self._project = project
        self._clock = clock
        self._id_bytes = self.id.encode()
        self._joining = Joining(place, may_host, project, clock)
        # Re-entrant: detach() may be called by a finalizer, at any allocation.
        self._lock = threading.RLock()
        self._thread: BusThread | None = None
        self._succession = Succession()
        self._closing = False
        self._wishes = Wishes()
        self._outbox = Outbox()
        self._calls = Calls()
        self._numbers = Numbers()
        self._hearing = Hearing(self._events)
        self._waiters = Waiters()
        # The connection. `_open`: the host has said welcome, senders may write.
        self._sock: socket.socket | None = None
        self._open = False
        self._heard_at = 0.0
        self._beat_at: float | None = None
        self._sweep_at: float | None = None
        # The loop at the end of whose turn the outbox is written.
        self._corking: asyncio.AbstractEventLoop | None = None

    # -- life --------------------------------------------------------------

    def start(self) -> None:
        """Join the bus, in a thread; nothing happens where that was done."""
        with self._lock:
            if self._thread is not None:
                if self._sock is None:
                    # It may sleep, if nothing was wanted of it.
                    self._call_thread()
            elif not self._closing:
                self._thread = BusThread(self, self._joining, self._succession)
                self._thread.start()

    def close(self) -> None:
        """Write what waits, as long as the host takes it, and leave. Blocks."""
        flushed = self.flush(WAIT_SECONDS)
        with self._lock:
            self._closing = True
            if not flushed:
                # Said to be lost; its thread would wait for it.
                self._outbox.clear()
        if self._thread is not None:
            self._thread.stop(WAIT_SECONDS)
        self._joining.stop()
        self.left("it was left")
        if self._thread is not None:
            self._thread.close()

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
        if self._thread is not None:
            self._thread.close()
        self._joining.close_in_child()

    @property
    def hosting(self) -> bool:
        return self._joining.hosting

    @property
    def waiting_bytes(self) -> int:
        return self._outbox.bytes

    @property
    def duplicates(self) -> int:
        return self._hearing.duplicates

    @property
    def missed(self) -> int:
        return self._hearing.missed

    # -- waiting for the bus -----------------------------------------------

    def ready(self) -> Future[None] | None:
        """None when there is a host and room for more; else a future of that moment."""
        if self._open and self._outbox.bytes <= MAX_WAITING:
            return None
        if self._thread is not None and self._thread.is_current:
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
            future = self._waiters.add(condition)
            self._call_thread()
            return future

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
            if self._wishes.subscribe(group, said=self._sock is not None):
                self.start()
                self._say(frames.control(Op.SUBSCRIBE, groups=[group]), durable=False)

    def subscribed(self, group: str) -> Future[None] | None:
        """A future of the moment when the host has taken the subscription; None if it has."""
        return self._wishes.groups.get(group)

    def unsubscribe(self, group: str) -> None:
        """Never fails: without a host there is nothing to take back."""
        with self._lock:
            self._wishes.unsubscribe(group)
            self._hearing.unsubscribed(group)
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
            self._hearing.resume()
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
        if self._thread is not None:
            self._thread.call()

    # -- asked by the thread -----------------------------------------------

    def is_needed(self) -> bool:
        """Whether to look for a host again, and again."""
        with self._lock:
            return bool(
                self._outbox or self._wishes or self._waiters.somebody_waits() or self._may_host()
            )

    def has_words(self) -> bool:
        return bool(self._outbox)

    def interests(self) -> tuple[bool, bool]:
        """Whether there is something to be read, and to be written."""
        with self._lock:
            return self._hearing.open, self._outbox.writable

    def write(self) -> None:
        with self._lock:
            if self._sock is not None:
                self._outbox.write(self._sock)

    def deadline(self) -> float | None:
        """When there is something to do by the clock."""
        due = [at for at in (self._beat_at, self._sweep_at) if at is not None]
        if self._outbox:
            due.append(max(self._heard_at, self._outbox.since) + SILENCE_SECONDS)
        return min(due, default=None)

    def keep_time(self, now: float) -> None:
        """Do what is due, and let those go on who wait for what is so by now."""
        unanswered: list[OnSent] = []
        with self._lock:
            self._waiters.check()
            if self._beat_at is not None and now >= self._beat_at:
                self._beat_at = None
                for frame in _position_frames(self._numbers.take_unsaid()):
                    self._say(frame, durable=False)
            if self._sweep_at is not None and now >= self._sweep_at:
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

    def greet(self, sock: socket.socket) -> None:
        """Say who we are and what we want; what waited comes after it."""
        with self._lock:
            self._sock = sock
            self._heard_at = time.monotonic()
            self._hearing.begin()
            self._succession.begin(self._wishes.groups)
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
            keeps=self._may_host() and self._keeps,
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

    def lost(self) -> None:
        """The connection has ended."""
        graceful = self._succession.graceful
        with self._lock:
            self._succession.lost(time.monotonic())
            self._open = False
            self._sock = None
            kept = self._outbox.end()
            unanswered: list[OnSent] = []
            if not graceful:
                # Who was asked before a goodbye has the question, and the next host the answer.
                why = "The bus lost its host before there was an answer."
                unanswered = self._calls.lost(kept, why)
        _tell_unanswered(unanswered)
        if not self._closing and not graceful:
            logger.warning("Lost the host of the bus %s", self._place.socket_path)

    def left(self, why: str) -> None:
        """This process is not on the bus any more: nobody need wait."""
        why = f"Not on the bus {self._place.socket_path}: {why}."
        with self._lock:
            self._open = False
            self._outbox.clear()
            unanswered = self._calls.lost((), why)
            self._wishes.fail(why)
            self._waiters.fail(why)
        _tell_unanswered(unanswered)

    # -- reading -----------------------------------------------------------

    def read(self, came: list[bytes]) -> None:
        """Act on frames, in order; messages are handed on together."""
        self._heard_at = time.monotonic()
        hearing = self._hearing
        for frame in came:
            op = frames.op_of(frame)
            if op == Op.PUBLISH:
                hearing.publication(frames.read_publication(frame))
            elif op == Op.SEND:
                hearing.sending(frames.read_sending(frame))
            elif op == Op.SENT:
                self._calls.sent(frames.read_sent(frame))
            else:
                # What these tell comes after the messages before them.
                hearing.hand_on()
                self._read_other(op, frame)
        hearing.hand_on()

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
            self._succession.welcomed(welcome["host"])
            self._open = True
            self._outbox.let_go()
            self._joining.problem = ""
        self._tell_reconnected()

    def _tell_reconnected(self) -> None:
        """Once the new host has taken what the old one had."""
        may_have_missed = self._succession.come_back()
        if may_have_missed is not None:
            self.reconnects += 1
            logger.info("Joined the bus %s again", self._place.socket_path)
            self._events.reconnected(all_may_have_missed=may_have_missed)

    def _subscribed(self, content: dict[str, Any]) -> None:
        for group, places in content["positions"].items():
            missing = 0
            with self._lock:
                if self._wishes.subscribed(group):
                    told = {node: Position(*place) for node, place in places.items()}
                    missing = self._hearing.subscribed(group, told, self._clock())
            self._hearing.tell_missed(group, missing)
        self._succession.taken(content["positions"])
        self._tell_reconnected()

    def _positions_told(self, content: dict[str, Any]) -> None:
        for group, place in content["positions"].items():
            self._hearing.told(group, content["node"], Position(*place))

    def _called(self, call: dict[str, Any]) -> None:
        result = self._events.called(call)
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
            self._succession.farewell(content["nodes"])
            self._open = False
            self._outbox.say_goodbye(frames.control(Op.BYE))

    def _dropped(self, content: dict[str, Any]) -> None:
        self._events.dropped(content["group"], content["channel"])

    def _refused(self, content: dict[str, Any]) -> None:
        problem = f"The bus {self._place.socket_path} refused this process: {content['reason']}"
        self._succession.refused()
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
