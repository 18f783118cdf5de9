"""Reading where a stuck process is: the stacks that its faulthandler writes to a pipe.

The handler runs in the signal, in C: it answers for code that never comes back to
the event loop, also where it holds the interpreter's lock. Nothing marks the end
of what it writes, so it has ended when nothing more has come for a moment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

# What a process gets to begin, and what it gets between two pieces.
FIRST_SECONDS: Final = 2.0
NEXT_SECONDS: Final = 0.2
# A hundred threads with a hundred frames each, which is where faulthandler stops, are less.
MOST_BYTES: Final = 1 << 20


class StackReader:
    """Reads one dump; `done` gets its text, which is empty if nothing came."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, done: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._done = done
        self._data = bytearray()
        self._handle = loop.call_later(FIRST_SECONDS, self._finish)
        loop.add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return
        self._data += data
        if not data or len(self._data) > MOST_BYTES:
            self._finish()
            return
        self._handle.cancel()
        self._handle = self._loop.call_later(NEXT_SECONDS, self._finish)

    def _finish(self) -> None:
        self.close()
        self._done(self._data[:MOST_BYTES].decode(errors="replace").strip())

    def close(self) -> None:
        """Stop reading; `done` is not called any more."""
        self._handle.cancel()
        self._loop.remove_reader(self._descriptor)
