"""How a worker process is started: by exec, with the sockets it is to serve.

Not by fork: a fork of a process that has threads is a gamble, and a worker that is
started anew has the code of now. It finds modules where the supervisor's process
does, also if that was started as `manage.py` from another folder.
"""

from __future__ import annotations

import json
import os
import signal
import site
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .link import VARIABLE


class Launched(NamedTuple):
    """A worker process, our end of the link, and where it writes its stacks."""

    process: subprocess.Popen[bytes]
    link: socket.socket
    stacks: int


@dataclass(frozen=True, slots=True)
class Launch:
    """What all workers of a supervisor have in common."""

    command: Sequence[str]
    sockets: Sequence[socket.socket]
    shares: int
    # Seconds between heartbeats, and until a worker without a supervisor is cut off.
    beat: float
    patience: float
    folder: str

    def start(self, number: int, place: int | None) -> Launched:
        """Start worker `number`; OSError if the system refuses."""
        ours, theirs = socket.socketpair()
        try:
            stacks, into = os.pipe()
        except OSError:
            ours.close()
            theirs.close()
            raise
        try:
            process = self._exec(number, place, theirs.fileno(), into)
        except BaseException:
            ours.close()
            os.close(stacks)
            raise
        finally:
            theirs.close()
            os.close(into)
        ours.setblocking(False)
        os.set_blocking(stacks, False)
        return Launched(process, ours, stacks)

    def _exec(
        self, number: int, place: int | None, link: int, stacks: int
    ) -> subprocess.Popen[bytes]:
        sockets = [sock.fileno() for sock in self.sockets]
        pythonpath = os.environ.get("PYTHONPATH")
        given: dict[str, Any] = {
            "number": number,
            "place": place,
            "shares": None if place is None else self.shares,
            "sockets": sockets,
            "link": link,
            "stacks": stacks,
            "supervisor": os.getpid(),
            "beat": self.beat,
            "patience": self.patience,
            "path": _module_path(),
            "pythonpath": pythonpath,
        }
        environment = {**os.environ, VARIABLE: json.dumps(given)}
        where = _unusual_place_of_ours()
        if where is not None:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [where, pythonpath]))
        inherited = [*sockets, link, stacks]
        if place is not None:
            inherited.append(self.shares)
        return _popen(self.command, environment, inherited, self.folder)


def _popen(
    command: Sequence[str], environment: dict[str, str], inherited: list[int], folder: str
) -> subprocess.Popen[bytes]:
    # The worker unblocks them once it has its own handlers: a Ctrl-C must not end it
    # while it begins.
    terminal = (signal.SIGINT, signal.SIGHUP)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, terminal)
    try:
        return subprocess.Popen(command, env=environment, pass_fds=inherited, cwd=folder)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def current_folder() -> str:
    """The current folder by the name it was entered by.

    A symlink to the current release leads to the next one after it was switched.
    """
    name = os.environ.get("PWD", "")
    try:
        if os.path.samefile(name, "."):
            return name
    except OSError:
        # It is unset, or was left behind by a shell that is elsewhere.
        pass
    return os.getcwd()


def keep_standard_descriptors() -> None:
    """Open /dev/null where stdin, stdout or stderr are closed.

    The next descriptors would take their numbers, and a socket would be the
    standard output of whatever the application starts.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _module_path() -> list[str]:
    """`sys.path`, with an empty entry where the current folder stands."""
    here = os.getcwd()
    return ["" if entry in ("", here) else entry for entry in sys.path]


def _unusual_place_of_ours() -> str | None:
    """The folder this package is in, if an interpreter does not look there by itself."""
    where = str(Path(__file__).parents[2])
    usual = [*site.getsitepackages(), site.getusersitepackages()]
    return None if where in usual else where
