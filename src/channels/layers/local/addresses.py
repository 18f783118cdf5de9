"""Which process a channel belongs to: its name says so.

`specific.local-abcdefghijkl!mnopqrstuvwx` is read by node `abcdefghijkl` alone.
Every other name is a named channel, whose messages any process may take.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from ..names import random_letters

_OWNED: Final = re.compile(r"(?:\A|\.)local-([A-Za-z]{12})!")


def new_node() -> str:
    """An id that no other process has."""
    return random_letters(12)


def channel_of_node(node: str, prefix: str) -> str:
    """A new channel name that belongs to `node`."""
    separator = "" if not prefix or prefix.endswith(".") else "."
    return f"{prefix}{separator}local-{node}!{random_letters(12)}"


# A microsecond, twice for each message: senders mostly go on with whom they speak to.
@functools.lru_cache(maxsize=4096)
def node_of_channel(channel: str) -> str | None:
    """The node that a channel belongs to; None for a named channel."""
    if "!" not in channel:
        return None
    owned = _OWNED.search(channel)
    return owned[1] if owned else None
