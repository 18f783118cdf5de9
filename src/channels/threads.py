"""Lanes: blocking code in order within a connection, side by side across connections.

Each ASGI scope has one lane. Its blocking calls (sync handlers,
`database_sync_to_async`, Django's async ORM) run one at a time and in order.
From the first such call of an event until that event's handler returns, the
lane keeps *one thread*: open cursors, generators and transactions stay valid,
as asgiref's one-thread rule promises. Then the thread looks after the database
connections it opened and serves another lane; between events a lane holds none.

The threads come from two bounded pools (see pools.py), so that neither starves
the other: one for Django's views, one for sockets and authentication.

asgiref is told through `ThreadSensitiveContext(executor=lane)`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import Context, ContextVar, Token
from types import TracebackType
from typing import Any, Final

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext

from .connections import end_of_event, end_of_thread, start_of_event
from .mailbox import Mailbox
from .pools import Kind, Pool, Pools, pools_of_process

_active: ContextVar[Lane | CallerLane | None] = ContextVar("channels_lane", default=None)
_running_in = threading.local()


def in_lane() -> bool:
    """Whether the calling thread runs a call of a lane right now."""
    return getattr(_running_in, "lane", None) is not None


def _calling_thread() -> Executor | None:
    """The thread that waits in `async_to_sync` for the running code, if one does."""
    return getattr(AsyncToSync.executors, "current", None)


def current_lane() -> Lane | CallerLane | None:
    return _active.get()


class _End:
    """Queued behind the last call of an event: give the thread back."""


_END: Final = _End()
_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Lane(Executor):
    """The ordered blocking calls of one scope; an Executor to asgiref."""

    __slots__ = ("_calls", "_scheduled", "_within", "kind", "label", "open", "reader", "served")

    def __init__(self, kind: Kind = "sockets", label: str = "", within: Lane | None = None) -> None:
        self.kind: Kind = kind
        self.label = label
        # The lane of the consumer that runs this one's.
        self._within = within
        # A thread is at work here.
        self.served = False
        # A call was made since the last end_event(): the event has a thread, or waits for one.
        self.open = False
        # The mailbox of the consumer in this lane: while it is waited on, no handler runs.
        self.reader: Mailbox | None = None
        self._scheduled = False
        self._calls: queue.SimpleQueue[_Call | _End] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        pools = pools_of_process()
        with pools.lock:
            if self._calls is None:
                self._calls = queue.SimpleQueue()
            self._calls.put((future, fn, args, kwargs))
            if self.reader is not None and self.reader.reader_waits:
                # A task of the consumer's own calls between two events. No handler's
                # return will end this one, so it ends with the call.
                self._calls.put(_END)
            else:
                self.open = True
            if not self._scheduled:
                self._scheduled = True
                self._schedule(pools)
        return future

    def _schedule(self, pools: Pools) -> None:
        """Ask for a thread. Call with the lock held.

        A handler that has one may wait for a consumer that it runs. With all of them
        in such hands none would ever be free: this one then is beyond the pool's size.
        """
        if self._within is not None and self._within.served and _is_busy(pools.of(self.kind)):
            thread = threading.Thread(
                target=self._serve_alone, args=(pools,), name="channels-within", daemon=True
            )
            thread.start()
        else:
            pools.schedule(self)

    def _serve_alone(self, pools: Pools) -> None:
        self.serve(pools)
        end_of_thread()

    def end_event(self) -> None:
        """Let the thread go once the calls made so far are done. Never waits."""
        if self.open:
            with pools_of_process().lock:
                self.open = False
                assert self._calls is not None
                self._calls.put(_END)

    @property
    def waiting(self) -> bool:
        """Calls or their end are queued, or a thread is at work on them."""
        return self._scheduled

    def serve(self, pools: Pools) -> None:
        """Run one event's calls; called by a thread of the pool."""
        assert self._calls is not None
        _running_in.lane = self
        self.served = True
        start_of_event()
        while True:
            call = self._calls.get()
            if isinstance(call, _End):
                break
            _run(call)
            del call
        end_of_event()
        _running_in.lane = None
        with pools.lock:
            self.served = False
            self._scheduled = not self._calls.empty()
            if self._scheduled:
                self._schedule(pools)


