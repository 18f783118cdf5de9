"""The one place where tests look again and again.

Most of what a test waits for tells it: an event, an answer, the end of a thread. The
state of another process, or of a server that others look at, tells nobody; it is
looked at until it is so, or until a deadline that only a failing test reaches. Here is
also the one place where time is let pass: a load that lasts, a stop that must not count.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Long enough for a machine that is busy with other things.
WITHIN = 20.0
BETWEEN_LOOKS = 0.005
# Where a look is a connection to a process that is starting, and needs the processor itself.
BETWEEN_TRIES = 0.05


def wait_until(
    condition: Callable[[], Any],
    what: str = "it",
    seconds: float = WITHIN,
    between: float = BETWEEN_LOOKS,
) -> Any:
    """Return the first true answer of `condition`."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(between)
    return answer


async def turns_until(condition: Callable[[], Any], seconds: float = WITHIN) -> None:
    """Let the loop turn until `condition()` is true: of what in this loop tells nobody."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


def let_pass(seconds: float, why: str) -> None:
    """Let real time pass, where what it does to other processes is what is shown."""
    assert why
    time.sleep(seconds)


async def meanwhile(seconds: float, why: str) -> None:
    """As `let_pass`, while the other tasks of the loop go on."""
    assert why
    await asyncio.sleep(seconds)


@contextmanager
def at_most(process: subprocess.Popen[Any], seconds: float = 60.0) -> Iterator[None]:
    """Kill a process that takes longer: who waits for its next line then reads the end."""
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
