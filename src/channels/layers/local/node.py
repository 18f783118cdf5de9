"""A process's end of the bus: one connection, used from any thread and event loop.

Who writes does so in their own thread, straight to the socket if it takes it. A
thread of the node's own reads, connects anew when the host has gone, and makes
this process the host where nobody else is and it may.

What a node wants (groups, items, members of groups) is kept as state and said
anew to each host. What it has to say (publications, messages) waits in order;
a frame of which the old host got only a part is said whole to the next.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from ...exceptions import LayerUnavailable
from ..gaps import Gaps, Numbers, Position
from . import frames
from .addresses import new_node
from .frames import BadFrame, FrameReader, Item, Op, Outcome, Publication, Sending
from .host import Host
from .place import BusError, BusPlace, connect_bus, may_host, prepare_folder, try_lock

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
CONNECT_SECONDS: Final = 5.0
# A host that is silent for so long, while something waits for it, is mentioned.
SILENCE_SECONDS: Final = 5.0
_READ: Final = 1 << 18

# What became of a message, and how many more its channel takes. None: the bus was
# lost meanwhile, and nobody knows.
OnSent = Callable[[Outcome | None, int], None]
# One thing that arrived for this process.
Arrival = Publication | Sending


class Events(Protocol):
    """What a node tells its layer, in the node's own thread."""

    def arrived(self, arrivals: list[Arrival]) -> bool: ...
    def missed(self, group: str, count: int) -> None: ...
    def dropped(self, group: str, channel: str) -> None: ...
    def reconnected(self, missed: frozenset[str], *, all_may_have: bool) -> None: ...
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
        self._place = place
        self._events = events
        self._may_host = may_host
        self._project = project
        self._clock = clock
        self.id = new_node()
        self.pid = os.getpid()
        self.reconnects = 0
        self.missed = 0
        self._id_bytes = self.id.encode()
        # Re-entrant: detach() may be called by a finalizer, at any allocation.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._host: Host | None = None
        self._woken = False
        self.problem = ""
        # The connection. `_open`: the host has said welcome, senders may write.
        self._sock: socket.socket | None = None
        self._open = False
        self._host_id = ""
        self._graceful = False
        self._reading = True
        self._heard_at = 0.0
        self._waiting_since = 0.0
        self._beat_at: float | None = None
        # Frames that wait, of the first of which `_head_sent` bytes are written.
        self._out: deque[tuple[bytes, bool]] = deque()
        self._out_bytes = 0
        self._head_sent = 0
        # How many of them this host may still get; None: all.
        self._last_words: int | None = None
        # What this node wants: said anew to each host.
        self._groups: dict[str, Future[None] | None] = {}
        # At a new host: groups whose subscription it has not taken yet, and what was missed.
        self._renewing: set[str] = set()
        self._missed_groups: set[str] = set()
        self._returned = False
        self._may_have_missed = False
        self._wanted: dict[str, deque[Future[Item]]] = {}
        self._named: dict[tuple[str, str], dict[str, Any]] = {}
        # What others owe us an answer for.
        self._sends: dict[int, OnSent] = {}
        self._calls: dict[int, Call] = {}
        self._ids = itertools.count(1)
        self._waiters: list[Future[None]] = []
        self._numbers = Numbers()
        self._gaps = Gaps()

    # -- life --------------------------------------------------------------

    def start(self) -> None:
        """Join the bus, in a thread; nothing happens where that was done."""
        with self._lock:
            if self._thread is None and not self._closing:
                self._wake_reader, self._wake_writer = _wake_pipe()
                self._thread = threading.Thread(target=self._run, name="channels-bus", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what waits, as long as the host takes it, and leave. Blocks."""
        self.flush(WAIT_SECONDS)
        with self._lock:
            self._closing = True
            self._wake()
        if self._thread is not None:
            self._thread.join(WAIT_SECONDS)
        if self._host is not None:
            self._host.stop()
            self._host = None
        self._fail_all("the layer was closed")
        self._close_sockets()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was sent is with the kernel; False if that takes too long."""
        future = self._when(lambda: not self._out)
        try:
            if future is not None:
                future.result(seconds)
        except TimeoutError:
            waiting = sum(1 for frame, durable in self._out if durable)
            logger.error("The bus did not take %d message(s) in %g s; lost.", waiting, seconds)
            return False
        return True

    def close_in_child(self) -> None:
        """In a forked child: close our copies of what stays the parent's."""
        if self._sock is not None:
            self._sock.close()
        if self._host is not None:
            self._host.close_in_child()
        self._close_sockets()

    def _close_sockets(self) -> None:
        if self._thread is not None:
            self._wake_reader.close()
            self._wake_writer.close()

    @property
    def hosting(self) -> bool:
        return self._host is not None and self._host.running

    @property
    def waiting_bytes(self) -> int:
        return self._out_bytes

    @property
    def duplicates(self) -> int:
        return self._gaps.duplicates

    # -- waiting for the bus -----------------------------------------------

    def ready(self) -> Future[None] | None:
        """None when there is a host and room for more; else a future of that moment."""
        if self._open and self._out_bytes <= MAX_WAITING:
            return None
        self.start()
        return self._when(lambda: self._open and self._out_bytes <= MAX_WAITING // 2)

    @property
    def patience(self) -> float:
        """Seconds worth waiting for `ready`."""
        return WAIT_SECONDS if self._may_host() else JOIN_SECONDS

    def unavailable(self) -> LayerUnavailable:
        """What to raise when waiting was in vain."""
        if self._open:
            return LayerUnavailable(
                f"The bus {self._place.socket_path} has taken nothing for {self.patience:g} s, and "
                f"{self._out_bytes} bytes wait for it: nothing was sent."
            )
        return LayerUnavailable(f"{self._problem()} Nothing was sent.")

    def _problem(self) -> str:
        if self.problem:
            return self.problem
        return (
            f"No process hosts the bus {self._place.socket_path}. Start one that serves "
            "(channels serve, manage.py runserver or runworker), or let this one be it "
            'with "host": True in the CONFIG of the layer.'
        )

    def _when(self, condition: Callable[[], bool]) -> Future[None] | None:
        """A future that is done when `condition` may have become true; None if it is."""
        with self._lock:
            if condition():
                return None
            future: Future[None] = Future()
            future.condition = condition  # type: ignore[attr-defined]
            self._waiters.append(future)
            self._wake()
            return future

    def _check_waiters(self) -> None:
        if not self._waiters:
            return
        with self._lock:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if waiter.done():
                    continue
                if waiter.condition():  # type: ignore[attr-defined]
                    waiter.set_result(None)
                else:
                    self._waiters.append(waiter)

    # -- saying things; any thread -----------------------------------------

    def publish(self, group: str, payload: bytes, expires_at: float) -> None:
        """Send a message to every node that has members of `group`."""
        name = group.encode()
        with self._lock:
            epoch, number, _ = self._numbers.take(group, self._clock())
            self._write(
                frames.publication(self._id_bytes, epoch, number, expires_at, name, payload)
            )
            if self._beat_at is None:
                self._beat_at = time.monotonic() + HEARTBEAT_SECONDS
                self._wake()

    def send(
        self, channel: str, payload: bytes, expires_at: float, capacity: int, on_sent: OnSent
    ) -> None:
        """Send a message to one channel; `on_sent` is called in the node's thread."""
        name = channel.encode()
        with self._lock:
            id = next(self._ids) & 0xFFFFFFFF
            self._sends[id] = on_sent
            self._write(frames.sending(self._id_bytes, id, expires_at, capacity, name, payload))

    def answer(self, sending: Sending, outcome: Outcome, room: int) -> None:
        """Tell the sender of a message what became of it."""
        with self._lock:
            self._write(frames.sent(sending.node, sending.id, outcome, room))

    def call(self, to: str, method: str, **details: Any) -> Call:
        """Ask another node for something; `to`: a node, "" for the host, "*" for all."""
        call = Call(to)
        with self._lock:
            id = next(self._ids)
            self._calls[id] = call
            content = {"id": id, "node": self.id, "to": to, "method": method, **details}
            self._write(frames.control(Op.CALL, **content))
        return call

    def abandon(self, call: Call) -> None:
        """Nobody waits for the answers any more."""
        with self._lock:
            self._calls = {id: other for id, other in self._calls.items() if other is not call}

    def subscribe(self, group: str) -> None:
        with self._lock:
            if group in self._groups:
                return
            self._groups[group] = Future()
            self.start()
            self._write(frames.control(Op.SUBSCRIBE, groups=[group]), durable=False)

    def subscribed(self, group: str) -> Future[None] | None:
        """A future of the moment when the host has taken the subscription; None if it has."""
        return self._groups.get(group)

    def unsubscribe(self, group: str) -> None:
        """Never fails: without a host there is nothing to take back."""
        with self._lock:
            future = self._groups.pop(group, None)
            if future is not None and not future.done():
                future.set_result(None)
            self._gaps.unsubscribed(group)
            self._write(frames.control(Op.UNSUBSCRIBE, groups=[group]), durable=False)

    def want(self, channel: str) -> Future[Item]:
        """The next message of a named channel."""
        future: Future[Item] = Future()
        with self._lock:
            self.start()
            self._wanted.setdefault(channel, deque()).append(future)
            self._write(frames.want(Op.WANT, channel), durable=False)
        return future

    def withdraw(self, channel: str, future: Future[Item]) -> None:
        """Nobody waits for this item any more; if it has come, it goes back."""
        with self._lock:
            wanted = self._wanted.get(channel)
            if wanted is not None and future in wanted:
                wanted.remove(future)
                if not wanted:
                    del self._wanted[channel]
                self._write(frames.want(Op.UNWANT, channel), durable=False)
            if not future.cancel() and future.exception() is None:
                self._give_back(future.result())

    def _give_back(self, item: Item) -> None:
        self._write(frames.item(Op.RETURN, item.expires_at, item.channel, item.payload))

    def keep_named(self, group: str, channel: str, details: dict[str, Any] | None) -> None:
        """Remember a named channel's membership for the next host; None: it has left."""
        with self._lock:
            if details is None:
                self._named.pop((group, channel), None)
            else:
                self._named[group, channel] = details

    def forget_named(self) -> None:
        with self._lock:
            self._named.clear()

    def resume(self) -> None:
        """Read on, after `arrived` has answered False."""
        with self._lock:
            self._reading = True
            self._wake()

    # -- writing; under the lock -------------------------------------------

    def _write(self, frame: bytes, durable: bool = True) -> None:
        """Write a frame, or let it wait. One that is not durable is for this host alone."""
        written = 0
        if self._sock is None and not durable:
            return
        if not self._out and self._open:
            assert self._sock is not None
            try:
                written = self._sock.send(frame)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                # The reader finds the end of the connection by itself.
                pass
            if written == len(frame):
                return
        if not self._out:
            self._head_sent = written
            self._waiting_since = time.monotonic()
            self._wake()
        self._out.append((frame, durable))
        self._out_bytes += len(frame)

    def _write_waiting(self) -> None:
        assert self._sock is not None
        with self._lock:
            while self._out and self._last_words != 0:
                frame = self._out[0][0]
                data = frame if not self._head_sent else memoryview(frame)[self._head_sent :]
                try:
                    count = self._sock.send(data)
                except (BlockingIOError, InterruptedError):
                    break
                self._head_sent += count
                if self._head_sent == len(frame):
                    self._out.popleft()
                    self._out_bytes -= len(frame)
                    self._head_sent = 0
                    if self._last_words is not None:
                        self._last_words -= 1

    def _wake(self) -> None:
        if (
            self._thread is not None
            and not self._woken
            and threading.current_thread() is not self._thread
        ):
            self._woken = True
            with contextlib.suppress(BlockingIOError):
                self._wake_writer.send(b"\0")

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        try:
            self._stay_connected()
        except BaseException:
            logger.exception("The bus thread failed; this process has left the bus")
            self._fail_all("the bus thread failed")

    def _stay_connected(self) -> None:
        delay = FIRST_RETRY_SECONDS
        while not self._closing:
            sock = self._find_host()
            if sock is not None:
                delay = FIRST_RETRY_SECONDS
                with sock:
                    self._converse(sock)
            elif self._is_needed():
                self._sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, LONGEST_RETRY_SECONDS)
            else:
                self._sleep(None)

    def _is_needed(self) -> bool:
        with self._lock:
            self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
            return bool(self._waiters or self._groups or self._wanted or self._may_host())

    def _sleep(self, seconds: float | None) -> None:
        # Not select(): descriptors of a busy server are above its 1024.
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
        self._hear_wake()

    def _hear_wake(self) -> None:
        with self._lock:
            self._woken = False
            with contextlib.suppress(BlockingIOError):
                self._wake_reader.recv(64)

    def _find_host(self) -> socket.socket | None:
        """Connect to the host; become it, where there is none and we may."""
        try:
            sock = connect_bus(self._place, CONNECT_SECONDS)
            if sock is None and self._may_host() and self._become_host():
                sock = connect_bus(self._place, CONNECT_SECONDS)
        except (BusError, OSError) as error:
            if str(error) != self.problem:
                self.problem = str(error)
                logger.error("Cannot join the bus: %s", error)
            return None
        return sock

    def _become_host(self) -> bool:
        if self.hosting:
            return False
        reason = may_host(self._place)
        if reason is not None:
            raise BusError(reason)
        prepare_folder(self._place)
        lock = try_lock(self._place)
        if lock is None:
            return False
        # Somebody was here before, and has not said goodbye: others will come back.
        settling = bool(self._host_id) or self._place.socket_path.exists()
        try:
            self._host = Host(
                self._place, lock, settling=settling, project=self._project, clock=self._clock
            )
        except BaseException:
            lock.release()
            raise
        self._host.start()
        return True

    def _converse(self, sock: socket.socket) -> None:
        """Speak with one host, until one of us goes."""
        sock.setblocking(False)
        self._greet(sock)
        reader, poll = FrameReader(), select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        poll.register(sock, select.POLLIN)
        try:
            while not (self._closing and not self._out) and self._turn(sock, reader, poll):
                pass
        except OSError:
            pass
        except BadFrame as error:
            logger.error("The host of the bus sent what this process cannot read: %s", error)
        finally:
            self._lost()

    def _turn(self, sock: socket.socket, reader: FrameReader, poll: select.poll) -> bool:
        """Wait for what can be done and do it; False at the end of the connection."""
        with self._lock:
            events = select.POLLIN if self._reading else 0
            events |= select.POLLOUT if self._out and self._last_words != 0 else 0
        poll.modify(sock, events)
        came = dict(poll.poll(self._timeout()))
        if self._wake_reader.fileno() in came:
            self._hear_wake()
        events = came.get(sock.fileno(), 0)
        if events & select.POLLOUT:
            self._write_waiting()
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
        due = [self._beat_at] if self._beat_at is not None else []
        if self._out:
            due.append(max(self._heard_at, self._waiting_since) + SILENCE_SECONDS)
        return max(min(due) - time.monotonic(), 0.0) * 1000 if due else None

    def _keep_time(self) -> None:
        now = time.monotonic()
        if self._beat_at is not None and now >= self._beat_at:
            with self._lock:
                self._beat_at = None
                for frame in _position_frames(self._numbers.take_unsaid()):
                    self._write(frame, durable=False)
        if self._out and now - max(self._heard_at, self._waiting_since) >= SILENCE_SECONDS:
            self._waiting_since = now
            logger.warning(
                "The host of the bus %s is silent; %d bytes wait for it.",
                self._place.socket_path,
                self._out_bytes,
            )

    # -- beginning and end of a connection ---------------------------------

    def _greet(self, sock: socket.socket) -> None:
        """Say who we are and what we want; what waited comes after it."""
        with self._lock:
            self._sock = sock
            self._heard_at = time.monotonic()
            self._reading = True
            self._last_words = None
            waiting, self._out = self._out, deque()
            self._out_bytes = self._head_sent = 0
            for frame in self._first_words():
                self._queue(frame, durable=False)
            for frame, durable in waiting:
                self._queue(frame, durable)

    def _queue(self, frame: bytes, durable: bool) -> None:
        self._out.append((frame, durable))
        self._out_bytes += len(frame)

    def _first_words(self) -> Iterable[bytes]:
        yield frames.control(
            Op.HELLO,
            version=frames.VERSION,
            node=self.id,
            pid=self.pid,
            project=self._project,
            keeps=self._may_host() and self._events is not None,
        )
        yield from _position_frames(self._numbers.recent(self._clock()))
        self._renewing = set(self._groups)
        for some in _parts(list(self._groups)):
            yield frames.control(Op.SUBSCRIBE, groups=some)
        for details in self._named.values():
            yield frames.control(Op.CALL, id=0, node=self.id, to="", **details)
        for channel, wanted in self._wanted.items():
            for _ in wanted:
                yield frames.want(Op.WANT, channel)

    def _lost(self) -> None:
        with self._lock:
            self._open = False
            self._sock = None
            kept = [(frame, True) for frame, durable in self._out if durable]
            self._out = deque(kept)
            self._out_bytes = sum(len(frame) for frame, _ in kept)
            self._head_sent = 0
            self._forget_unanswered(kept)
        if not self._closing and not self._graceful:
            logger.warning("Lost the host of the bus %s", self._place.socket_path)

    def _forget_unanswered(self, kept: list[tuple[bytes, bool]]) -> None:
        """Nobody will answer what the old host had; what still waits goes to the next."""
        waiting = {
            frames.read_sending(frame).id for frame, _ in kept if frames.op_of(frame) == Op.SEND
        } | {
            frames.read_control(frame)["id"] for frame, _ in kept if frames.op_of(frame) == Op.CALL
        }
        for id in [id for id in self._sends if id not in waiting]:
            self._sends.pop(id)(None, 0)
        for id in [id for id in self._calls if id not in waiting]:
            _fail(self._calls.pop(id).future, "The bus lost its host before there was an answer.")

    def _fail_all(self, why: str) -> None:
        with self._lock:
            self._open = False
            futures: list[Future[Any]] = list(self._waiters)
            futures += [call.future for call in self._calls.values()]
            futures += [future for future in self._groups.values() if future is not None]
            futures += [future for wanted in self._wanted.values() for future in wanted]
            sends = list(self._sends.values())
            for state in (self._waiters, self._calls, self._wanted, self._sends, self._out):
                state.clear()
            for future in futures:
                _fail(future, f"Not on the bus {self._place.socket_path}: {why}.")
            for on_sent in sends:
                on_sent(None, 0)

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
                _, id, outcome, room = frames.read_sent(frame)
                on_sent = self._sends.pop(id, None)
                if on_sent is not None:
                    on_sent(Outcome(outcome), room)
            else:
                # What these tell comes after the messages before them.
                self._hand_on(arrivals)
                arrivals = []
                self._read_other(op, frame)
        self._hand_on(arrivals)

    def _hand_on(self, arrivals: list[Arrival]) -> None:
        if arrivals and self._events is not None and not self._events.arrived(arrivals):
            with self._lock:
                self._reading = False

    def _is_new(self, publication: Publication, before: list[Arrival]) -> bool:
        missing = self._gaps.received(
            publication.group, publication.node, publication.epoch, publication.number
        )
        if missing:
            self._hand_on(before)
            before.clear()
            self._tell_missed(publication.group, missing)
        return missing is not None

    def _tell_missed(self, group: str, count: int) -> None:
        self.missed += count
        if self._events is not None:
            self._events.missed(group, count)

    def _read_other(self, op: int, frame: bytes) -> None:
        if op == Op.ITEM:
            self._item(frames.read_item(frame))
            return
        content = frames.read_control(frame)
        if op == Op.SUBSCRIBED:
            self._subscribed(content["positions"])
        elif op == Op.POSITIONS:
            for group, place in content["positions"].items():
                missing = self._gaps.told(group, content["node"], Position(*place))
                if missing:
                    self._tell_missed(group, missing)
        elif op == Op.CALL:
            self._called(content)
        elif op == Op.REPLY:
            self._replied(content)
        elif op == Op.WELCOME:
            self._welcome(content)
        elif op == Op.BYE:
            self._bye()
        elif op == Op.DROPPED:
            if self._events is not None:
                self._events.dropped(content["group"], content["channel"])
        elif op == Op.REFUSED:
            self.problem = f"The bus {self._place.socket_path} refused us: {content['reason']}"
            logger.error("%s", self.problem)
            raise OSError(self.problem)
        else:
            raise BadFrame(f"an unknown op, {op}")

    def _item(self, item: Item) -> None:
        with self._lock:
            wanted = self._wanted.get(item.channel)
            while wanted:
                future = wanted.popleft()
                if not wanted:
                    del self._wanted[item.channel]
                if future.set_running_or_notify_cancel():
                    future.set_result(item)
                    return
            self._give_back(item)

    def _subscribed(self, positions: dict[str, dict[str, tuple[int, int, float]]]) -> None:
        for group, places in positions.items():
            with self._lock:
                if group not in self._groups:
                    continue
                future, self._groups[group] = self._groups[group], None
            told = {node: Position(*place) for node, place in places.items()}
            count = self._gaps.subscribed(group, told, self._clock())
            if count:
                self._missed_groups.add(group)
                self._tell_missed(group, count)
            if future is not None and not future.done():
                future.set_result(None)
        if self._renewing:
            self._renewing -= positions.keys()
            self._tell_reconnected()

    def _welcome(self, content: dict[str, Any]) -> None:
        if content["project"] != self._project:
            logger.warning(
                "The bus %s is hosted by another project (%s, process %d; this is %s). They "
                'share groups and channels: give each a "name" of its own in the CONFIG of its layer.',
                self._place.socket_path,
                content["project"],
                content["pid"],
                self._project,
            )
        with self._lock:
            before, self._host_id = self._host_id, content["host"]
            self._may_have_missed = bool(before) and before != self._host_id and not self._graceful
            self._graceful = False
            self._returned = bool(before)
            self._open = True
            self.problem = ""
        self._tell_reconnected()

    def _tell_reconnected(self) -> None:
        """Once the new host has taken what the old one had."""
        if not self._returned or self._renewing:
            return
        self._returned = False
        missed, self._missed_groups = frozenset(self._missed_groups), set()
        self.reconnects += 1
        logger.info("Joined the bus %s again", self._place.socket_path)
        if self._events is not None:
            self._events.reconnected(missed, all_may_have=self._may_have_missed)

    def _bye(self) -> None:
        """The host ends: finish the frame that is under way, say goodbye, and wait for the end."""
        with self._lock:
            self._graceful = True
            self._open = False
            bye = frames.control(Op.BYE)
            self._last_words = 2 if self._head_sent else 1
            self._out.insert(self._last_words - 1, (bye, False))
            self._out_bytes += len(bye)

    def _called(self, call: dict[str, Any]) -> None:
        result = self._events.called(call) if self._events is not None else {}
        if call["id"]:
            with self._lock:
                reply = {"id": call["id"], "node": call["node"], "of": self.id, "result": result}
                self._write(frames.control(Op.REPLY, **reply))

    def _replied(self, reply: dict[str, Any]) -> None:
        """One answer of a call; one to all nodes has an answer of the host and one of each."""
        call = self._calls.get(reply["id"])
        if call is not None and call.take(reply["of"], reply["result"]):
            del self._calls[reply["id"]]


class Call:
    """What was asked of other nodes: answers by node, "" for the host.

    `future` is done when everybody who was asked has answered.
    """

    def __init__(self, to: str) -> None:
        self.answers: dict[str, dict[str, Any]] = {}
        self.future: Future[dict[str, dict[str, Any]]] = Future()
        self._asked = {"" if to == "*" else to}

    def take(self, node: str, answer: dict[str, Any]) -> bool:
        """Note one answer; True when it was the last."""
        self.answers[node] = answer
        self._asked.update(answer.pop("asked", ()))
        if not self._asked <= self.answers.keys() and "gone" not in answer:
            return False
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(self.answers)
        return True


# Groups in one frame, so that none comes near its limit.
_GROUPS_IN_FRAME: Final = 1000


def _parts(groups: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(groups), _GROUPS_IN_FRAME):
        yield groups[start : start + _GROUPS_IN_FRAME]


def _position_frames(positions: dict[str, Position]) -> Iterable[bytes]:
    for groups in _parts(list(positions)):
        places = {group: tuple(positions[group]) for group in groups}
        yield frames.control(Op.POSITIONS, positions=places)


def _fail(future: Future[Any], why: str) -> None:
    if not future.done():
        future.set_exception(LayerUnavailable(why))


def _wake_pipe() -> tuple[socket.socket, socket.socket]:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    return reader, writer
