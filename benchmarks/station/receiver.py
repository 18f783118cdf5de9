"""The process that only receives: it says when all its members have a round."""

from __future__ import annotations

import argparse
import time

from channels.layers import get_channel_layer

from .histogram import buckets
from .link import Link
from .members import joined
from .tally import Tally


async def receive(options: argparse.Namespace, link: Link) -> None:
    """Do what the sender says until it says "end"."""
    tally = Tally(
        options.members,
        options.burst,
        on_probed=lambda: link.tell("probed"),
        on_round=lambda: link.tell("round"),
    )
    async with joined(options, get_channel_layer(), tally) as names:
        link.tell("joined", channel=names[0])
        started = 0.0
        while (heard := (await link.hear())["kind"]) != "end":
            if heard == "start":
                del tally.latencies[:]
                started = time.process_time()
                link.tell("started")
            elif heard == "stop":
                link.tell("stopped", cpu=time.process_time() - started)
            elif heard == "report":
                link.tell("report", latencies=buckets(tally.latencies))
