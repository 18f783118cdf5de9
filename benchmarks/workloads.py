"""What is measured: the cases of each workload, and the targets set for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The first two go through sockets, the others through a channel layer alone.
Work = Literal["broadcast", "echo", "group", "channel"]
# What a target is compared with: the best peer's rate, the limit's, our own bare
# application's; and those that must stay below: the latency itself, or beside the
# best peer's, and the CPU time per message beside that of one process.
Measure = Literal["x peer", "x limit", "x bare", "p99 ms", "p99 x peer", "CPU x one"]
BELOW: frozenset[Measure] = frozenset({"p99 ms", "p99 x peer", "CPU x one"})

WORKLOADS = ("W1", "W2", "W6", "W7")
PROJECT = "benchmarks.project.asgi:application"
BARE = "benchmarks.project.bare:application"


@dataclass(frozen=True)
class Target:
    server: str
    measure: Measure
    value: float

    def is_met(self, figure: float) -> bool:
        return figure <= self.value if self.measure in BELOW else figure >= self.value

    def __str__(self) -> str:
        sign = "<=" if self.measure in BELOW else ">="
        return f"{self.measure} {sign} {self.value:g}"


@dataclass(frozen=True)
class Case:
    """One table of the report: the same work for every server.

    `connections`: sockets, or channels where there are none. `processes`: how many
    of them the channels of W6 are spread over.
    """

    name: str
    workload: str
    work: Work
    connections: int
    size: int
    burst: int = 1
    application: str = PROJECT
    path: str = "/member/"
    processes: int = 1
    quick: bool = False
    targets: tuple[Target, ...] = ()

    @property
    def trigger(self) -> str:
        return f"/trigger/{self.burst}/{self.size}/"


def _flight(burst: int) -> str:
    return "one in flight" if burst == 1 else f"bursts of {burst}"


def _broadcast(members: int, size: int, burst: int) -> Case:
    label = f"{size} B" if size < 1024 else f"{size // 1024} KB"
    first = size == 100 and burst == 1
    return Case(
        name=f"W1 broadcast, N={members}, {label}, {_flight(burst)}",
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


# W6: the local layer's are those of Redis and above; one channel, twice them.
_TWO_PROCESSES = {
    "group": (Target("ours local", "x peer", 3), Target("ours local", "p99 x peer", 1)),
    "channel": (Target("ours local", "x peer", 6),),
}
_ONE_PROCESS = {
    "group": (Target("ours in memory", "x peer", 100),),
    "channel": (Target("ours in memory", "x peer", 2),),
}


def _group(members: int, processes: int, burst: int) -> Case:
    targets = _ONE_PROCESS if processes == 1 else _TWO_PROCESSES
    return Case(
        name=f"W6 group of {members}, {_processes(processes)}, {_flight(burst)}",
        workload="W6",
        work="group",
        connections=members,
        size=100,
        burst=burst,
        processes=processes,
        quick=burst == 1,
        targets=targets["group"] if members == 1000 else (),
    )


def _channel(processes: int, burst: int) -> Case:
    # One in flight between two processes is the time of one journey: no target is set for it.
    targets = _ONE_PROCESS if processes == 1 else _TWO_PROCESSES
    return Case(
        name=f"W6 one channel, {_processes(processes)}, {_flight(burst)}",
        workload="W6",
        work="channel",
        connections=1,
        size=100,
        burst=burst,
        processes=processes,
        quick=burst > 1,
        targets=targets["channel"] if burst > 1 else (),
    )


def _processes(count: int) -> str:
    return "in memory" if count == 1 else f"{count} processes"


def _layers(members: int) -> list[Case]:
    groups = [_group(members, processes, burst) for processes in (1, 2) for burst in (1, 10)]
    # Below 100, the capacity of a channel in every layer.
    return [*groups, _channel(1, 50), _channel(2, 50), _channel(2, 1)]


def _workers(members: int, burst: int) -> Case:
    sides = ("ours", "fast lane")
    return Case(
        name=f"W7 broadcast, N={members}, 100 B, {_flight(burst)}",
        workload="W7",
        work="broadcast",
        connections=members,
        size=100,
        burst=burst,
        quick=burst == 1,
        targets=tuple(Target(f"{side}, 2 workers", "CPU x one", 1.3) for side in sides),
    )


def cases(members: int | None, quick: bool, only: str | None) -> list[Case]:
    """List the cases of a run; `only` is a workload's name, `members` replaces every N."""
    n = members or 1000
    every = [
        *(_broadcast(n, size, burst) for burst in (1, 10) for size in (100, 1024)),
        *ECHOES,
        *_layers(n),
        *(_workers(members or 4000, burst) for burst in (1, 10)),
    ]
    chosen = [case for case in every if only in (None, case.workload)]
    return [case for case in chosen if case.quick] if quick else chosen
