"""Where the log and the access log of a served application go."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import IO, Any

from .parser import CommandError

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


@contextlib.contextmanager
def open_access_log(path: str | None) -> Iterator[IO[str] | None]:
    if path is None or path == "-":
        yield None if path is None else sys.stdout
        return
    try:
        stream = open(path, "a", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"Cannot write the access log {path!r}: {error.strerror}.") from error
    with stream:
        yield stream


def make_action(stream: IO[str] | None) -> Any:
    from ..server.access import AccessLog

    return None if stream is None else AccessLog(stream)


def set_up_logging(level: str) -> None:
    """Show our own records on stderr, unless the application has set up logging for them."""
    logger = logging.getLogger("channels")
    logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
