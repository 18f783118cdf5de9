"""Takes the figures: every server in turn, again and again, so that all see the same machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import machine
from .servers import Running, Server, StartError, running
from .workloads import Case

Sample = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    cases: tuple[Case, ...]
    servers: tuple[Server, ...]
    repeats: int
    seconds: float
    warmup: float
    python: str
    spin: bool = True
    deadline: float = 30.0

    def turns(self) -> Iterator[tuple[Case, Server]]:
        """Interleave: a whole round of all servers before anyone has a second turn.

        Each round starts with another server, so that none is always first.
        """
        for repeat in range(self.repeats):
            for case in self.cases:
                takers = [server for server in self.servers if server.takes(case)]
                first = repeat % max(len(takers), 1)
                for server in takers[first:] + takers[:first]:
                    yield case, server

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "servers": [server.name for server in self.servers]}


def take(
    plan: Plan, generator: Path, report: Callable[[Case, Server, Sample], None]
) -> dict[tuple[str, str], list[Sample]]:
    """Run the whole plan; `report` is told of every sample as it is taken."""
    samples: dict[tuple[str, str], list[Sample]] = {}
    for case, server in plan.turns():
        sample = measure(plan, generator, case, server)
        samples.setdefault((case.name, server.name), []).append(sample)
        report(case, server, sample)
    return samples


def measure(plan: Plan, generator: Path, case: Case, server: Server) -> Sample:
    """Take one sample from a fresh server; one that fails answers {"error": ...}."""
    server_core, load_core = machine.cores()
    try:
        with running(server, case, server_core, plan.python) as under_test:
            command = _load_command(plan, generator, case, server, under_test)
            before = machine.usage(under_test.process_group)
            sample = _drive(["taskset", "-c", str(load_core), *command], plan)
            others = machine.others_share(before, machine.usage(under_test.process_group))
            return sample if "error" in sample else sample | {"others_share": others}
    except StartError as error:
        return {"error": str(error)}


def _load_command(
    plan: Plan, generator: Path, case: Case, server: Server, under_test: Running
) -> list[str]:
    options = {
        "port": under_test.port,
        "connections": case.connections,
        "size": case.size,
        "burst": case.burst,
        "path": server.path(case),
        "trigger": case.trigger,
        "spin": int(plan.spin),
        "watch": ",".join(map(str, machine.processes(under_test.process_group))),
        "seconds": plan.seconds,
        "warmup": plan.warmup,
        "deadline": plan.deadline,
    }
    pairs = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [str(generator), case.work, *pairs]


def _drive(command: list[str], plan: Plan) -> Sample:
    # Handshakes and the last round may each take the deadline; beyond that it hangs.
    limit = plan.seconds + plan.warmup + 4 * plan.deadline
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if done.returncode != 0:
        return {"error": done.stderr.strip() or f"the load generator ended with {done.returncode}"}
    sample: Sample = json.loads(done.stdout)
    return sample
