"""What other nodes owe this one an answer for: messages to channels, and calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from ...exceptions import LayerUnavailable
from . import frames
from .frames import Op, Outcome, Sent

# What became of a message, and how many more its channel takes. None: the bus was
# lost meanwhile, and nobody knows.
OnSent = Callable[[Outcome | None, int], None]


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


class Calls:
    """Messages and calls without an answer, by id. Whoever changes them holds the node's lock."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        # With the times of their sending, the oldest first.
        self._sends: dict[int, tuple[OnSent, float]] = {}
        self._calls: dict[int, Call] = {}

    def send(self, on_sent: OnSent, now: float) -> int:
        # As wide as its field. What was sent four billion messages ago has its answer.
        id = next(self._ids) & 0xFFFFFFFF
        self._sends[id] = (on_sent, now)
        return id

    def call(self, call: Call) -> int:
        id = next(self._ids)
        self._calls[id] = call
        return id

    def sent(self, sent: Sent) -> None:
        outcome = Outcome(sent.outcome)
        for id in sent.ids:
            waiting = self._sends.pop(id, None)
            if waiting is not None:
                waiting[0](outcome, sent.room)

    def replied(self, reply: dict[str, Any]) -> None:
        call = self._calls.get(reply["id"])
        if call is not None and call.take(reply["of"], reply["result"]):
            del self._calls[reply["id"]]

    def abandon(self, call: Call) -> None:
        self._calls = {id: other for id, other in self._calls.items() if other is not call}

    def take_older(self, than: float) -> list[OnSent]:
        """Take out what was sent before a time: whoever should have answered has ended."""
        old = list(itertools.takewhile(lambda item: item[1][1] < than, self._sends.items()))
        for id, _ in old:
            del self._sends[id]
        return [on_sent for _, (on_sent, _) in old]

    @property
    def waiting(self) -> bool:
        return bool(self._sends)

    def lost(self, kept: Iterable[bytes], why: str) -> list[OnSent]:
        """Nobody will answer what the old host had; `kept` goes to the next one.

        Answers whom to tell when the lock is released: they may log, and who logs may send.
        """
        sends, calls = set(), set()
        for frame in kept:
            if frames.op_of(frame) == Op.SEND:
                sends.add(frames.read_sending(frame).id)
            elif frames.op_of(frame) == Op.CALL:
                calls.add(frames.read_control(frame)["id"])
        for id in [id for id in self._calls if id not in calls]:
            fail(self._calls.pop(id).future, why)
        return [self._sends.pop(id)[0] for id in list(self._sends) if id not in sends]


def fail(future: Future[Any], why: str) -> None:
    # Its waiter may give up in between.
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(LayerUnavailable(why))
