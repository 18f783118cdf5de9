"""The figures as people read them: an aligned table on a terminal, Markdown, and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from .figures import BUSY_LOAD, BUSY_OTHERS, Figure, Table

COLUMNS = (
    "server",
    "per second",
    "spread",
    "p50 ms",
    "p99 ms",
    "x peer",
    "x limit",
    "x bare",
    "CPU us",
    "load core",
    "others",
)
GREEN, RED, YELLOW, BOLD, DIM, PLAIN = (f"\033[{code}m" for code in (32, 31, 33, 1, 2, 0))
NOTES = (
    "CPU us: CPU time of the server per message; what other programs distort least.",
    f"load core *: the load generator had over {BUSY_LOAD:g} of its core, the server may do more.",
    f"others !: other programs took over {BUSY_OTHERS:g} of a core meanwhile; take it again.",
)


class Terminal:
    """Writes tables and progress; colours only where somebody looks at them."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.coloured = out.isatty()

    def paint(self, text: str, *colours: str) -> str:
        return "".join(colours) + text + PLAIN if self.coloured and colours else text

    def line(self, text: str = "", *colours: str) -> None:
        print(self.paint(text, *colours), file=self.out, flush=True)

    def table(self, table: Table) -> None:
        case, rows = table
        cells = [list(COLUMNS)] + [_cells(row) for row in rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        self.line(f"\n{case.name}", BOLD)
        self.line(_aligned(cells[0], widths), DIM)
        for row, line in zip(rows, cells[1:], strict=True):
            self.line(_aligned(line, widths), *self._row_colours(row))
        for row in rows:
            self._remarks(row)

    def _row_colours(self, row: Figure) -> tuple[str, ...]:
        if not row.rate:
            return (RED,)
        return () if row.peer or row.server == "limit" else (BOLD,)

    def _remarks(self, row: Figure) -> None:
        for error in row.errors:
            self.line(f"  {row.server} failed: {error}", RED)
        for verdict in row.verdicts:
            text = f"  {row.server}: target {verdict.target}, {_verdict_text(verdict)}"
            self.line(text, GREEN if verdict.met else RED)


def _verdict_text(verdict: Any) -> str:
    if verdict.figure is None:
        return "not taken"
    by_cpu = f" ({verdict.by_cpu:.2f} by CPU time)" if verdict.by_cpu else ""
    return f"{verdict.figure:.2f}{by_cpu}: {'met' if verdict.met else 'MISSED'}"


def _cells(row: Figure) -> list[str]:
    if not row.rate:
        return [row.server, "failed", *[""] * (len(COLUMNS) - 2)]
    ratios = [f"{row.ratios[name]:.2f}" if name in row.ratios else "" for name in COLUMNS[5:8]]
    return [
        row.server,
        f"{row.rate:,.0f}",
        f"{row.spread:.0%}",
        f"{row.p50_ms:.2f}",
        f"{row.p99_ms:.2f}",
        *ratios,
        f"{row.cpu_us:.1f}",
        f"{row.load_share:.2f}{'*' if row.load_was_busy else ''}",
        f"{row.others_share:.2f}{'!' if row.machine_was_busy else ''}",
    ]


def _aligned(cells: list[str], widths: list[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  " + "  ".join([first, *rest])


def markdown(record: dict[str, Any], tables: list[Table]) -> str:
    lines = ["# Benchmarks", ""]
    lines += [f"- {name}: {value}" for name, value in record["machine"].items()]
    for case, rows in tables:
        lines += ["", f"## {case.name}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        lines += [_row(_cells(row)) for row in rows]
        lines += [""] + [
            f"- {row.server}: target {verdict.target}, {_verdict_text(verdict)}"
            for row in rows
            for verdict in row.verdicts
        ]
    lines += ["", *(f"- {note}" for note in NOTES), "", "## Command lines", ""]
    lines += [f"- {name}: `{command}`" for name, command in record["commands"].items()]
    return "\n".join(lines) + "\n"


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def save(record: dict[str, Any], tables: list[Table], folder: Path) -> Path:
    """Write the record as JSON and Markdown, and answer the path of the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = [
        {"case": asdict(case), "figures": [asdict(r) for r in rows]} for case, rows in tables
    ]
    name = str(record["machine"]["date"]).replace(":", "").replace("+0000", "Z")
    (folder / f"{name}.md").write_text(markdown(record, tables))
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**record, "tables": figures}, indent=1) + "\n")
    return path
