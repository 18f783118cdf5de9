"""What a node has to say to its host: written at once where the socket takes it, else in order.

Most frames are *durable*: what one host has not got whole is said again to the
next. The rest is meant for one host alone. Whoever calls holds the node's lock.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from . import frames
from .frames import Op

_WAITS: Final = (BlockingIOError, InterruptedError)


class Outbox:
    """Frames that wait for the host.

    `bytes`: what they are together. `since`: when the first of them began to wait, by
    the monotonic clock.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self.since = 0.0
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._writing = False
        # Bytes of the first frame that are written already.
        self._written = 0
        # How many more frames this host may get; None: all.
        self._allowed: int | None = None

    def __bool__(self) -> bool:
        return bool(self._frames)

    @property
    def writable(self) -> bool:
        """Something waits that this host may still get."""
        return bool(self._frames) and self._allowed != 0

    @property
    def publications(self) -> list[bytes]:
        """Frames that no host has got yet."""
        return [frame for frame, _ in self._frames if frames.op_of(frame) == Op.PUBLISH]

    @property
    def returns(self) -> int:
        """How many items wait that an earlier host has left behind."""
        return sum(1 for frame, _ in self._frames if frames.op_of(frame) == Op.RETURN)

    def durable(self) -> list[bytes]:
        return [frame for frame, durable in self._frames if durable]

    def put(self, frame: bytes, durable: bool, sock: socket.socket | None) -> bool:
        """Write `frame` to `sock`, or keep what is not taken; False if something waits now."""
        if sock is None or self._frames or self._writing:
            if not self._frames:
                self.since = time.monotonic()
            self._frames.append((frame, durable))
            self.bytes += len(frame)
            return False
        # A finalizer may have something to say at any allocation: after this frame.
        self._writing = True
        written = 0
        try:
            written = sock.send(frame)
        except _WAITS:
            pass
        except OSError:
            # Whoever reads from the socket finds its end.
            pass
        if written != len(frame):
            self._frames.appendleft((frame, durable))
            self._written = written
            self.since = time.monotonic()
            self.bytes += len(frame)
        self._writing = False
        return written == len(frame)

    def write(self, sock: socket.socket) -> None:
        """Write what waits, as far as `sock` takes it; OSError if it is gone."""
        while self.writable:
            frame = self._frames[0][0]
            rest = memoryview(frame)[self._written :] if self._written else frame
            try:
                self._written += sock.send(rest)
            except _WAITS:
                return
            if self._written == len(frame):
                self._frames.popleft()
                self.bytes -= len(frame)
                self._written = 0
                if self._allowed is not None:
                    self._allowed -= 1

    def say_goodbye(self, bye: bytes) -> None:
        """Let `bye` be the last frame for this host, after the one that is under way."""
        self._allowed = 2 if self._written else 1
        self._frames.insert(self._allowed - 1, (bye, False))
        self.bytes += len(bye)

    def begin(self, first_words: Sequence[bytes]) -> None:
        """There is a new host: say `first_words`, and hold back all else until `let_go`.

        A host that dies as it is found would take with it what waits. What is returned
        comes first, since it is older than what was sent.
        """
        self._allowed = len(first_words)
        waiting = sorted(self._frames, key=lambda item: frames.op_of(item[0]) != Op.RETURN)
        self._frames.clear()
        self._frames.extend((frame, False) for frame in first_words)
        self._frames.extend(waiting)
        self.since = time.monotonic()
        self._count()

    def let_go(self) -> None:
        """The host is one that answers: it may get everything."""
        self._allowed = None

    def end(self) -> list[bytes]:
        """The host is gone: answer what is kept for the next one."""
        kept = self.durable()
        self._frames = deque((frame, True) for frame in kept)
        self._written = 0
        self._count()
        return kept

    def clear(self) -> None:
        self._frames.clear()
        self._written = self.bytes = 0

    def _count(self) -> None:
        self.bytes = sum(len(frame) for frame, _ in self._frames)
