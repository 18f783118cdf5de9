"""Waves of sockets through one server process: all they took is given back.

Memory is measured twice. What is allocated is exact, so two waves are compared. What
the process has of the machine depends on which pages still have something on them,
by a hundred kilobytes from wave to wave: there the growth over three waves counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from channels.server.wire.ws.frames import encode_text

WAVE = 1000
BYTES_PER_SOCKET = 200
# So many open, speak and close at a time: each wave then has the same peak.
AT_ONCE = asyncio.Semaphore(50)

SERVER = """
import asyncio, ctypes, gc, json, os, threading

class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Mallinfo

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

async def app(scope, receive, send):
    if scope["type"] == "http":
        gc.collect()
        libc.malloc_trim(0)
        memory = libc.mallinfo2()
        body = json.dumps({
            "left": {
                "tasks": len(asyncio.all_tasks()),
                "threads": threading.active_count(),
                "descriptors": len(os.listdir("/proc/self/fd")),
            },
            "allocated": memory.uordblks + memory.hblkhd,
            "resident": resident(),
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


async def measured(address: tuple[str, int]) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return dict(json.loads(data.partition(b"\r\n\r\n")[2]))


async def at_rest(address: tuple[str, int], left: dict[str, int]) -> dict[str, Any]:
    """What is measured once the last sockets of a wave are gone; each look is a request."""
    now = await measured(address)
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while now["left"] != left:
                now = await measured(address)
    assert now["left"] == left
    # This very request is the first that finds nobody else: the next has their memory too.
    return await measured(address)


@pytest.mark.slow
def test_waves_of_sockets_leave_nothing_behind(tmp_path: Path) -> None:
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
        uvloop.run(waves(("127.0.0.1", port)))
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert process.returncode == 0
    assert "Traceback" not in errors


async def waves(address: tuple[str, int]) -> None:
    before = (await measured(address))["left"]
    allocated, resident = [], []
    for _ in range(5):
        await wave(address)
        now = await at_rest(address, before)
        allocated.append(now["allocated"])
        resident.append(now["resident"])
    assert allocated[2] - allocated[1] <= BYTES_PER_SOCKET * WAVE, allocated
    assert resident[4] - resident[1] <= 3 * BYTES_PER_SOCKET * WAVE, resident
