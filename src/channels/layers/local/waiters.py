"""Threads and tasks that wait until something of the node is so."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from .calls import fail


class Waiters:
    """Futures by their conditions. Whoever calls holds the node's lock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Future[None]]] = []

    def somebody_waits(self) -> bool:
        self._waiting = [waiter for waiter in self._waiting if not waiter[1].done()]
        return bool(self._waiting)

    def add(self, condition: Callable[[], bool]) -> Future[None]:
        future: Future[None] = Future()
        self._waiting.append((condition, future))
        return future

    def check(self) -> None:
        """Let those go on whose condition has come true."""
        waiting, self._waiting = self._waiting, []
        for condition, future in waiting:
            if not condition():
                if not future.done():
                    self._waiting.append((condition, future))
            elif future.set_running_or_notify_cancel():
                future.set_result(None)

    def fail(self, why: str) -> None:
        for _, future in self._waiting:
            fail(future, why)
        self._waiting.clear()
