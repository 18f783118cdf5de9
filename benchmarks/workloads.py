"""What is measured: the cases of each workload, and the targets set for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Work = Literal["broadcast", "echo"]
# What a target is compared with: the best peer's rate, the limit's, our own bare
# application's, or (the one that must stay below) the latency itself.
Measure = Literal["x peer", "x limit", "x bare", "p99 ms"]

PROJECT = "benchmarks.project.asgi:application"
BARE = "benchmarks.project.bare:application"


@dataclass(frozen=True)
class Target:
    server: str
    measure: Measure
    value: float

    def is_met(self, figure: float) -> bool:
        return figure <= self.value if self.measure == "p99 ms" else figure >= self.value

    def __str__(self) -> str:
        sign = "<=" if self.measure == "p99 ms" else ">="
        return f"{self.measure} {sign} {self.value:g}"


@dataclass(frozen=True)
class Case:
    """One table of the report: the same work for every server."""

    name: str
    workload: str
    work: Work
    connections: int
    size: int
    burst: int = 1
    application: str = PROJECT
    path: str = "/member/"
    quick: bool = False
    targets: tuple[Target, ...] = ()

    @property
    def trigger(self) -> str:
        return f"/trigger/{self.burst}/{self.size}/"


def _broadcast(members: int, size: int, burst: int) -> Case:
    label = f"{size} B" if size < 1024 else f"{size // 1024} KB"
    flight = "one in flight" if burst == 1 else f"bursts of {burst}"
    first = size == 100 and burst == 1
    return Case(
        name=f"W1 broadcast, N={members}, {label}, {flight}",
        workload="W1",
        work="broadcast",
        connections=members,
        size=size,
        burst=burst,
        quick=first,
        targets=_broadcast_targets(members, first),
    )


def _broadcast_targets(members: int, first: bool) -> tuple[Target, ...]:
    targets = [Target("fast lane", "x limit", 0.8)]
    if members >= 1000:
        targets.append(Target("ours", "x peer", 60 if members >= 5000 else 15))
    if members == 1000 and first:
        targets.append(Target("ours", "p99 ms", 25))
    return tuple(targets)


ECHOES = (
    Case(
        name="W2 echo, AsyncWebsocketConsumer",
        workload="W2",
        work="echo",
        connections=50,
        size=100,
        path="/echo/async/",
        quick=True,
        targets=(
            Target("ours", "x peer", 4),
            Target("ours", "x bare", 0.85),
            Target("ours", "p99 ms", 2),
        ),
    ),
    Case(
        name="W2 echo, WebsocketConsumer",
        workload="W2",
        work="echo",
        connections=50,
        size=100,
        path="/echo/sync/",
        targets=(Target("ours", "x peer", 4),),
    ),
    Case(
        name="W2 echo, bare ASGI application",
        workload="W2",
        work="echo",
        connections=50,
        size=100,
        application=BARE,
        path="/",
        quick=True,
        targets=(Target("ours", "x peer", 1.3), Target("ours", "x limit", 0.7)),
    ),
)


def cases(members: int, quick: bool, only: str | None) -> list[Case]:
    """List the cases of a run; `only` is a workload's name."""
    broadcasts = [_broadcast(members, size, burst) for burst in (1, 10) for size in (100, 1024)]
    chosen = [case for case in (*broadcasts, *ECHOES) if only in (None, case.workload)]
    return [case for case in chosen if case.quick] if quick else chosen
