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
        self._sends: dict[int, OnSent] = {}
        self._calls: dict[int, Call] = {}

    def send(self, on_sent: OnSent) -> int:
        # As wide as its field. What was sent four billion messages ago has its answer.
        id = next(self._ids) & 0xFFFFFFFF
        self._sends[id] = on_sent
        return id

    def call(self, call: Call) -> int:
        id = next(self._ids)
        self._calls[id] = call
        return id

    def sent(self, sent: Sent) -> None:
        outcome = Outcome(sent.outcome)
        for id in sent.ids:
            on_sent = self._sends.pop(id, None)
            if on_sent is not None:
                on_sent(outcome, sent.room)

    def replied(self, reply: dict[str, Any]) -> None:
        call = self._calls.get(reply["id"])
        if call is not None and call.take(reply["of"], reply["result"]):
            del self._calls[reply["id"]]

    def abandon(self, call: Call) -> None:
        self._calls = {id: other for id, other in self._calls.items() if other is not call}

    def lost(self, kept: Iterable[bytes], why: str) -> None:
        """Nobody will answer what the old host had; `kept` goes to the next one."""
        sends, calls = set(), set()
        for frame in kept:
            if frames.op_of(frame) == Op.SEND:
                sends.add(frames.read_sending(frame).id)
            elif frames.op_of(frame) == Op.CALL:
                calls.add(frames.read_control(frame)["id"])
        for id in [id for id in self._sends if id not in sends]:
            self._sends.pop(id)(None, 0)
        for id in [id for id in self._calls if id not in calls]:
            fail(self._calls.pop(id).future, why)


def fail(future: Future[Any], why: str) -> None:
    # Its waiter may give up in between.
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_exception(LayerUnavailable(why))
