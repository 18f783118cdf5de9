"""The event loop and the limits of the process the server runs in."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Final

logger = logging.getLogger("channels.server")


# Objects that may be made, net, before the youngest are looked through. Python's
# own 700 has a broadcast to 1,000 sockets interrupted several times, and now and
# then by a look at every object there is: 20 ms at 1,000 sockets (W1, p99).
YOUNG_OBJECTS: Final = 10_000
OLDER_ROUNDS: Final = (20, 100)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where there is one (not on Windows), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def close_event_loop(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Cancel what is left and close the loop.

    asyncio.Runner waits for cancelled tasks without a limit: one that refuses would
    keep a process alive that was told to stop.
    """
    try:
        loop.run_until_complete(_cancel_all(seconds))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _cancel_all(seconds: float) -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, refusing = await asyncio.wait(tasks, timeout=seconds)
    if refusing:
        logger.error("%d task(s) ignored being cancelled and were left behind.", len(refusing))


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one; each socket takes a descriptor."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError) as error:
        # macOS answers "unlimited" and refuses it.
        logger.warning("The limit of open files stays at %d: %s", soft, error)


def calm_garbage_collection() -> None:
    """Collect less often, and never look again at what the application loaded at its start.

    Only where nobody has chosen thresholds, and for a process that is all ours.
    """
    if gc.get_threshold()[0] not in (700, 2000):
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *OLDER_ROUNDS)
