"""`python -m benchmarks`: this package beside its peers and the limit, in one run.

Exit status 0 when every figure of ours was taken and every target met, 1 when a
target was missed, 2 when something failed or could not be prepared.
"""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
import time
from typing import Any

from . import machine, report, runner
from .environments import HERE, PreparationError, prepare_generator
from .figures import Table, tables
from .layers import LAYERS, has_redis
from .runner import Side
from .servers import SERVERS
from .workloads import WORKLOADS, Case, cases

SIDES: tuple[Side, ...] = (*SERVERS, *LAYERS)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the main cases, under 10 minutes")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload")
    parser.add_argument(
        "--servers",
        metavar="A,B",
        help="servers and layers, names or their beginnings: ours,uvicorn,channels_redis",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="measured time of each sample")
    parser.add_argument(
        "--members", type=int, help="N (up to 20000; default: 1000 in W1 and W6, 4000 in W7)"
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="interpreter that every server runs on (default: this one)",
    )
    parser.add_argument(
        "--sleep", action="store_true", help="let the load generator sleep while nothing comes"
    )
    parser.add_argument(
        "--share-cores",
        action="store_true",
        help="W7: pin nothing, and let the load generator sleep",
    )
    options = parser.parse_args(arguments)
    if options.members is not None and not 2 <= options.members <= 20000:
        parser.error(f"--members {options.members}: expected 2 to 20000")
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats}: expected 1 or more")
    return options


def chosen_sides(names: str | None) -> tuple[Side, ...]:
    wanted = tuple(name.strip() for name in names.split(",")) if names else ("",)
    chosen = tuple(side for side in SIDES if side.name.startswith(wanted))
    unknown = [name for name in wanted if not any(s.name.startswith(name) for s in SIDES)]
    if unknown:
        known = ", ".join(side.name for side in SIDES)
        raise PreparationError(f"no server or layer is called {unknown[0]!r}; there are: {known}")
    return chosen


def make_plan(options: argparse.Namespace) -> runner.Plan:
    sides = chosen_sides(options.servers)
    if options.quick:
        sides = tuple(side for side in sides if side.quick)
    chosen = cases(options.members, options.quick, options.only)
    return runner.Plan(
        cases=tuple(case for case in chosen if any(side.takes(case) for side in sides)),
        sides=tuple(side for side in sides if any(side.takes(case) for case in chosen)),
        repeats=options.repeats,
        seconds=options.seconds or (1.5 if options.quick else 4.0),
        warmup=0.3 if options.quick else 1.0,
        python=options.python,
        spin=not options.sleep,
        share_cores=options.share_cores,
    )


def without_redis(plan: runner.Plan) -> tuple[runner.Plan, list[str]]:
    """Leave out what cannot be taken where there is no redis-server; answer it too."""
    missing = [side.name for side in plan.sides if side.needs_redis and not has_redis()]
    sides = tuple(side for side in plan.sides if side.name not in missing)
    takers = tuple(case for case in plan.cases if any(side.takes(case) for side in sides))
    return dataclasses.replace(plan, sides=sides, cases=takers), missing


class Progress:
    """One line per sample, with how far the run is."""

    def __init__(self, terminal: report.Terminal, plan: runner.Plan) -> None:
        self.terminal = terminal
        self.total = sum(1 for _ in plan.turns())
        self.done = 0
        self.started = time.monotonic()

    def __call__(self, case: Case, side: Side, sample: runner.Sample) -> None:
        self.done += 1
        left = (time.monotonic() - self.started) / self.done * (self.total - self.done)
        head = f"{self.done:3}/{self.total} {case.name:44} {side.name:25}"
        if "error" in sample:
            self.terminal.line(f"{head} failed: {sample['error'].splitlines()[-1]}", report.RED)
        else:
            figures = f"{sample['rate']:>10,.0f}/s  p99 {sample['p99_ms']:8.2f} ms"
            self.terminal.line(f"{head} {figures}  {left:4.0f} s left")


def command_lines(plan: runner.Plan) -> dict[str, str]:
    return {
        side.name: side.described(case, plan.python)
        for side in plan.sides
        for case in [next(case for case in plan.cases if side.takes(case))]
    }


def run(options: argparse.Namespace) -> int:
    terminal = report.Terminal(sys.stdout)
    plan, missing = without_redis(make_plan(options))
    if not plan.cases:
        raise PreparationError("nothing is left to measure: no chosen side takes a chosen case")
    generator = prepare_generator()
    commands = command_lines(plan)
    for name, command in commands.items():
        terminal.line(f"{name + ':':27}{command}", report.DIM)
    if missing:
        terminal.line(f"left out, for redis-server is not installed: {missing}", report.RED)
    samples = runner.take(plan, generator, Progress(terminal, plan))
    result = tables(plan.cases, plan.sides, samples)
    raw = [{"case": c, "server": s, "samples": taken} for (c, s), taken in samples.items()]
    record: dict[str, Any] = {
        "machine": machine.describe(plan.python),
        "plan": plan.as_dict(),
        "commands": commands,
        "left out": missing,
        "samples": raw,
    }
    show(terminal, result)
    for name, value in record["machine"].items():
        terminal.line(f"{name}: {value}", report.DIM)
    terminal.line(f"\nwritten: {report.save(record, result, HERE / 'results')}")
    return 2 if missing else exit_status(result)


def show(terminal: report.Terminal, result: list[Table]) -> None:
    for table in result:
        terminal.table(table)
    rows = [row for _, rows in result for row in rows]
    if any(row.load_was_busy or row.machine_was_busy for row in rows):
        terminal.line("\n" + "\n".join(report.NOTES), report.YELLOW)


def exit_status(result: list[Table]) -> int:
    rows = [row for _, rows in result for row in rows]
    if any(row.errors for row in rows):
        return 2
    return 0 if all(verdict.met for row in rows for verdict in row.verdicts) else 1


def main() -> int:
    # As an exception it leaves through the blocks that stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(parse())
    except PreparationError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: interrupted; every server was stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
