"""What the doctor says: one finding for each thing it looked at."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from ..management.masking import masked


class Level(Enum):
    OK = "ok"
    # Works, and something would be better.
    HINT = "hint"
    # Works, and not as somebody expects.
    WARNING = "warning"
    # Does not work.
    ERROR = "error"


class Place(NamedTuple):
    """A line of a project's code."""

    file: str
    line: int
    text: str


class Finding(NamedTuple):
    """`advice` is a sentence; `code` is the line it speaks of: to write, or to take out."""

    level: Level
    subject: str
    text: str
    advice: str = ""
    code: str = ""
    place: Place | None = None


Findings = Iterator[Finding]


def is_error(finding: Finding) -> bool:
    return finding.level is Level.ERROR


def without_secrets(finding: Finding) -> Finding:
    """Return a finding as anybody may read it."""
    place = finding.place and finding.place._replace(text=masked(finding.place.text))
    return finding._replace(
        text=masked(finding.text),
        advice=masked(finding.advice),
        code=masked(finding.code),
        place=place,
    )
