"""A channel layer of another package, as consumers and listeners see it."""

from __future__ import annotations

import asyncio
from typing import Any


class Listening:
    """A layer of another package: it inherits nothing, and is read with receive()."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.members: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self.joined = asyncio.Event()
        self.fail: Exception | None = None

    async def new_channel(self, prefix: str = "foreign") -> str:
        self.calls.append("new_channel")
        return f"{prefix}.{len(self.calls)}!x"

    async def group_add(self, group: str, channel: str) -> None:
        self.calls.append(f"group_add {group}")
        if self.fail is not None:
            raise self.fail
        self.members.setdefault(channel, asyncio.Queue())
        self.joined.set()

    async def group_discard(self, group: str, channel: str) -> None:
        self.calls.append(f"group_discard {group}")
        self.members.pop(channel, None)

    async def receive(self, channel: str) -> dict[str, Any]:
        if channel not in self.members:
            # The consumer's own.
            await asyncio.get_running_loop().create_future()
        message = await self.members[channel].get()
        if isinstance(message, Exception):
            raise message
        return message

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.calls.append(f"group_send {group}")
        for waiting in self.members.values():
            waiting.put_nowait(message)
