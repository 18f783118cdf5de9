"""The process that sends, a round at a time, and has half of the members or all of them.

A round is one message, or a burst of them one after another. It ends when every
member everywhere has all of it, and only then the next one begins: no capacity is
ever overrun. The rate is deliveries divided by the time inside rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from channels.layers import get_channel_layer

from . import StationError
from .histogram import buckets, quantile_ms
from .link import Link
from .members import GROUP, joined
from .tally import PROBE, Signal, Tally

# A probe is sent again when some member has not got one in this time.
PROBE_AGAIN = 2.0
# What comes after the last round is one message too many; it gets this long to come.
QUIET = 0.3


async def send(options: argparse.Namespace, link: Link | None) -> dict[str, Any]:
    """Take one sample."""
    layer = get_channel_layer()
    probed, complete = Signal(), Signal()
    tally = Tally(options.members, options.burst, probed.set, complete.set)
    async with joined(options, layer, tally) as names:
        name = names[0] if names else ""
        if link is not None:
            async with asyncio.timeout(options.deadline):
                name = (await link.expect("joined"))["channel"] or name
        to_group = options.work == "group"
        publish = partial(layer.group_send, GROUP) if to_group else partial(layer.send, name)
        return await Rounds(options, publish, tally, link, probed, complete).run()


class Rounds:
    def __init__(
        self,
        options: argparse.Namespace,
        publish: Callable[[dict[str, Any]], Awaitable[None]],
        tally: Tally,
        link: Link | None,
        probed: Signal,
        complete: Signal,
    ) -> None:
        self.options = options
        self.publish = publish
        self.tally = tally
        self.link = link
        self.probed = probed
        self.complete = complete
        self.number = 0
        self.content = "x" * options.size
        self.inside = 0.0
        self.rounds = 0

    async def run(self) -> dict[str, Any]:
        probes = await self.probe()
        await self.rounds_for(self.options.warmup)
        started = await self.start()
        await self.rounds_for(self.options.seconds)
        cpu, brokers = await self.stop(started)
        await asyncio.sleep(QUIET)
        latencies = await self.latencies()
        return self.sample(latencies, cpu, brokers) | {"probes": probes}

    # -- rounds ------------------------------------------------------------

    def message(self, number: int) -> dict[str, Any]:
        content = self.content
        return {"type": "chat.message", "number": number, "sent": monotonic(), "message": content}

    async def one_round(self) -> None:
        for _ in range(self.options.burst):
            await self.publish(self.message(self.number))
            self.number += 1
        if self.tally.members:
            await self.complete.wait()
        if self.link is not None:
            await self.link.expect("round")

    async def rounds_for(self, seconds: float) -> None:
        """Run rounds for a time, at least one, and count them and the time inside."""
        self.rounds, self.inside = 0, 0.0
        until = monotonic() + seconds
        while not self.rounds or monotonic() < until:
            begun = monotonic()
            await self.in_time(self.one_round(), f"a round of {self.options.burst}")
            self.inside += monotonic() - begun
            self.rounds += 1

    async def in_time(self, step: Awaitable[None], what: str) -> None:
        try:
            async with asyncio.timeout(self.options.deadline):
                await step
        except TimeoutError:
            left = self.tally.left if self.tally.members else 0
            raise StationError(
                f"{what} from message {self.number} did not come in"
                f" {self.options.deadline:g} s; {left} deliveries missing in the sender's process"
            ) from None

    # -- before ------------------------------------------------------------

    async def probe(self) -> int:
        """Send probes until every member has seen one; answer how many it took."""
        seen = asyncio.ensure_future(self.all_probed())
        for count in range(1, int(self.options.deadline / PROBE_AGAIN) + 2):
            await self.publish(self.message(PROBE))
            done, _ = await asyncio.wait([seen], timeout=PROBE_AGAIN)
            if done:
                await seen
                # A second probe may still be on its way to some.
                await asyncio.sleep(QUIET)
                return count
        seen.cancel()
        raise StationError(f"members saw nothing of {count} messages after they had joined")

    async def all_probed(self) -> None:
        if self.tally.members:
            await self.probed.wait()
        if self.link is not None:
            await self.link.expect("probed")

    # -- what it took ------------------------------------------------------

    async def start(self) -> tuple[float, float]:
        """Begin to measure, here and in the other process, while nothing is on its way."""
        if self.link is not None:
            self.link.tell("start")
            await self.link.expect("started")
        del self.tally.latencies[:]
        return time.process_time(), self.brokers_cpu()

    async def stop(self, started: tuple[float, float]) -> tuple[float, float]:
        """Answer the CPU seconds since `start`: of both processes, and of the brokers."""
        cpu = time.process_time() - started[0]
        brokers = self.brokers_cpu() - started[1]
        if self.link is not None:
            self.link.tell("stop")
            cpu += (await self.link.expect("stopped"))["cpu"]
        return cpu, brokers

    def brokers_cpu(self) -> float:
        return sum(process_cpu(id) for id in self.options.watch.split(",") if id)

    async def latencies(self) -> Counter[int]:
        counts = buckets(self.tally.latencies)
        if self.link is not None:
            self.link.tell("report")
            report = (await self.link.expect("report"))["latencies"]
            counts.update({int(bucket): count for bucket, count in report.items()})
            self.link.tell("end")
        return counts

    def sample(self, latencies: Counter[int], cpu: float, brokers: float) -> dict[str, Any]:
        options = self.options
        messages = self.rounds * options.burst * (options.members + options.elsewhere)
        if latencies.total() != messages:
            raise StationError(f"{latencies.total()} deliveries were seen, {messages} expected")
        return {
            "rate": messages / self.inside,
            "messages": messages,
            "seconds": self.inside,
            "p50_ms": quantile_ms(latencies, 0.50),
            "p99_ms": quantile_ms(latencies, 0.99),
            "server_cpu": cpu,
            "broker_cpu": brokers,
        }


def process_cpu(id: str) -> float:
    """CPU seconds of a process: the first number of each thread, in nanoseconds."""
    threads = Path(f"/proc/{id}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9
