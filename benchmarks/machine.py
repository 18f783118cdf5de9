"""What the figures were taken on, and who else was using it meanwhile (Linux: /proc)."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import subprocess
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from .environments import ROOT

TICKS = os.sysconf("SC_CLK_TCK")


# Python mixed as it is in a consumer. Its time says how fast this build on this machine
# was: builds of the same version differ, and so does a machine from hour to hour.
_YARDSTICK = """
import json, timeit
event = {"type": "chat.message", "message": "x" * 80}
times = timeit.repeat(lambda: json.dumps(dict(event)), number=20000, repeat=5)
print(round(min(times) / 20000 * 1e9))
"""


def describe(python: str) -> dict[str, object]:
    """Name commit, date and machine, for the record of a run."""
    return {
        "commit": _output(["git", "rev-parse", "--verify", "HEAD"]) or "none",
        "changed": bool(_output(["git", "status", "--porcelain"])),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": _output([python, "--version"]),
        "json.dumps of an event, ns": int(_output([python, "-c", _YARDSTICK])),
    }


def cores(processes: int = 1) -> tuple[str, str]:
    """Choose one core for the load, and one for a server; all others for one of more processes.

    All are the same where there is only one.
    """
    usable = [str(core) for core in sorted(os.sched_getaffinity(0))]
    if processes == 1:
        return usable[0], usable[1 % len(usable)]
    return ",".join(usable[:-1] or usable), usable[-1]


def all_cores() -> str:
    return ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))


def _output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


@dataclass(frozen=True)
class Usage:
    """CPU seconds since start: of the whole machine, a server, and this runner's side."""

    at: float
    machine: float
    server: float
    runner: float


def usage(process_groups: Collection[int]) -> Usage:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    runner = time.process_time() + children.ru_utime + children.ru_stime
    return Usage(time.monotonic(), _machine_cpu(), cpu_of(process_groups), runner)


def others_share(before: Usage, after: Usage) -> float:
    """Answer the share of a core that everybody but server and load had in between."""
    ours = after.server - before.server + after.runner - before.runner
    others = after.machine - before.machine - ours
    # The counters are read one after another: a little below 0 means none.
    return round(max(others / (after.at - before.at), 0.0), 3)


def _machine_cpu() -> float:
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS


def processes(process_group: int) -> list[int]:
    """List the ids of a server and its workers."""
    return [process for process, _ in _members([process_group])]


def cpu_of(process_groups: Collection[int]) -> float:
    """Answer the CPU seconds that servers and their workers have had."""
    return sum(ticks for _, ticks in _members(process_groups)) / TICKS


def _members(process_groups: Collection[int]) -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which may hold spaces: state, parent, group, session ...
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # By session, too: a worker may lead a group of its own.
        if int(fields[2]) in process_groups or int(fields[3]) in process_groups:
            yield int(folder.name), int(fields[11]) + int(fields[12])
