"""`python -m benchmarks.station sender|receiver|host`: one process of W6.

The sender prints one JSON object. Exit status 1 and one plain sentence on standard
error when a message was lost, doubled or out of order, or did not come in time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop

from . import StationError
from .link import Link
from .members import GROUP
from .receiver import receive
from .sender import send


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.station", description=__doc__)
    parser.add_argument("role", choices=["sender", "receiver", "host"])
    parser.add_argument("--work", choices=["group", "channel"], default="group")
    parser.add_argument("--reading", choices=["mailbox", "receive"], default="receive")
    parser.add_argument("--members", type=int, default=0, help="in this process")
    parser.add_argument("--elsewhere", type=int, default=0, help="members in the other process")
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--deadline", type=float, default=30.0, help="of each step")
    parser.add_argument("--link", type=int, help="descriptor of the socket to the other process")
    parser.add_argument("--watch", default="", help="process ids of brokers, with commas")
    return parser.parse_args()


def host() -> None:
    """Host the bus of the layer until told to stop, as a supervisor does for its workers."""
    from channels.layers import get_channel_layer, hosted_layers

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with hosted_layers():
        # It joins the bus with its first message at the latest.
        uvloop.run(get_channel_layer().group_send(GROUP, {"type": "nobody.listens"}))
        print("ready", flush=True)
        signal.pause()


async def work(options: argparse.Namespace) -> None:
    link = None if options.link is None else await Link.open(socket.socket(fileno=options.link))
    if options.role == "receiver":
        assert link is not None, "a receiver is of use to a sender alone"
        await receive(options, link)
    else:
        print(json.dumps(await send(options, link)), flush=True)


def run(work: Coroutine[Any, Any, None]) -> int:
    status = 0
    try:
        uvloop.run(work)
    except* StationError as errors:
        print(_first(errors), file=sys.stderr, flush=True)
        status = 1
    return status


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def main() -> int:
    options = parse()
    if options.role == "host":
        host()
        return 0
    status = run(work(options))
    sys.stdout.flush()
    # Layers keep threads and pools; nothing of theirs is measured any more.
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
