"""The wire between the two processes of W6, beside the layer: one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from . import StationError

# A report with its histogram is the longest line.
MAX_LINE = 1 << 22


class Link:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, connected: socket.socket) -> Link:
        return cls(*await asyncio.open_unix_connection(sock=connected, limit=MAX_LINE))

    def tell(self, kind: str, **content: Any) -> None:
        self.writer.write(json.dumps({"kind": kind, **content}).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        line = await self.reader.readline()
        if not line:
            raise StationError("the other process has ended")
        heard: dict[str, Any] = json.loads(line)
        return heard

    async def expect(self, kind: str) -> dict[str, Any]:
        heard = await self.hear()
        if heard["kind"] != kind:
            raise StationError(f"the other process said {heard['kind']!r}, expected {kind!r}")
        return heard
