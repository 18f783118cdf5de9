"""Who does not speak on the bus as one should harms nobody else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from local_bus import (
    HELLO,
    Bus,
    hosting_process,
    job,
    member,
    nodes,
)

from channels.exceptions import LayerUnavailable
from channels.layers.local import LocalChannelLayer, frames
from channels.layers.local import host as host_module
from channels.layers.local import node as node_module
from channels.layers.local.frames import FrameReader, Op
from channels.layers.local.place import (
    connect_bus,
)

# -- who does not speak as one should ------------------------------------------


def hello(node: str = "a" * 12, version: int = frames.VERSION) -> bytes:
    return frames.control(
        Op.HELLO, version=version, node=node, pid=1, project="", keeps=False, words=0
    )


GARBAGE = {
    "no frames": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a huge length": b"\xff\xff\xff\xff\x01",
    "an empty frame": bytes(5),
    "no hello": frames.want(Op.WANT, "work"),
    "another version": hello(version=99),
    "a hello of nothing": frames.control(Op.HELLO),
    "a hello of nonsense": frames.control(
        Op.HELLO, version=frames.VERSION, node=[], pid="x", project=7, keeps=0, words=0
    ),
    "no dict": hello() + b"\0\0\0\2\x06\x01",
    "positions of nonsense": hello() + frames.control(Op.POSITIONS, positions=7),
    "groups of nonsense": hello() + frames.control(Op.SUBSCRIBE, groups=7),
    "a call without a method": hello() + frames.control(Op.CALL, id=1, to=""),
    "a call to nonsense": hello() + frames.control(Op.CALL, id=1, to=[], method="ping"),
    "a publication cut off": hello() + b"\0\0\0\5\x04abcd",
    "an unknown op": hello() + b"\0\0\0\1\xfe",
    "one of the host's": hello() + frames.control(Op.BYE) + frames.control(Op.WELCOME),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_who_sends_garbage_is_refused_and_others_go_on(bus: Bus, run: Any, garbage: bytes) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        with raw_connection(here) as sock:
            sock.sendall(garbage)
            assert last_frame(sock) == Op.REFUSED
        await here.group_send("news", job(1))
        assert await one.numbers(1) == [1]
        assert len(await nodes(here)) == 2
        assert there.statistics()["reconnects"] == 0

    run(test)


def test_garbage_in_a_bus_that_settles_ends_no_host(bus: Bus, run: Any) -> None:
    async def test() -> None:
        # What a dead host leaves makes the next one settle.
        with hosting_process(bus) as process:
            process.kill()
        here = bus.hosting()
        with raw_connection(here) as sock:
            sock.sendall(hello() + b"\0\0\0\5\x04abcd")
            assert last_frame(sock) == Op.REFUSED
        one = await member(here, "news")
        await here.group_send("news", job(1))
        assert await one.numbers(1) == [1]

    run(test)


def test_a_call_of_nonsense_ends_no_process(
    bus: Bus, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        with raw_connection(here) as sock:
            call = frames.control(Op.CALL, id=1, node="a" * 12, to=there.node.id)
            sock.sendall(hello() + call)
            # It joins again.
            assert await one.entry() is False
        await here.group_send("news", job(1))
        assert await one.numbers(1) == [1]

    run(test)
    assert "bus thread failed" not in caplog.text


@contextlib.contextmanager
def raw_connection(layer: LocalChannelLayer) -> Iterator[socket.socket]:
    sock = connect_bus(layer.place, 5.0)
    assert sock is not None
    with sock:
        sock.settimeout(10)
        yield sock


def last_frame(sock: socket.socket) -> int:
    """The op of the last frame before the host hangs up."""
    reader, op = FrameReader(), 0
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(1 << 16):
            for frame in reader.receive(data):
                op = frames.op_of(frame)
    return op


def test_there_is_a_limit_of_processes_and_who_comes_later_is_told(
    bus: Bus, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "MAX_NODES", 2)
    monkeypatch.setattr(node_module, "JOIN_SECONDS", 0.5)

    async def test() -> None:
        here, there, third = bus.hosting(), bus.layer(), bus.layer(host=False)
        await there.ping()
        with pytest.raises(LayerUnavailable, match="this bus has 2 processes already"):
            await third.group_send("news", HELLO)
        await there.close()
        # There is room now, and who was refused tries again.
        await third.group_send("news", HELLO)
        assert len(await nodes(here)) == 2

    run(test)
    refusals = [record for record in caplog.records if "refused a process" in record.message]
    # It waits longer and longer between its attempts.
    assert 1 <= len(refusals) < 15
