"""Layers and processes on one bus, for tests.

Layers of one process with one place are nodes like any other; real processes play
where one must be killed, stopped or forked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from bus_process import BusProcess
from tests.waiting import wait_until

from channels.layers.local import LocalChannelLayer
from channels.mailbox import LAYER, NOTICE, Mailbox

HELLO = {"type": "hello"}
# What a thing that takes milliseconds gets on a busy machine.
SOON = 2.0


class Bus:
    """Layers and processes on one bus."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = {"directory": folder / "bus", "name": "tested"}
        self._layers: list[LocalChannelLayer] = []
        self._stack = contextlib.ExitStack()

    def layer(self, host: Any = "auto", **config: Any) -> LocalChannelLayer:
        layer = LocalChannelLayer(**self.config, **config, host=host)
        self._layers.append(layer)
        return layer

    def hosting(self, **config: Any) -> LocalChannelLayer:
        """A layer that hosts the bus by now."""
        layer = self.layer(host=True, **config)
        layer.serve()
        wait_until(lambda: layer.node.hosting, "it hosts")
        return layer

    def process(self, script: str, **config: Any) -> BusProcess:
        return self._stack.enter_context(BusProcess(script, {**self.config, **config}))

    def close(self) -> None:
        self._stack.close()
        for layer in reversed(self._layers):
            layer.leave()


class Member:
    """A channel with a mailbox, as consumers have them."""

    def __init__(self, layer: LocalChannelLayer, channel: str) -> None:
        self.layer = layer
        self.channel = channel
        self.mailbox = Mailbox(asyncio.get_running_loop())
        self.mailbox.wants_notices = True
        layer.attach(channel, self.mailbox)

    async def entry(self) -> Any:
        """The next message; or whether a notice says that messages may be missing."""
        while (entry := self.mailbox.take_nowait(self.layer.clock)) is None:
            await self.mailbox.arrival()
        source, content, _ = entry
        assert source in (LAYER, NOTICE)
        return content

    async def numbers(self, count: int) -> list[int]:
        return [(await self.entry())["number"] for _ in range(count)]

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            entry = await self.entry()
            if isinstance(entry, dict):
                yield entry


async def member(layer: LocalChannelLayer, *groups: str) -> Member:
    made = Member(layer, await layer.new_channel())
    # Until it is on the bus, its channels are nobody's.
    await layer.ping()
    for group in groups:
        await layer.group_add(group, made.channel)
    return made


def job(number: int) -> dict[str, Any]:
    return {"type": "job", "number": number}


async def nodes(layer: LocalChannelLayer) -> dict[str, Any]:
    """Who is on the bus, as its host sees it."""
    seats: dict[str, Any] = (await layer.report())[""]["nodes"]
    return seats


HOST = """
async def main():
    layer.serve()
    await layer.ping()
    say("hosting", layer.node.hosting)
    await hear()

asyncio.run(main())
"""


def hosting_process(bus: Bus, script: str = HOST) -> BusProcess:
    process = bus.process(script, host=True)
    assert process.hear() == "hosting True"
    return process


async def eventually(condition: Callable[[], bool]) -> None:
    """What another thread brings about is not told to this loop."""
    await asyncio.to_thread(wait_until, condition, seconds=SOON)
