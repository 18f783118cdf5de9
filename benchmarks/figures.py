"""From samples to figures: medians, spread, ratios, and whether the targets are met. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .servers import Server
from .workloads import BARE, Case, Target

# Above this share of its core the load generator may be what was measured.
BUSY_LOAD = 0.9
# Others taking more than this of a core take it from the server or from the load.
BUSY_OTHERS = 0.25


@dataclass(frozen=True)
class Verdict:
    target: Target
    figure: float | None
    by_cpu: float | None = None

    @property
    def met(self) -> bool:
        return self.figure is not None and self.target.is_met(self.figure)


@dataclass
class Figure:
    """One row: the medians of one server in one case."""

    server: str
    peer: bool
    errors: list[str]
    rate: float = 0.0
    spread: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    load_share: float = 0.0
    # Microseconds of the server's CPU time per message.
    cpu_us: float = 0.0
    others_share: float = 0.0
    ratios: dict[str, float] = field(default_factory=dict)
    # The same comparisons by CPU time per message: others' work distorts them less.
    cpu_ratios: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def load_was_busy(self) -> bool:
        return self.load_share > BUSY_LOAD

    @property
    def machine_was_busy(self) -> bool:
        return self.others_share > BUSY_OTHERS


Table = tuple[Case, list[Figure]]


def tables(
    cases: Iterable[Case], servers: Iterable[Server], samples: dict[tuple[str, str], list[Any]]
) -> list[Table]:
    """Make one table per case, with ratios and verdicts filled in."""
    result: list[Table] = []
    for case in cases:
        rows = [
            _figure(server, samples[case.name, server.name])
            for server in servers
            if (case.name, server.name) in samples
        ]
        result.append((case, rows))
    bare = next((_row(rows, "ours") for case, rows in result if case.application == BARE), None)
    for case, rows in result:
        _fill_ratios(rows, bare if case.work == "echo" and case.application != BARE else None)
        _fill_verdicts(case, rows)
    return result


def _figure(server: Server, samples: list[Any]) -> Figure:
    errors = [sample["error"] for sample in samples if "error" in sample]
    good = [sample for sample in samples if "error" not in sample]
    figure = Figure(server.name, server.is_peer, errors)
    if not good:
        return figure

    def middle(key: str) -> float:
        return float(median(sample[key] for sample in good))

    rates = [sample["rate"] for sample in good]
    figure.rate = middle("rate")
    figure.spread = (max(rates) - min(rates)) / figure.rate
    figure.p50_ms, figure.p99_ms = middle("p50_ms"), middle("p99_ms")
    figure.cpu_us = median(s["server_cpu"] / s["messages"] for s in good) * 1e6
    figure.load_share, figure.others_share = middle("load_share"), middle("others_share")
    return figure


def _row(rows: list[Figure], name: str) -> Figure | None:
    return next((row for row in rows if row.server == name), None)


def _fill_ratios(rows: list[Figure], bare: Figure | None) -> None:
    peers = [row for row in rows if row.peer]
    references = {
        "x peer": max(peers, key=lambda row: row.rate, default=None),
        "x limit": _row(rows, "limit"),
        "x bare": bare,
    }
    for row in rows:
        for name, reference in references.items():
            if name != "x bare" or row.server == "ours":
                _compare(row, name, reference)


def _compare(row: Figure, name: str, reference: Figure | None) -> None:
    if reference is not None and reference.rate and row.rate:
        row.ratios[name] = row.rate / reference.rate
        if row.cpu_us and reference.cpu_us:
            row.cpu_ratios[name] = reference.cpu_us / row.cpu_us


def _fill_verdicts(case: Case, rows: list[Figure]) -> None:
    for row in rows:
        row.verdicts = [_verdict(row, t) for t in case.targets if t.server == row.server]


def _verdict(row: Figure, target: Target) -> Verdict:
    if target.measure == "p99 ms":
        return Verdict(target, row.p99_ms if row.rate else None)
    return Verdict(target, row.ratios.get(target.measure), row.cpu_ratios.get(target.measure))
