"""For development: new workers when the code changes.

What watches is handed in: a function that blocks, and yields what changed. It runs
in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final

logger = logging.getLogger("channels.server")

# Yields the name of something that changed, again and again, until the event is set.
Changes = Callable[[threading.Event], Iterable[str]]
# What watching gets to end; it looks for the event many times in that.
STOP_SECONDS: Final = 5.0


class Watch:
    """Calls `on_change(what)` in the loop for each change, until the end of the block."""

    def __init__(
        self,
        changes: Changes,
        loop: asyncio.AbstractEventLoop,
        on_change: Callable[[str], None],
    ) -> None:
        self._changes = changes
        self._loop = loop
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="channels-reload", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            for what in self._changes(self._stop):
                if not self._stop.is_set():
                    self._loop.call_soon_threadsafe(self._on_change, what)
        except Exception:
            logger.exception("Changes of the code are noticed no more; send SIGHUP instead.")
