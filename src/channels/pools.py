"""Bounded pools of threads for blocking code.

A pool serves turns in the order they asked, up to its size at a time. Threads
are started when they are needed, and end when they have been idle for a while.
A turn that waits over a second is logged, with what the threads are doing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Final, Literal, Protocol

from .connections import end_of_thread

logger = logging.getLogger("channels.threads")

Kind = Literal["sockets", "views"]

# An event keeps its thread while its handler awaits other things, so there are more
# of them than code that only computes would need. Each may hold a database
# connection: two processes of two pools stay below PostgreSQL's default of 100.
DEFAULT_SIZE: Final = 20
# The environment sets other sizes.
SIZE_VARIABLES: Final[dict[Kind, str]] = {
    "sockets": "CHANNELS_THREADS",
    "views": "CHANNELS_VIEW_THREADS",
}
# A thread without work ends, and closes its database connections, after this.
IDLE_SECONDS: Final = 10.0
# A call that waits longer than this for a thread is reported.
SLOW_WAIT_SECONDS: Final = 1.0
REPORT_EVERY_SECONDS: Final = 10.0


class Turn(Protocol):
    """Somebody's wish for a thread; a lane, to a pool."""

    kind: Kind
    label: str

    @property
    def waiting(self) -> bool: ...
    def serve(self, pools: Pools) -> None: ...


def pool_size(kind: Kind) -> int:
    """Threads of a pool: its environment variable, else DEFAULT_SIZE."""
    variable = SIZE_VARIABLES[kind]
    text = os.environ.get(variable, "")
    if not text:
        return DEFAULT_SIZE
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{variable} must be a number of threads, 1 or more; it is {text!r}.")
    return int(text)


class Pool:
    """A bounded set of threads that serve lanes in the order they asked."""

    def __init__(self, kind: Kind, size: int, pools: Pools) -> None:
        self.kind = kind
        self.size = size
        self._pools = pools
        self._lock = pools.lock
        # None: whichever thread takes it ends.
        self._ready: queue.SimpleQueue[Turn | None] = queue.SimpleQueue()
        self._waiting = 0
        self._idle = 0
        self._started = 0
        self._reported = 0.0
        self._dismissed: set[threading.Thread] = set()
        # What each thread is doing: the lane it serves, None while it is idle.
        self._threads: dict[threading.Thread, Turn | None] = {}

    def schedule(self, lane: Turn) -> None:
        """Give the lane a thread, now or when one is free. Call with the lock held."""
        self._ready.put(lane)
        self._waiting += 1
        if self._waiting <= self._idle:
            return
        if len(self._threads) < self.size:
            self._start_thread()
        else:
            self._watch(lane)

    def _start_thread(self) -> None:
        self._started += 1
        name = f"channels-{self.kind}-{self._started}"
        # A daemon: the server has waited for its applications before the
        # interpreter ends, and a stuck query must not keep the process alive.
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads[thread] = None
        self._idle += 1
        thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while (lane := self._next_lane(me)) is not None:
            lane.serve(self._pools)
            del lane
            with self._lock:
                if me in self._dismissed and self._waiting <= self._idle:
                    self._forget(me)
                    break
                self._threads[me] = None
                self._idle += 1
        end_of_thread()

    def _forget(self, thread: threading.Thread) -> None:
        self._dismissed.discard(thread)
        del self._threads[thread]

    def _next_lane(self, me: threading.Thread) -> Turn | None:
        while True:
            try:
                lane = self._ready.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._waiting >= self._idle:
                        continue
                    self._idle -= 1
                    self._forget(me)
                    return None
            with self._lock:
                if lane is None:
                    if self._waiting > self._idle:
                        # Dismissed, but needed again meanwhile.
                        self._idle += 1
                        continue
                    self._forget(me)
                    return None
                self._waiting -= 1
                self._idle -= 1
                self._threads[me] = lane
            return lane

    def dismiss(self) -> list[threading.Thread]:
        """Have the threads end now, or after the lane they serve; answers them. Lock held."""
        for _ in range(self._idle - self._waiting):
            self._idle -= 1
            self._ready.put(None)
        self._dismissed.update(self._threads)
        return list(self._threads)

    def _watch(self, lane: Turn) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        loop.call_later(SLOW_WAIT_SECONDS, self._report_wait, lane, time.monotonic())

    def _report_wait(self, lane: Turn, since: float) -> None:
        now = time.monotonic()
        served = lane in self._threads.values() or not lane.waiting
        if served or now - self._reported < REPORT_EVERY_SECONDS:
            return
        self._reported = now
        logger.warning(
            "%s has waited %.1f s for one of the %d threads of the %s pool (%s sets the size). "
            "They are doing:\n%s",
            lane.label or "A blocking call",
            now - since,
            self.size,
            self.kind,
            SIZE_VARIABLES[self.kind],
            "\n".join(self._stacks()),
        )

    def _stacks(self) -> Iterator[str]:
        frames = sys._current_frames()
        for thread, lane in list(self._threads.items()):
            frame = frames.get(thread.ident or 0)
            if frame is not None and lane is not None:
                stack = "".join(traceback.format_stack(frame)[-4:])
                yield f"- {lane.label or 'a lane'}:\n{stack}"

    def statistics(self) -> dict[str, int]:
        return {"threads": len(self._threads), "idle": self._idle, "waiting": self._waiting}


class Pools:
    """Both pools of a process, under one lock: a lane may change from one to the other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._pools: dict[Kind, Pool] = {}

    def schedule(self, lane: Turn) -> None:
        self.of(lane.kind).schedule(lane)

    def of(self, kind: Kind) -> Pool:
        pool = self._pools.get(kind)
        if pool is None:
            pool = self._pools[kind] = Pool(kind, pool_size(kind), self)
        return pool

    def dismiss(self, seconds: float) -> None:
        """Have all threads end, and close their connections, as soon as they are free.

        Returns when they have, or after so many seconds. Those that are needed later
        are started anew.
        """
        with self.lock:
            threads = [thread for pool in self._pools.values() for thread in pool.dismiss()]
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


# By process id: a forked child has none of its parent's threads and makes its own.
_pools: dict[int, Pools] = {}


def pools_of_process() -> Pools:
    pid = os.getpid()
    pools = _pools.get(pid)
    if pools is None:
        pools = _pools.setdefault(pid, Pools())
    return pools
