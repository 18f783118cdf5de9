"""The event loop and the limits of the process the server runs in."""

from __future__ import annotations

import asyncio
import logging

logger = logging.getLogger("channels.server")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop where there is one (not on Windows), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


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
