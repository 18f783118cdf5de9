"""Waves of sockets through one server process: all they took is given back."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from channels.server.wire.ws.frames import encode_text

WAVE = 1000
# So many open, speak and close at a time: each wave then has the same peak.
AT_ONCE = asyncio.Semaphore(50)

SERVER = """
import asyncio, ctypes, gc, json, os, threading

async def app(scope, receive, send):
    if scope["type"] == "http":
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        body = json.dumps({
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")),
        }).encode()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
"""

HANDSHAKE = (
    b"GET /wave HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# Masked with zeros: the payload stays as it is.
MESSAGE = b"\x81\x84\0\0\0\0wave"
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


async def one_socket(address: tuple[str, int], opened: asyncio.Barrier, number: int) -> None:
    async with AT_ONCE:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    await opened.wait()
    async with AT_ONCE:
        await use_and_close(reader, writer, number)


async def use_and_close(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> None:
    writer.write(MESSAGE)
    answer = encode_text("wave")
    assert await reader.readexactly(len(answer)) == answer
    if number % 3 == 0:
        writer.transport.abort()
        return
    writer.write(CLOSE)
    assert await reader.read() == b"\x88\x02\x03\xe8"
    writer.close()
    await writer.wait_closed()


async def wave(address: tuple[str, int]) -> None:
    opened = asyncio.Barrier(WAVE)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(WAVE):
            group.create_task(one_socket(address, opened, number))


async def counts(address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = await reader.read()
    writer.close()
    return data.partition(b"\r\n\r\n")[2]


async def settled_counts(address: tuple[str, int], before: bytes) -> bytes:
    """What is counted once the last sockets of a wave are gone."""
    for _ in range(100):
        if (now := await counts(address)) == before:
            break
        await asyncio.sleep(0.05)
    return now


def resident(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def smallest(address: tuple[str, int], process: int) -> int:
    """The least of a few measurements: what is freed late is no leak."""
    sizes = []
    for _ in range(5):
        await counts(address)
        sizes.append(resident(process))
        await asyncio.sleep(0.02)
    return min(sizes)


@pytest.mark.slow
def test_three_waves_of_sockets_leave_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    (tmp_path / "waves.py").write_text(SERVER)
    process = subprocess.Popen(
        [sys.executable, "-m", "channels", "serve", "waves:app", "-p", "0"],
        cwd=tmp_path,
        # Python's own allocator keeps memory in pieces of a megabyte, five times what
        # is looked for here; the C library gives back what is free when told to.
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rpartition(":")[2])
        uvloop.run(three_waves(("127.0.0.1", port), process.pid))
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert process.returncode == 0
    assert "Traceback" not in errors


async def three_waves(address: tuple[str, int], process: int) -> None:
    before = await counts(address)
    sizes = []
    for _ in range(3):
        await wave(address)
        assert await settled_counts(address, before) == before
        sizes.append(await smallest(address, process))
    assert sizes[2] - sizes[1] <= 200 * WAVE, sizes
