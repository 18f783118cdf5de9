"""What a supervisor and its worker tell each other: JSON objects, one a line.

A worker says `ready`, `alive` each second, `retire` (it wants a successor), `ask`
(something of its supervisor), and `done` when its loop is over. It hears `answer`
to what it asked, `drain` and `force`. Nothing here reads or writes; both ends do
that in their own way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

# The environment variable in which a worker finds its descriptors.
VARIABLE: Final = "CHANNELS_WORKER"
# A line says who is meant and where a thing is, never what it contains.
LONGEST: Final = 65536


class LinkError(ValueError):
    """What came over a link is no line of ours, or too long for one."""


def encode(message: Mapping[str, Any]) -> bytes:
    data = json.dumps(message).encode() + b"\n"
    if len(data) > LONGEST:
        raise LinkError(
            f"What a worker and its supervisor tell each other is at most {LONGEST} bytes, "
            f"but this is {len(data)}: {message!r:.80}."
        )
    return data


class Lines:
    """Makes messages of the bytes that come over a link."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are complete with `data`; LinkError if that cannot become one."""
        *lines, self._data = (self._data + data).split(b"\n")
        for line in lines:
            yield _decode(line)
        if len(self._data) > LONGEST:
            raise LinkError(f"A line of over {LONGEST} bytes came: {self._data[:40]!r}...")


def _decode(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise LinkError(f"This is no JSON: {line[:80]!r}.") from error
    if not isinstance(message, dict):
        raise LinkError(f"A message is a JSON object, but this came: {line[:80]!r}.")
    return message
