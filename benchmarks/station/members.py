"""Channels that read: as consumers of this package do, or with `receive()`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from .tally import Tally

GROUP = "benchmark"
Take = Callable[[dict[str, Any]], None]


@asynccontextmanager
async def joined(options: argparse.Namespace, layer: Any, tally: Tally) -> AsyncIterator[list[str]]:
    """Have `options.members` channels read, each in a task, for as long as the block lasts.

    A member that is given something else than it must get ends the block with its error.
    """
    start = _mailbox_reader if options.reading == "mailbox" else _receiver
    async with asyncio.TaskGroup() as tasks:
        names, readers = [], []
        for index in range(options.members):
            name = await layer.new_channel()
            reader = start(layer, name, tally.member(index))
            readers.append(tasks.create_task(reader))
            if options.work == "group":
                await layer.group_add(GROUP, name)
            names.append(name)
        yield names
        for task in readers:
            task.cancel()


def _mailbox_reader(layer: Any, channel: str, take: Take) -> Any:
    # Upstream has none, and this module is theirs too.
    from channels.mailbox import Mailbox

    mailbox = Mailbox(asyncio.get_running_loop())
    layer.attach(channel, mailbox)
    return _read(mailbox, take)


async def _read(mailbox: Any, take: Take) -> None:
    take_nowait = mailbox.take_nowait
    while True:
        entry = take_nowait(monotonic)
        if entry is None:
            await mailbox.arrival()
        else:
            take(entry[1])


async def _receiver(layer: Any, channel: str, take: Take) -> None:
    receive = layer.receive
    while True:
        take(await receive(channel))
