"""The documentation as data: its pages, code blocks, tables, links and headings.

A block of code may be told how to run by a comment on the line above its fence:

    <!-- raises: TypeError -->        it must raise this
    <!-- file: mysite/asgi.py -->     it is a file of the page's example project
    <!-- append: mysite/settings.py -->   it goes to the end of that file
    <!-- client -->                   it talks to the example project once that is served

A comment that opens with `<!-- check` holds code that no reader sees: it runs in its
place among the blocks and says what those should have done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "channels"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]

_FENCE = re.compile(r"^```(\w*)$")
_MARK = re.compile(r"^<!-- (.*) -->$")
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_CODE_SPAN = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """One fenced block, or one hidden check; `line` is that of its first line of code."""

    page: Path
    line: int
    language: str
    mark: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        opening = lines[number]
        fence = _FENCE.match(opening)
        if fence or opening == "<!-- check":
            end = lines.index("```" if fence else "-->", number + 1)
            before = _MARK.match(lines[number - 1]) if number else None
            code = "\n".join(lines[number + 1 : end]) + "\n"
            language = fence[1] if fence else "check"
            yield Block(page, number + 2, language, before[1] if before else "", code)
            number = end
        number += 1


def prose(page: Path) -> str:
    """The page without its blocks and comments."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
    return re.sub(r"<!--.*?-->", "", text, flags=re.S)


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def code_spans(page: Path) -> list[str]:
    return _CODE_SPAN.findall(prose(page))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.replace(" ", "-") for text in kept}


def table(page: Path, first: str) -> list[list[str]]:
    """The rows of the one table whose first column is headed `first`."""
    found = tables(page, first)
    assert len(found) == 1, f"{page.name} has {len(found)} tables headed {first!r}"
    return found[0]


def tables(page: Path, first: str) -> list[list[list[str]]]:
    """The rows of each table whose first column is headed `first`."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] | None = None
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if rows is None:
            rows = []
            if cells[0] == first:
                found.append(rows)
        elif not set(line) <= set("|-: "):
            rows.append(cells)
    return found


def plain(cell: str) -> str:
    """A cell that is one code span, without its backticks."""
    return cell.removeprefix("`").removesuffix("`")
