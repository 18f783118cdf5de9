"""Processes that are killed, stopped and forked while members of all of them talk.

Four processes share one bus, each with 50 members of ten groups, and send together
500 messages a second. Whether what the members got is right, a ledger tells that each
process keeps beside the layer.

The load takes 25 s, faults included; with CHANNELS_FAULT_SECONDS=60 as many as it says.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus_ledger import Fault, Ledger, judge, latencies, recovery
from tests.waiting import let_pass, wait_until

from channels.layers.local.place import find_place

pytestmark = pytest.mark.slow

PROCESSES = 4
MEMBERS = 50
GROUPS = 10
A_SECOND = 500
SECONDS = float(os.environ.get("CHANNELS_FAULT_SECONDS", "25"))
PAUSE = 10.0
# All flows again within this time. What a host that follows another waits for all to
# be back is a quarter of it.
RECOVERED_WITHIN = 2.0
# No process takes so long, whatever happens to it.
WATCHDOG = SECONDS + 120
PROGRAM = Path(__file__).with_name("bus_member.py")


class Member:
    """One process of the site."""

    def __init__(self, site: Site, name: str) -> None:
        self.name = name
        self.log = site.folder / f"{name}.log"
        arguments = [name, site.bus, site.folder, MEMBERS, GROUPS, A_SECOND / PROCESSES]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._watchdog = threading.Timer(WATCHDOG, self.process.kill)
        self._watchdog.start()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n", self.log.read_text()

    def kill(self) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Site:
    """Processes on one bus, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bus = folder / "bus"
        self.living: list[Member] = []
        self.faults: list[Fault] = []
        self._started = 0

    def start(self, count: int = 1) -> None:
        new = [Member(self, f"p{self._started + index}") for index in range(count)]
        self._started += count
        self.living += new
        for member in new:
            member.hear("ready")

    @property
    def host(self) -> Member:
        place = find_place("faults", self.bus)

        def by_lock() -> Member | None:
            # A dead host's number stays in the file until another one has the lock.
            number = place.lock_path.read_text().strip()
            hosts = (member for member in self.living if str(member.process.pid) == number)
            return next(hosts, None)

        found: Member = wait_until(by_lock, "one of the processes hosts")
        return found

    @property
    def others(self) -> list[Member]:
        host = self.host
        return [member for member in self.living if member is not host]

    def kill(self, member: Member, after_pause: float = 0.0) -> None:
        """Kill a process, and start another one in its place, as a supervisor does."""
        self.living.remove(member)
        now = time.monotonic()
        if after_pause:
            member.process.send_signal(signal.SIGSTOP)
            let_pass(after_pause, "the load goes on")
        member.kill()
        self.faults.append(Fault(now, time.monotonic()))
        self.start()

    def pause(self, member: Member, seconds: float) -> None:
        now = time.monotonic()
        member.process.send_signal(signal.SIGSTOP)
        let_pass(seconds, "the load goes on")
        member.process.send_signal(signal.SIGCONT)
        self.faults.append(Fault(now, time.monotonic()))

    def fork(self, member: Member) -> None:
        now = time.monotonic()
        member.say("fork")
        member.hear("forked")
        self.faults.append(Fault(now, now))

    def end(self) -> Ledger:
        """Have all send their last messages, wait until these are heard, and collect the books."""
        names = [f"{member.name}/s{index}" for member in self.living for index in range(2)]
        for word, answer in ((f"last {' '.join(names)}", "done"), ("end", "")):
            for member in self.living:
                member.say(word)
            for member in self.living:
                if answer:
                    member.hear(answer)
                else:
                    assert member.process.wait(20) == 0, member.log.read_text()
        ledger = Ledger()
        for suffix in ("sent", "received"):
            for book in sorted(self.folder.glob(f"*.{suffix}")):
                # A killed process may have left half a line.
                lines = book.read_text().splitlines(keepends=True)
                ledger.read(line for line in lines if line.endswith("\n"))
        return ledger

    def close(self) -> None:
        for member in self.living:
            member.kill()

    def logs(self) -> str:
        return "\n".join(log.read_text() for log in sorted(self.folder.glob("*.log")))


@pytest.fixture
def site() -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="channels-"))
    site = Site(folder)
    try:
        yield site
    finally:
        site.close()
        shutil.rmtree(folder)


def verdict_of(site: Site, began: float) -> dict[str, Any]:
    """End everything, object to what must not be, and return the figures."""
    ended = time.monotonic()
    names = [member.name for member in site.living]
    ledger = site.end()
    verdict = judge(ledger, names, site.faults)
    recoveries = [
        recovery(ledger, fault.end, _there(ledger, names, fault.end)) for fault in site.faults
    ]
    ends = [began, *(fault.end + RECOVERED_WITHIN for fault in site.faults)]
    begins = [*(fault.begin - 1.0 for fault in site.faults), ended]
    calm = latencies(ledger, dict(zip(ends, begins, strict=True)))
    figures = {
        "sent a second": round(len(ledger.sent) / (ended - began)),
        "received": verdict.received,
        "lost, and told": verdict.lost,
        "members told": verdict.members_told,
        "recovered after s": [round(seconds, 3) for seconds in recoveries],
        "calm: median ms": round(calm[len(calm) // 2] * 1000, 1),
        "calm: slowest ms": round(calm[-1] * 1000, 1),
    }
    print(json.dumps(figures))
    assert verdict.objections[:5] == [], f"{len(verdict.objections)}\n{site.logs()}"
    assert max(recoveries) < RECOVERED_WITHIN, site.logs()
    for member in site.living:
        # Of what came, nothing was taken for something that had come before.
        assert "'duplicates': 0" in member.log.read_text(), site.logs()
    return figures


def _there(ledger: Ledger, living: list[str], time: float) -> list[str]:
    """Processes that lived before `time` and to the end."""
    since = {name: ledger.members[f"{name}/0"].since for name in living}
    return [name for name in living if since[name] < time]


def test_every_message_is_received_or_its_loss_is_told(site: Site) -> None:
    rest = (SECONDS - PAUSE) / 5
    site.start(PROCESSES)
    began = time.monotonic()
    let_pass(rest, "the load goes on")
    site.kill(site.host)
    let_pass(rest, "the load goes on")
    site.kill(site.others[0])
    let_pass(rest, "the load goes on")
    site.fork(site.others[0])
    let_pass(rest, "the load goes on")
    site.pause(site.host, PAUSE)
    let_pass(rest, "the load goes on")
    figures = verdict_of(site, began)
    assert figures["sent a second"] > A_SECOND / 2


def test_what_waited_for_a_host_that_is_killed_goes_to_the_next(site: Site) -> None:
    site.start(PROCESSES)
    began = time.monotonic()
    let_pass(1.0, "the load goes on")
    # So long that what is sent to it waits in its senders.
    site.kill(site.host, after_pause=3.0)
    let_pass(3.0, "the load goes on")
    verdict_of(site, began)
