"""The lock of a bus: whoever has it hosts."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, suppress
from typing import Final

from .bus_place import BusPlace
from .errors import BusError, explained
from .files import identity, identity_of, open_lock_file
from .folder import open_folder

# Each turn means that someone removed the file between two calls of ours.
LOCK_TRIES: Final = 8


class Lock:
    """Held by the process that hosts; the kernel releases it when the process ends.

    A forked child has the same lock through its copy of the descriptor, and would keep
    it beyond its parent's death: a child must call `close_in_child`. Programs started
    with exec get no copy.
    """

    __slots__ = ("_descriptor", "_folder", "_name", "_pid", "bound")

    def __init__(self, descriptor: int, folder: int, name: str) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._name = name
        self._pid = os.getpid()
        # Which file our socket is, once `bind_bus` made it.
        self.bound: tuple[int, ...] | None = None

    def fileno(self) -> int:
        """Return the descriptor of the lock file; -1 after the release."""
        return self._descriptor

    @property
    def folder(self) -> int:
        """A descriptor of the checked folder; -1 after the release."""
        return self._folder

    @property
    def is_held(self) -> bool:
        """Whether this process has it; a forked child does not."""
        return self._descriptor >= 0 and os.getpid() == self._pid

    def is_in_place(self) -> bool:
        """Tell whether others still find this lock: not if someone removed its file."""
        if self._descriptor < 0:
            return False
        return identity(self._folder, self._name) == identity_of(os.fstat(self._descriptor))

    def release(self) -> None:
        """Let another process have it, even if a forked child kept a copy."""
        if self.is_held:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.close_in_child()

    def close_in_child(self) -> None:
        """Forget the lock without releasing it: after a fork it is the parent's."""
        descriptors, self._descriptor, self._folder = (self._descriptor, self._folder), -1, -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def try_lock(place: BusPlace) -> Lock | None:
    """Take the right to host; None while another process has it."""
    folder = open_folder(place)
    if folder is None:
        raise BusError(f"The folder {place.directory} of the bus does not exist: prepare it first.")
    advice = "Remove it if it is a link or no plain file; network file systems may know no locks."
    with ExitStack() as undo, explained(f"lock {place.lock_path}", advice):
        undo.callback(os.close, folder)
        descriptor = _lock_file(folder, place)
        if descriptor is None:
            return None
        undo.pop_all()
    return Lock(descriptor, folder, place.lock_path.name)


def _lock_file(folder: int, place: BusPlace) -> int | None:
    for _ in range(LOCK_TRIES):
        descriptor = open_lock_file(folder, place)
        with ExitStack() as undo:
            undo.callback(os.close, descriptor)
            if not _flock(descriptor):
                return None
            # Whoever cleans up may have removed the file between our two calls.
            if identity(folder, place.lock_path.name) == identity_of(os.fstat(descriptor)):
                _mark(folder, descriptor)
                undo.pop_all()
                return descriptor
    raise BusError(f"Cannot lock {place.lock_path}: something removes the file again and again.")


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mark(folder: int, descriptor: int) -> None:
    """Tell people who hosts, and systemd-tmpfiles to leave the folder alone."""
    # tmpfiles.d(5): what is below a locked folder is not aged. A second lock file would
    # make a second host.
    with suppress(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    # A second link: a member of the group may have put a file of ours there.
    if os.fstat(descriptor).st_nlink == 1:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
