"""What a channel or a group may be called, and names that no one else has.

The rules are those every channel layer shares, so that a project can move from
one to another: ASCII, shorter than 100 characters, and for channels one "!"
before the part that belongs to a process. Checking a name costs half a
microsecond; layers check names they have not seen, not every message.
"""

from __future__ import annotations

import os
import re
import string
from typing import Final

MAX_NAME_LENGTH: Final = 100
CHANNEL_NAME: Final = re.compile(r"^[a-zA-Z\d\-_.]+(\![\d\w\-_.]*)?\Z", re.ASCII)
GROUP_NAME: Final = re.compile(r"^[a-zA-Z\d\-_.]+\Z", re.ASCII)
# Groups of Channels itself, and what the channels in them begin with: nobody counts
# them among those of the project.
OWN_GROUPS: Final = frozenset({"channels.auth"})
OWN_CHANNELS: Final = "channels.auth."

_ALLOWED: Final = frozenset(string.ascii_letters + string.digits + "-_.")
_LETTERS: Final = (string.ascii_letters * 5)[:256].encode("ascii")


def random_letters(count: int = 12) -> str:
    """Return letters from the system's randomness, which neither a fork nor a seed repeats."""
    return os.urandom(count).translate(_LETTERS).decode("ascii")


def name_problem(name: object, limit: int, *, specific: bool) -> str:
    """Say which rule `name` breaks; `specific`: one "!" is allowed, as in channel names."""
    if not isinstance(name, str):
        return f"This one is a {type(name).__name__}: {name!r:.60}."
    if not name:
        return "This one is empty."
    if len(name) >= limit:
        return f"This one has {len(name)} characters: {name!r:.60}."
    return _character_problem(name, specific)


def _character_problem(name: str, specific: bool) -> str:
    marks = 0
    for position, character in enumerate(name):
        if character == "!" and specific and position and not marks:
            marks = 1
        elif character not in _ALLOWED:
            return f"This one has {character!r} at position {position}: {name!r:.60}."
    return f"This one is {name!r:.60}."
