"""Findings as lines for people and as values for programs."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TextIO

from .. import __version__
from .findings import Finding, Level

COLOURS: Final = {Level.OK: 32, Level.HINT: 36, Level.WARNING: 33, Level.ERROR: 31}
# Lines that are longer are hard to read.
WIDEST: Final = 110
NARROWEST: Final = 60
# The gap between columns.
_GAP: Final = "  "


class Shape(NamedTuple):
    """How wide lines are, and whether they are coloured."""

    width: int = WIDEST
    coloured: bool = False


def shape_of(stream: TextIO, environment: Mapping[str, str]) -> Shape:
    """Colours are for terminals; NO_COLOR with any value turns them off (no-color.org)."""
    if not stream.isatty():
        return Shape()
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))
    plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb" or os.name == "nt"
    return Shape(width, not plain)


def lines(settings: str, findings: Sequence[Finding], shape: Shape) -> Iterator[str]:
    """A table of all findings, and a sentence that sums them up."""
    yield f"Channels {__version__} looks at {settings}"
    yield ""
    column = max(len(finding.subject) for finding in findings)
    for finding in findings:
        yield from _row(finding, column, shape)
    yield ""
    yield _sum(findings)


def _row(finding: Finding, column: int, shape: Shape) -> Iterator[str]:
    level = f"{finding.level.value:<7}"
    if shape.coloured:
        level = f"\x1b[{COLOURS[finding.level]}m{level}\x1b[0m"
    beginning = f"{level}{_GAP}{finding.subject:<{column}}{_GAP}"
    indent = " " * (len("warning") + column + 2 * len(_GAP))
    told = _wrapped(finding.text, shape.width - len(indent))
    yield f"{beginning}{told[0]}"
    yield from (f"{indent}{line}" for line in told[1:])
    if finding.advice:
        advice = _wrapped(_where(finding) + finding.advice, shape.width - len(indent))
        yield from (f"{indent}{line}" for line in advice)
    if finding.code:
        # Not wrapped, so that it can be copied.
        yield f"{indent}    {finding.code}"


def _where(finding: Finding) -> str:
    return f"{finding.place.file}, line {finding.place.line}: " if finding.place else ""


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _sum(findings: Sequence[Finding]) -> str:
    count = Counter(finding.level for finding in findings)
    told = [
        f"{count[level]} {level.value}{'s' if count[level] > 1 else ''}"
        for level in (Level.ERROR, Level.WARNING, Level.HINT)
        if count[level]
    ]
    return f"{', '.join(told)}." if told else "All is well."


def as_values(settings: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what JSON can say of the findings."""
    return {"settings": settings, "findings": [_values(finding) for finding in findings]}


def _values(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "level": finding.level.value,
        "subject": finding.subject,
        "text": finding.text,
        "advice": finding.advice,
        "code": finding.code,
        "file": place.file if place else None,
        "line": place.line if place else None,
    }