def _is_busy(pool: Pool) -> bool:
    """Whether another turn would have to wait."""
    now = pool.statistics()
    return now["threads"] >= pool.size and now["waiting"] >= now["idle"]


def _run(call: _Call) -> None:
    future, function, args, kwargs = call
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
        # The traceback refers to this frame: keep the future out of that cycle.
        del future, call
    else:
        future.set_result(result)


class lane:
    """Enter this scope's lane: `async with lane(): ...`.

    The outermost component makes the lane; inside, entering changes nothing but
    the pool: a view asks for `lane("views")`, and gets it unless the event
    already has a thread. `alone` is for a consumer: one that shares its scope with
    others, as behind a multiplexer, gets a lane of its own, or one's event would
    end while another's still has its cursor open.
    """

    __slots__ = ("_alone", "_context", "_kind", "_label", "_lane", "_outer_kind", "_token")

    def __init__(self, kind: Kind = "sockets", label: str = "", alone: bool = False) -> None:
        self._kind: Kind = kind
        self._label = label
        self._alone = alone
        self._context: ThreadSensitiveContext | None = None
        self._token: Token[Lane | CallerLane | None] | None = None
        self._lane: Lane | CallerLane | None = None
        self._outer_kind: Kind = kind

    async def __aenter__(self) -> Lane | CallerLane:
        active = self._lane = _active.get()
        # A CallerLane is the caller's one thread, however many are in it.
        taken = self._alone and type(active) is Lane and active.reader is not None
        if active is None or taken:
            made: Lane | CallerLane
            if _calling_thread() is None:
                made = Lane(self._kind, self._label, active if type(active) is Lane else None)
            else:
                made = CallerLane()
            self._lane = made
            self._token = _active.set(made)
            self._context = ThreadSensitiveContext(executor=made)
            await self._context.__aenter__()  # type: ignore[no-untyped-call]
            return made
        self._outer_kind = active.kind
        if not active.open:
            active.kind = self._kind
        return active

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._lane is not None
        if self._context is None:
            if self._lane.kind != self._outer_kind:
                self._lane.end_event()
                self._lane.kind = self._outer_kind
            return
        self._lane.end_event()
        assert self._token is not None
        _active.reset(self._token)
        await self._context.__aexit__(kind, error, trace)  # type: ignore[no-untyped-call]


class CallerLane(Executor):
    """Runs a scope's blocking calls on the thread of whoever called it.

    That is asgiref's rule where sync code called the application through
    `async_to_sync`, as a test inside `TestCase` does: it shares its thread,
    database connection and transaction with the application. Without such a
    caller the calls go where a test's own `sync_to_async` calls go.
    """

    def __init__(self) -> None:
        self.kind: Kind = "sockets"
        self.label = ""
        self.reader: Mailbox | None = None
        # Nothing is ever held, so there is nothing to give back.
        self.open = False
        self._caller = _calling_thread()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        executor: Executor = self._caller or SyncToAsync.single_thread_executor
        return executor.submit(self._marked, fn, *args, **kwargs)

    def _marked(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        outer, _running_in.lane = getattr(_running_in, "lane", None), self
        try:
            return fn(*args, **kwargs)
        finally:
            _running_in.lane = outer

    def end_event(self) -> None:
        """The thread is the caller's."""


@contextmanager
def test_lane() -> Iterator[None]:
    """Tasks made inside run their blocking calls on the test's own thread."""
    made = CallerLane()
    context = ThreadSensitiveContext()
    caller = _calling_thread()
    token = _active.set(made)
    sensitive = SyncToAsync.thread_sensitive_context.set(context)
    SyncToAsync.context_to_thread_executor[context] = made
    # asgiref prefers an inherited caller's thread; the lane knows about it.
    AsyncToSync.executors.current = None
    try:
        yield
    finally:
        AsyncToSync.executors.current = caller
        SyncToAsync.thread_sensitive_context.reset(sensitive)
        _active.reset(token)


test_lane.__test__ = False  # type: ignore[attr-defined]


def context_of_the_lane_alone() -> Context:
    """A context as a server's connections begin with: empty, but for the active lane."""
    fresh = Context()
    fresh.run(_active.set, _active.get())
    variable: ContextVar[Any] = SyncToAsync.thread_sensitive_context
    fresh.run(variable.set, variable.get(None))
    return fresh
