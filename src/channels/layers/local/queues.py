"""Named channels: their messages wait in the host, for whichever node wants the next one.

Plain data: the switch guards it. Messages stay encoded; `capacity` and expiry
come with each, from the layer that sent it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

# Together, over all named channels. Past it every channel is full.
MAX_QUEUED_BYTES: Final = 256 << 20


class NamedQueue:
    """The messages of one named channel, and the connections that want one, in turn."""

    __slots__ = ("messages", "takers")

    def __init__(self) -> None:
        self.messages: deque[tuple[float, bytes]] = deque()
        self.takers: deque[int] = deque()


class NamedQueues:
    """Every named channel with messages or takers. `expired` counts what nobody read in time."""

    def __init__(self) -> None:
        self.queues: dict[str, NamedQueue] = {}
        self.expired = 0
        self.bytes = 0

    def put(
        self, channel: str, expires_at: float, payload: bytes, capacity: int, now: float
    ) -> int | None:
        """Queue a message; answers the room that is left, None where there is none."""
        queue = self._queue(channel)
        if len(queue.messages) >= capacity or self.bytes + len(payload) > MAX_QUEUED_BYTES:
            self._expire(queue, now)
            if len(queue.messages) >= capacity or self.bytes + len(payload) > MAX_QUEUED_BYTES:
                return None
        queue.messages.append((expires_at, payload))
        self.bytes += len(payload)
        return capacity - len(queue.messages)

    def put_back(self, channel: str, expires_at: float, payload: bytes) -> None:
        """A message that was handed out and not taken is before all that were sent later."""
        messages, place = self._queue(channel).messages, 0
        while place < len(messages) and messages[place][0] < expires_at:
            place += 1
        messages.insert(place, (expires_at, payload))
        self.bytes += len(payload)

    def want(self, channel: str, connection: int) -> None:
        self._queue(channel).takers.append(connection)

    def unwant(self, channel: str, connection: int) -> None:
        """Withdraw one wish; one that was fulfilled meanwhile is no error."""
        queue = self.queues.get(channel)
        if queue is not None and connection in queue.takers:
            queue.takers.remove(connection)
            self._forget_if_idle(channel, queue)

    def match(self, channel: str, now: float) -> list[tuple[int, float, bytes]]:
        """Pair messages with those who want them: (connection, expires_at, payload)."""
        queue = self.queues.get(channel)
        matched: list[tuple[int, float, bytes]] = []
        while queue is not None and queue.takers and queue.messages:
            expires_at, payload = queue.messages.popleft()
            self.bytes -= len(payload)
            if expires_at <= now:
                self.expired += 1
            else:
                matched.append((queue.takers.popleft(), expires_at, payload))
        if queue is not None:
            self._forget_if_idle(channel, queue)
        return matched

    def forget_taker(self, connection: int) -> None:
        for channel, queue in tuple(self.queues.items()):
            if connection in queue.takers:
                queue.takers = deque(taker for taker in queue.takers if taker != connection)
                self._forget_if_idle(channel, queue)

    def expire(self, now: float) -> None:
        """Drop what is stale, wherever it waits."""
        for channel, queue in tuple(self.queues.items()):
            self._expire(queue, now)
            self._forget_if_idle(channel, queue)

    def take_all(self) -> list[tuple[str, float, bytes]]:
        """Take every message, in order: (channel, expires_at, payload)."""
        every = [
            (channel, expires_at, payload)
            for channel, queue in self.queues.items()
            for expires_at, payload in queue.messages
        ]
        self.clear()
        return every

    def clear(self) -> None:
        self.bytes = 0
        for channel, queue in tuple(self.queues.items()):
            queue.messages.clear()
            self._forget_if_idle(channel, queue)

    def lengths(self) -> dict[str, int]:
        """How many messages wait, by channel."""
        return {name: len(queue.messages) for name, queue in self.queues.items() if queue.messages}

    def _queue(self, channel: str) -> NamedQueue:
        queue = self.queues.get(channel)
        if queue is None:
            queue = self.queues[channel] = NamedQueue()
        return queue

    def _forget_if_idle(self, channel: str, queue: NamedQueue) -> None:
        if not queue.messages and not queue.takers:
            self.queues.pop(channel, None)

    def _expire(self, queue: NamedQueue, now: float) -> None:
        # From the front: the messages of a layer live equally long.
        while queue.messages and queue.messages[0][0] <= now:
            self.bytes -= len(queue.messages.popleft()[1])
            self.expired += 1
