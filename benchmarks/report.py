"""The figures as people read them: an aligned table on a terminal, Markdown, and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from .figures import BUSY_LOAD, BUSY_OTHERS, Figure, Table

RATIOS = ("x peer", "p99 x peer", "x limit", "x bare", "CPU x one")
GREEN, RED, YELLOW, BOLD, DIM, PLAIN = (f"\033[{code}m" for code in (32, 31, 33, 1, 2, 0))
NOTES = (
    "CPU us: CPU time of the server (W6: of both processes) per message; what other programs"
    " distort least.",
    "broker us: CPU time beside it, per message, of redis-server or of the process that hosts"
    " our bus (under `--workers` that is the supervisor, and counted with the server).",
    "probes: messages sent after all members had joined, until the last of them saw one.",
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
        cells = _lines(rows)
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
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


def _lines(rows: list[Figure]) -> list[list[str]]:
    """The head of a table and its rows, without the columns that none of them fills."""
    cells = [_cells(row) for row in rows]
    columns = [name for name in _COLUMNS if any(line.get(name) for line in cells)]
    return [columns, *([line.get(name, "") for name in columns] for line in cells)]


_COLUMNS = (
    *("server", "per second", "spread", "p50 ms", "p99 ms", *RATIOS),
    *("CPU us", "broker us", "sockets", "probes", "load core", "others"),
)


def _cells(row: Figure) -> dict[str, str]:
    if not row.rate:
        return {"server": row.server, "per second": "failed"}
    return {
        "server": row.server,
        "per second": f"{row.rate:,.0f}",
        "spread": f"{row.spread:.0%}",
        "p50 ms": f"{row.p50_ms:.2f}",
        "p99 ms": f"{row.p99_ms:.2f}",
        **{name: f"{ratio:.2f}" for name, ratio in row.ratios.items()},
        "CPU us": f"{row.cpu_us:.1f}",
        "broker us": f"{row.broker_us:.1f}" if row.broker_us else "",
        "sockets": " + ".join(map(str, row.sockets)),
        "probes": str(row.probes) if row.probes > 1 else "",
        "load core": _marked(row.load_share, row.load_was_busy, "*") if row.load_share else "",
        "others": _marked(row.others_share, row.machine_was_busy, "!"),
    }


def _marked(share: float, doubtful: bool, mark: str) -> str:
    return f"{share:.2f}{mark if doubtful else ''}"


def _aligned(cells: list[str], widths: list[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  " + "  ".join([first, *rest])


def markdown(record: dict[str, Any], tables: list[Table]) -> str:
    lines = ["# Benchmarks", ""]
    lines += [f"- {name}: {value}" for name, value in record["machine"].items()]
    for case, rows in tables:
        head, *cells = _lines(rows)
        lines += ["", f"## {case.name}", "", _row(head), _row(["---"] * len(head))]
        lines += [_row(line) for line in cells]
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
