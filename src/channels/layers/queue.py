"""The queue of a channel that no mailbox is attached to.

Named channels that workers read, and specific channels that somebody reads
with `receive()`. Plain data without a clock, lock or loop: the hub guards it,
and waiters are objects that it can wake.
"""

from __future__ import annotations

from asyncio import QueueEmpty
from collections import deque
from typing import Any, Protocol


class Waiter(Protocol):
    def wake(self) -> None: ...


class ChannelQueue:
    """Messages in order, each with the time after which it is stale."""

    __slots__ = ("capacity", "expired", "messages", "waiters")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.messages: deque[tuple[dict[str, Any], float]] = deque()
        self.waiters: list[Waiter] = []
        self.expired = 0

    def __len__(self) -> int:
        return len(self.messages)

    # -- as of asyncio.Queue, for projects' tests that look into the layer in memory

    def qsize(self) -> int:
        return len(self.messages)

    def empty(self) -> bool:
        return not self.messages

    def get_nowait(self) -> tuple[float, dict[str, Any]]:
        """Take (expires at, message); asyncio.QueueEmpty if there is none."""
        if not self.messages:
            raise QueueEmpty
        message, expires_at = self.messages.popleft()
        return expires_at, message

    # --

    @property
    def idle(self) -> bool:
        """Nothing waits here, and nobody waits for anything."""
        return not self.messages and not self.waiters

    def put(self, message: dict[str, Any], expires_at: float, now: float) -> bool:
        """Queue `message`, or answer False when `capacity` fresh ones wait already."""
        if len(self.messages) >= self.capacity:
            self.expire(now)
            if len(self.messages) >= self.capacity:
                return False
        self.messages.append((message, expires_at))
        if self.waiters:
            self.wake_all()
        return True

    def take(self, now: float) -> dict[str, Any] | None:
        """Return the next fresh message, or None."""
        messages = self.messages
        while messages:
            message, expires_at = messages.popleft()
            if expires_at > now:
                return message
            self.expired += 1
        return None

    def expire(self, now: float) -> None:
        """Drop what is stale, from the front: all messages of a layer live equally long."""
        while self.messages and self.messages[0][1] <= now:
            self.messages.popleft()
            self.expired += 1

    def wake_all(self) -> None:
        """Let every waiter look again.

        All of them: one alone might be cancelled meanwhile, or belong to a loop
        that no longer runs, and the message would then wait beside the others.
        """
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.wake()
