"""Takes the samples of W6: starts the processes of one layer, and collects what they counted.

None is pinned to a core: what a layer does with the cores there are is its own part
of the figure. There is no load generator; the sender is one of the members' processes.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from . import machine
from .layers import Layer, Place, prepared
from .processes import StartError, started, tail, wait_until
from .workloads import Case

Sample = dict[str, Any]
HOST_TIMEOUT = 15.0


def measure(case: Case, layer: Layer, python: str, limits: dict[str, float]) -> Sample:
    """Take one sample; one that fails answers {"error": ...}.

    `limits` are the seconds of a sample: `seconds`, `warmup`, `deadline`.
    """
    command = layer.command(python)
    try:
        with prepared(layer.kind) as place, _hosted(layer, command, place) as brokers:
            before = machine.usage(brokers)
            sample = _run(case, layer, command, place, brokers, limits)
            others = machine.others_share(before, machine.usage(brokers))
            return sample if "error" in sample else sample | {"others_share": others}
    except StartError as error:
        return {"error": str(error)}


@contextmanager
def _hosted(layer: Layer, command: Sequence[str], place: Place) -> Iterator[tuple[int, ...]]:
    """Run the host of our bus in a process of its own, as under `channels serve --workers`."""
    # The members' processes may not: else it would be chance where it is.
    if layer.kind != "local":
        yield place.brokers
        return
    with started([*command, "host"], place.environment(host=True)) as (process, log):
        unready = "the host of the bus did not come up"
        wait_until(lambda: _said_ready(log), process, log, HOST_TIMEOUT, unready)
        yield (*place.brokers, process.pid)


def _said_ready(log: IO[bytes]) -> bool:
    log.seek(0)
    return b"ready" in log.read().split()


def _run(
    case: Case,
    layer: Layer,
    command: Sequence[str],
    place: Place,
    brokers: Sequence[int],
    limits: dict[str, float],
) -> Sample:
    words = _words(case, layer, limits)
    watch = ["--watch", ",".join(map(str, brokers))]
    here, there = _shares(case)
    environment = _environment(layer, place)
    with ExitStack() as stack:
        if not there:
            members = ["--members", str(here)]
            parts = [*command, "sender", *words, *members, *watch]
            return _collect(stack, parts, environment, limits, ())
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        link = ["--link", str(theirs.fileno()), "--members", str(there)]
        receiver = stack.enter_context(
            started(
                [*command, "receiver", *words, *link],
                environment,
                pass_fds=[theirs.fileno()],
            )
        )
        # Now the receiver alone holds this end, and its end of life is seen at the other.
        theirs.close()
        link = ["--link", str(ours.fileno()), "--members", str(here), "--elsewhere", str(there)]
        parts = [*command, "sender", *words, *link, *watch]
        return _collect(stack, parts, environment, limits, (receiver[1],), ours)


def _environment(layer: Layer, place: Place) -> dict[str, str]:
    return place.environment(host=False) if layer.kind == "local" else place.environment()


def _shares(case: Case) -> tuple[int, int]:
    """Members in the sender's process and in the other one, which has the larger half."""
    if case.processes == 1:
        return case.connections, 0
    return case.connections // 2, case.connections - case.connections // 2


def _words(case: Case, layer: Layer, limits: dict[str, float]) -> list[str]:
    options = {
        "work": case.work,
        "reading": layer.reading,
        "burst": case.burst,
        "size": case.size,
        **limits,
    }
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _collect(
    stack: ExitStack,
    command: Sequence[str],
    environment: dict[str, str],
    limits: dict[str, float],
    others: Sequence[IO[bytes]],
    link: socket.socket | None = None,
) -> Sample:
    """Run the sender to its end, and read what it says."""
    pass_fds = [] if link is None else [link.fileno()]
    sender, log = stack.enter_context(
        started(command, environment, stdout=subprocess.PIPE, pass_fds=pass_fds)
    )
    if link is not None:
        link.close()
    # Each step may take the deadline; beyond that it hangs.
    limit = limits["seconds"] + limits["warmup"] + 4 * limits["deadline"]
    try:
        said, _ = sender.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"no end after {limit:g} s: {tail(log)}"}
    if sender.returncode != 0:
        return {"error": " / ".join(tail(log) for log in (*others, log))}
    sample: Sample = json.loads(said)
    return sample
