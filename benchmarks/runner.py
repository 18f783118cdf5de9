"""Takes the figures: every side in turn, again and again, so that all see the same machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import machine, stations
from .layers import Layer
from .processes import StartError
from .servers import Running, Server, running
from .workloads import Case

Sample = dict[str, Any]
# What has a row in a table.
Side = Server | Layer


@dataclass(frozen=True)
class Plan:
    cases: tuple[Case, ...]
    sides: tuple[Side, ...]
    repeats: int
    seconds: float
    warmup: float
    python: str
    spin: bool = True
    share_cores: bool = False
    deadline: float = 30.0

    def turns(self) -> Iterator[tuple[Case, Side]]:
        """Interleave: a whole round of all sides before anyone has a second turn.

        Each round starts with another server, so that none is always first.
        """
        for repeat in range(self.repeats):
            for case in self.cases:
                takers = [side for side in self.sides if side.takes(case)]
                first = repeat % max(len(takers), 1)
                for side in takers[first:] + takers[:first]:
                    yield case, side

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sides": [side.name for side in self.sides]}


def take(
    plan: Plan, generator: Path, report: Callable[[Case, Side, Sample], None]
) -> dict[tuple[str, str], list[Sample]]:
    """Run the whole plan; `report` is told of every sample as it is taken."""
    samples: dict[tuple[str, str], list[Sample]] = {}
    for case, side in plan.turns():
        sample = measure(plan, generator, case, side)
        samples.setdefault((case.name, side.name), []).append(sample)
        report(case, side, sample)
    return samples


def measure(plan: Plan, generator: Path, case: Case, side: Side) -> Sample:
    """Take one sample from fresh processes; one that fails answers {"error": ...}."""
    if isinstance(side, Server):
        return _measure_server(plan, generator, case, side)
    limits = {"seconds": plan.seconds, "warmup": plan.warmup, "deadline": plan.deadline}
    return stations.measure(case, side, plan.python, limits)


def _measure_server(plan: Plan, generator: Path, case: Case, server: Server) -> Sample:
    server_cores, load_core = _cores(plan, case)
    try:
        with running(server, case, server_cores, plan.python) as under_test:
            groups = (under_test.process_group, *under_test.brokers)
            command = _load_command(plan, generator, case, server, under_test)
            before = machine.usage(groups)
            sample = _drive(["taskset", "-c", load_core, *command], plan)
            others = machine.others_share(before, machine.usage(groups))
            if "error" in sample:
                return sample
            return _shared_out(sample, server, under_test) | {"others_share": others}
    except StartError as error:
        return {"error": str(error)}


def _cores(plan: Plan, case: Case) -> tuple[str, str]:
    if case.workload != "W7":
        return machine.cores()
    if plan.share_cores:
        return machine.all_cores(), machine.all_cores()
    return machine.cores(processes=2)


def _shared_out(sample: Sample, server: Server, under_test: Running) -> Sample:
    """Tell the server's CPU time from its brokers', and who of its processes had the sockets."""
    watched = sample.pop("watched")
    own = watched[: len(watched) - len(under_test.brokers)]
    sample["server_cpu"] = sum(process["cpu"] for process in own)
    sample["broker_cpu"] = sum(process["cpu"] for process in watched[len(own) :])
    if server.processes == 1:
        return sample
    sockets = sorted((process["sockets"] for process in own), reverse=True)[: server.processes]
    if sockets[-1] < sum(sockets) / 20:
        return {"error": f"the sockets did not spread: its processes have {sockets}"}
    return sample | {"sockets": sockets}


def _load_command(
    plan: Plan, generator: Path, case: Case, server: Server, under_test: Running
) -> list[str]:
    watched = [*machine.processes(under_test.process_group), *under_test.brokers]
    options = {
        "port": under_test.port,
        "connections": case.connections,
        "size": case.size,
        "burst": case.burst,
        "path": server.path(case),
        "trigger": case.trigger,
        "spin": int(plan.spin and not (plan.share_cores and case.workload == "W7")),
        "watch": ",".join(map(str, watched)),
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
