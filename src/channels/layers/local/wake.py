"""How other threads interrupt a thread that waits for its sockets."""

from __future__ import annotations

import contextlib
import socket


class Wake:
    """A descriptor that becomes readable when somebody calls; any thread may."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        # Called and not yet heard: one call is as good as many.
        self._called = False

    def call(self) -> None:
        if not self._called:
            self._called = True
            # Full is as good as called; closed, there is nobody to be woken.
            with contextlib.suppress(BlockingIOError, OSError):
                self._writer.send(b"\0")

    def hear(self) -> None:
        """Be ready for the next call. Of the waiting thread."""
        with contextlib.suppress(BlockingIOError):
            self.reader.recv(64)
        # After the read: it could take the byte of a call that has set this in between.
        self._called = False

    def close(self) -> None:
        self.reader.close()
        self._writer.close()
