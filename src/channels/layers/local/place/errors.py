"""What stands in the way of the bus, in sentences that say what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ....exceptions import ChannelsError


class BusError(ChannelsError):
    """The bus of this machine's processes cannot be used safely; the text says why."""


class BusTimeout(BusError):
    """Somebody hosts the bus, but did not take the connection in time."""


@contextmanager
def explained(doing: str, advice: str) -> Iterator[None]:
    """Make of an error of the system one that says what could not be done, and what to do."""
    try:
        yield
    except OSError as error:
        raise BusError(f"Cannot {doing}: {error.strerror or error}. {advice}") from error
