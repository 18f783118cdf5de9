"""The report of `channels doctor`, for people and for programs."""

from __future__ import annotations

import io
import json
import os
import re

from channels.doctor import is_error
from channels.doctor.findings import Finding, Level, Place
from channels.doctor.report import Shape, as_values, lines, shape_of

FINDINGS = [
    Finding(Level.OK, "Django", "5.2"),
    Finding(
        Level.WARNING,
        "INSTALLED_APPS",
        "daphne is among them, " + "and " * 12 + "so on.",
        "Take out this line:",
        '"daphne",',
        Place("settings.py", 3, '"daphne",'),
    ),
]


def test_the_report_is_a_table_whose_lines_of_code_are_whole() -> None:
    assert list(lines("mysite.settings", FINDINGS, Shape(width=76)))[1:] == [
        "",
        "ok       Django          5.2",
        "warning  INSTALLED_APPS  daphne is among them, and and and and and and and",
        "                         and and and and and so on.",
        "                         settings.py, line 3: Take out this line:",
        '                             "daphne",',
        "",
        "1 warning.",
    ]


def test_colours_are_for_terminals_that_want_them() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert shape_of(Terminal(), {}).coloured == (os.name != "nt")
    assert not shape_of(Terminal(), {"NO_COLOR": "1"}).coloured
    assert not shape_of(Terminal(), {"TERM": "dumb"}).coloured
    assert not shape_of(io.StringIO(), {}).coloured
    coloured = "\n".join(lines("settings", FINDINGS, Shape(76, coloured=True)))
    plain = "\n".join(lines("settings", FINDINGS, Shape(76)))
    assert "\x1b[33mwarning\x1b[0m  INSTALLED_APPS" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_the_values_for_programs_are_those_of_the_table() -> None:
    told = json.loads(json.dumps(as_values("mysite.settings", FINDINGS)))
    assert told["settings"] == "mysite.settings"
    assert told["findings"][0]["file"] is None
    assert told["findings"][1] == {
        "level": "warning",
        "subject": "INSTALLED_APPS",
        "text": FINDINGS[1].text,
        "advice": "Take out this line:",
        "code": '"daphne",',
        "file": "settings.py",
        "line": 3,
    }


def test_only_errors_are_errors() -> None:
    assert not any(map(is_error, FINDINGS))
    assert is_error(FINDINGS[0]._replace(level=Level.ERROR))
