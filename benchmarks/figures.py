"""From samples to figures: medians, spread, ratios, and whether the targets are met. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .runner import Side
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
    """One row: the medians of one side in one case."""

    server: str
    peer: bool
    errors: list[str]
    rate: float = 0.0
    spread: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    load_share: float = 0.0
    # Microseconds of the server's CPU time per message, and of what it stands on.
    cpu_us: float = 0.0
    broker_us: float = 0.0
    # Of each process, the most first.
    sockets: list[int] = field(default_factory=list)
    # The most messages that members had to be sent after they had joined, until all saw one.
    probes: int = 0
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
    cases: Iterable[Case], sides: Iterable[Side], samples: dict[tuple[str, str], list[Any]]
) -> list[Table]:
    """Make one table per case, with ratios and verdicts filled in."""
    result: list[Table] = []
    for case in cases:
        rows = [
            _figure(side, samples[case.name, side.name])
            for side in sides
            if (case.name, side.name) in samples
        ]
        result.append((case, rows))
    bare = next((_row(rows, "ours") for case, rows in result if case.application == BARE), None)
    for case, rows in result:
        _fill_ratios(rows, bare if case.work == "echo" and case.application != BARE else None)
        _fill_baselines(rows, sides)
        _fill_verdicts(case, rows)
    return result


def _figure(side: Side, samples: list[Any]) -> Figure:
    errors = [sample["error"] for sample in samples if "error" in sample]
    good = [sample for sample in samples if "error" not in sample]
    figure = Figure(side.name, side.is_peer, errors)
    if not good:
        return figure

    def middle(key: str) -> float:
        return float(median(sample[key] for sample in good))

    rates = [sample["rate"] for sample in good]
    figure.rate = middle("rate")
    figure.spread = (max(rates) - min(rates)) / figure.rate
    figure.p50_ms, figure.p99_ms = middle("p50_ms"), middle("p99_ms")
    figure.cpu_us = median(s["server_cpu"] / s["messages"] for s in good) * 1e6
    figure.broker_us = median(s.get("broker_cpu", 0.0) / s["messages"] for s in good) * 1e6
    figure.others_share = middle("others_share")
    if "load_share" in good[0]:
        figure.load_share = middle("load_share")
    figure.sockets = good[-1].get("sockets", [])
    figure.probes = max(sample.get("probes", 0) for sample in good)
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
    best = references["x peer"]
    for row in rows:
        if best is not None and best.p99_ms and row.p99_ms:
            row.ratios["p99 x peer"] = row.p99_ms / best.p99_ms
        for name, reference in references.items():
            if name != "x bare" or row.server == "ours":
                _compare(row, name, reference)


def _fill_baselines(rows: list[Figure], sides: Iterable[Side]) -> None:
    baselines = {side.name: side.baseline for side in sides}
    for row in rows:
        baseline = _row(rows, baselines[row.server] or "")
        if baseline is not None and baseline.cpu_us and row.cpu_us:
            row.ratios["CPU x one"] = row.cpu_us / baseline.cpu_us


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
