"""The limit: bare uvloop programs that make only the system calls of the same work.

They answer the handshake, and from then on look at nothing: whatever arrives is
taken for one message, and a frame made beforehand is written. No Python server on
the same loop can be faster; how near one comes says what its own work costs.

    python -m benchmarks.limit echo|broadcast --port P --size BYTES --burst COUNT
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import uvloop

# RFC 6455 1.3: the fixed string that a handshake's accept value is made with.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def text_frame(size: int) -> bytes:
    """Make the unmasked frame of a text message of `size` bytes (below 64 KiB)."""
    head = bytes([0x81, size]) if size < 126 else bytes([0x81, 126]) + size.to_bytes(2, "big")
    return head + b"x" * size


def accept_response(request: bytes) -> bytes:
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    digest = hashlib.sha1((key[1] if key else b"") + GUID).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


class Echo(asyncio.Protocol):
    def __init__(self, frame: bytes) -> None:
        self.frame = frame

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.answer: Callable[[bytes], None] = self.shake

    def data_received(self, data: bytes) -> None:
        self.answer(data)

    def shake(self, request: bytes) -> None:
        self.transport.write(accept_response(request))
        self.answer = self.echo

    def echo(self, data: bytes) -> None:
        self.transport.write(self.frame)


class Broadcast(asyncio.Protocol):
    def __init__(self, frame: bytes, burst: int, members: set[Any]) -> None:
        self.frame, self.burst, self.members = frame, burst, members

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.answer: Callable[[bytes], None] = self.shake

    def connection_lost(self, error: Exception | None) -> None:
        self.members.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.answer(data)

    def shake(self, request: bytes) -> None:
        self.transport.write(accept_response(request))
        self.answer = self.send_to_all
        if not request.startswith(b"GET /trigger/"):
            self.members.add(self.transport)

    def send_to_all(self, data: bytes) -> None:
        for _ in range(self.burst):
            for transport in self.members:
                transport.write(self.frame)


async def serve(options: argparse.Namespace) -> None:
    frame = text_frame(options.size)
    members: set[Any] = set()

    def make() -> asyncio.Protocol:
        if options.work == "echo":
            return Echo(frame)
        return Broadcast(frame, options.burst, members)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", options.port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limit")
    parser.add_argument("work", choices=["echo", "broadcast"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--burst", type=int, default=1)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
