"""Starting processes, waiting until they are ready, and ending them by their id.

Each runs in a session of its own, so that what it started ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from .environments import ROOT

STOP_TIMEOUT = 5.0


class StartError(Exception):
    """A process did not come up; the message holds the end of what it said."""


@contextmanager
def started(
    command: Sequence[str], environment: dict[str, str], **options: Any
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Run a command for as long as the block lasts; beside it, what it says."""
    with tempfile.TemporaryFile() as log:
        options = {"stdout": log, "stderr": log, **options}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, start_new_session=True, **options
        )
        try:
            yield process, log
        finally:
            _stop(process)


def wait_until(
    ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    log: IO[bytes],
    timeout: float,
    otherwise: str,
) -> None:
    """Ask `ready` until it is; StartError if the process ends or the time does first."""
    until = time.monotonic() + timeout
    while not ready():
        try:
            # The pause between attempts is a wait for the one thing that ends them early.
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() < until:
                continue
        raise StartError(f"{otherwise}: {tail(log)}")


def tail(log: IO[bytes]) -> str:
    """Answer the end of what a process said."""
    log.seek(0)
    return log.read().decode(errors="replace").strip()[-1500:] or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass
    try:
        # What is left of its session: workers, or itself when it did not stop in time.
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
