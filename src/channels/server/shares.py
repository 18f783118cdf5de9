"""How many connections each worker has, in memory that all workers of a supervisor share.

All of them wait on the same listening sockets, and the first to wake takes the
next connection. Left alone, shares get lopsided, and a worker that has just been
replaced stays empty for long. So a worker with more than its siblings lets them
go first.

The figures are hints, written without a lock: each worker writes its own place
alone, and a wrong one costs a moment's wait.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import Final

# More than the emptiest sibling by this: below it, evenness is not worth a wait.
MARGIN: Final = 2

_FIGURE: Final = struct.Struct("=i")
# Of a worker that takes no connections, or does not exist.
_ABSENT: Final = -1


def new_shares(places: int) -> int:
    """The descriptor of fresh memory for so many workers, of whom none is present."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("channels-shares")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.write(descriptor, _FIGURE.pack(_ABSENT) * places)
    return descriptor


class Shares:
    """The figures of all workers, seen from one place."""

    def __init__(self, descriptor: int, place: int) -> None:
        self._memory = mmap.mmap(descriptor, 0)
        self._offset = place * _FIGURE.size
        self._place = place

    def write(self, connections: int) -> None:
        """Tell the others how many connections this worker has."""
        _FIGURE.pack_into(self._memory, self._offset, connections)

    def leave(self) -> None:
        """Tell the others that this worker takes no more connections."""
        self.write(_ABSENT)

    def siblings(self) -> list[int]:
        """What the others have, of those who take connections."""
        figures = [figure for (figure,) in _FIGURE.iter_unpack(self._memory[:])]
        del figures[self._place]
        return [figure for figure in figures if figure != _ABSENT]

    def close(self) -> None:
        self._memory.close()
