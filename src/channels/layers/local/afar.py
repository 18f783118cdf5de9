"""Channels that other processes read: what is sent to them, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final

from ...exceptions import ChannelFull, LayerUnavailable
from ..losses import Loss, Reason
from ..mailroom import Mailroom
from .frames import Outcome
from .node import Node
from .windows import Windows

# What became of one message; None: nobody knows.
Answer = Future[Outcome | None]


class FarChannels:
    """Sends to channels of other processes, and judges the answers."""

    def __init__(self, node: Node, mailroom: Mailroom, capacity_of: Callable[[str], int]) -> None:
        self._node = node
        self._mailroom = mailroom
        self._capacity_of = capacity_of
        self._windows = Windows()

    def knows(self, channel: str) -> bool:
        """Whether something was sent to this channel lately."""
        return channel in self._windows

    def send(self, channel: str, payload: bytes, expires_at: float) -> Answer | None:
        """Send one message; None if its sender need not wait for an answer."""
        hurry = self._windows.may_hurry(channel, time.monotonic())
        answer: Answer | None = None if hurry else Future()
        self._windows.sent(channel)
        on_sent = partial(self._answered, channel, answer)
        self._node.send(channel, payload, expires_at, self._capacity_of(channel), on_sent)
        return answer

    def _answered(
        self, channel: str, answer: Answer | None, outcome: Outcome | None, room: int
    ) -> None:
        """In the node's thread."""
        self._windows.answered(channel, room, time.monotonic())
        if answer is None:
            if outcome is not Outcome.QUEUED:
                # Its sender has gone on, so it is said here.
                self._mailroom.lost(None, [Loss(channel, _REASONS[outcome])])
        elif answer.set_running_or_notify_cancel():
            answer.set_result(outcome)

    def judge(self, channel: str, outcome: Outcome | None) -> None:
        """Tell the sender of a message what became of it."""
        if outcome is Outcome.FULL:
            raise ChannelFull(channel)
        if outcome is None:
            raise self.unanswered(channel)
        if outcome is Outcome.GONE:
            # As for a consumer of this process that has just ended.
            self._mailroom.lost(None, [Loss(channel, Reason.CLOSED)])

    def unanswered(self, channel: str) -> LayerUnavailable:
        return LayerUnavailable(
            f"The bus has not said what became of a message to channel {channel!r}: it may have "
            "been delivered, or lost."
        )


_REASONS: Final = {
    Outcome.FULL: Reason.FULL,
    Outcome.GONE: Reason.CLOSED,
    None: Reason.UNKNOWN,
}
