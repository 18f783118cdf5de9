"""How far a sender may run ahead of the answers to what it sent.

`send` to a full channel raises ChannelFull, so it has to hear what became of its
message. To wait for that with each would cost a journey to another process and
back. While a channel has just said that it takes many more, the next ones are
sent without waiting; what is refused all the same, because others sent to it
too, is counted and said. Pure: time is passed in.
"""

from __future__ import annotations

import threading
from typing import Final

# Sent ahead only while at least this much room is left beyond what is on its way.
MARGIN: Final = 16
# What a channel said is no longer believed after this many seconds without an answer.
BELIEVED_SECONDS: Final = 0.1
# Channels that are remembered; the one known longest is forgotten.
MAX_CHANNELS: Final = 1024


class Windows:
    """The room that channels of other processes said they had."""

    def __init__(self) -> None:
        # channel -> [room, on their way, time of the last answer]
        self._channels: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def __contains__(self, channel: object) -> bool:
        return channel in self._channels

    def may_hurry(self, channel: str, now: float) -> bool:
        """Whether the next message to `channel` need not wait for its answer."""
        known = self._channels.get(channel)
        if known is None:
            return False
        room, on_their_way, answered_at = known
        return room - on_their_way > MARGIN and now - answered_at < BELIEVED_SECONDS

    def sent(self, channel: str) -> None:
        with self._lock:
            known = self._channels.get(channel)
            if known is not None:
                known[1] += 1
                return
            if len(self._channels) >= MAX_CHANNELS:
                del self._channels[next(iter(self._channels))]
            self._channels[channel] = [0, 1, 0.0]

    def answered(self, channel: str, room: int, now: float) -> None:
        with self._lock:
            known = self._channels.get(channel)
            if known is not None:
                known[0] = room
                known[1] = max(known[1] - 1, 0)
                known[2] = now
