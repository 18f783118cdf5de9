"""Who carries the bus, and what happens when a process ends, stands still or forks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from typing import Any

import pytest
from local_bus import (
    HELLO,
    SOON,
    Bus,
    Member,
    eventually,
    hosting_process,
    job,
    member,
    nodes,
)

from channels.exceptions import LayerUnavailable
from channels.layers import hosted_buses
from channels.layers.local import LocalChannelLayer
from channels.layers.local import host as host_module
from channels.layers.local import layer as layer_module
from channels.layers.local import node as node_module
from channels.layers.local.node import Node

# -- hosts ---------------------------------------------------------------------


def test_the_graceful_end_of_a_host_loses_nothing(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there, third = bus.hosting(), bus.layer(), bus.layer(host=True)
        one = await member(there, "news")
        other = await member(third)
        third.serve()
        await third.ping()
        halfway = threading.Event()

        def send() -> None:
            for number in range(400):
                third.sync.group_send("news", job(number))
                there.sync.send(other.channel, job(number))
                if number == 150:
                    halfway.set()

        sending = asyncio.create_task(asyncio.to_thread(send))
        reading = asyncio.create_task(take(other, 400))
        closing = asyncio.create_task(close_after(here, halfway))
        numbers, notices = await take(one, 400)
        assert numbers == list(range(400))
        assert notices == [False]
        assert await reading == (list(range(400)), [False])
        await asyncio.gather(sending, closing)
        assert there.statistics()["missed"] == there.statistics()["duplicates"] == 0

    run(test)


async def close_after(layer: LocalChannelLayer, event: threading.Event) -> None:
    await asyncio.to_thread(event.wait, 10)
    await layer.close()


async def take(one: Member, count: int) -> tuple[list[int], list[bool]]:
    """The numbers of so many messages, and the notices among them."""
    numbers: list[int] = []
    notices: list[bool] = []
    while len(numbers) < count:
        entry = await one.entry()
        if isinstance(entry, dict):
            numbers.append(entry["number"])
        else:
            notices.append(entry)
    return numbers, notices


def test_a_host_that_dies_is_followed_and_consumers_are_told(bus: Bus, run: Any) -> None:
    async def test() -> None:
        process = hosting_process(bus)
        here, there = bus.layer(), bus.layer()
        one = await member(here, "news")
        await member(there)
        await there.group_send("news", job(1))
        assert await one.numbers(1) == [1]
        process.kill()
        assert await one.entry() is True
        await there.group_send("news", job(2))
        assert await one.numbers(1) == [2]
        assert here.node.hosting != there.node.hosting
        assert here.statistics()["reconnects"] == 1

    run(test)


def test_a_host_that_ends_like_any_script_is_a_graceful_end(bus: Bus, run: Any) -> None:
    async def test() -> None:
        process = hosting_process(bus)
        here = bus.layer()
        one = await member(here, "news")
        for number in range(3):
            await here.send("work", job(number))
        process.say()
        assert process.wait() == 0
        assert [(await here.receive("work"))["number"] for _ in range(3)] == [0, 1, 2]
        assert await one.entry() is False

    run(test)


def test_a_supervisor_hosts_and_reports_nothing_of_its_own(bus: Bus, run: Any) -> None:
    async def test() -> None:
        with hosted_buses() as host:
            here = bus.layer()
            here.serve(host)
            await member(here, "news")
            report = await here.report()
            assert not here.node.hosting
            assert len(report[""]["nodes"]) == 2
            assert report.keys() == {"", here.node.id}
            await here.flush()

    run(test)


@pytest.mark.slow
def test_where_nobody_hosts_senders_are_told_so_in_time(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here = bus.layer()
        for send in (
            here.group_send("news", HELLO),
            here.send("work", HELLO),
            asyncio.to_thread(here.sync.group_send, "news", HELLO),
        ):
            began = time.monotonic()
            with pytest.raises(LayerUnavailable, match="No process hosts the bus .*channels serve"):
                await send
            assert 1.5 < time.monotonic() - began < 3.5
        # Nobody waits any more, and nothing was kept to be sent.
        bus.hosting()
        one = await member(here, "news")
        await here.group_send("news", job(1))
        assert await one.numbers(1) == [1]

    run(test)


def test_who_waits_for_a_host_goes_on_when_there_is_one(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here = bus.layer(host=False)
        one = Member(here, await here.new_channel())
        joining = [asyncio.create_task(here.group_add("news", one.channel)) for _ in range(3)]
        sending = asyncio.create_task(here.group_send("news", job(1)))
        await asyncio.sleep(0)
        # One that gives up takes nothing from the others.
        joining[0].cancel()
        bus.hosting()
        await asyncio.gather(*joining[1:], sending)
        assert await one.numbers(1) == [1]

    run(test)


def test_a_bus_is_used_again_after_it_was_left(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        for _ in range(3):
            one = await member(there, "news")
            await here.group_send("news", job(1))
            assert await one.numbers(1) == [1]
            await there.close()
            assert len(await nodes(here)) == 1

    run(test)


def test_two_projects_on_one_bus_are_warned(
    bus: Bus, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    here = bus.hosting()
    stranger = Node(here.place, may_host=lambda: False, project="/elsewhere")
    friend = Node(here.place, may_host=lambda: False, project=here._project)
    for node in (friend, stranger):
        ready = node.ready()
        assert ready is not None
        ready.result(SOON)
        node.close()
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    if here._project:
        assert len(warnings) == 1
        assert 'give each a "name" of its own' in warnings[0]


# -- processes that end, or stand still ----------------------------------------

MEMBER = """
async def main():
    channel, mailbox = await member("news")
    say(channel)
    async for entry in entries(mailbox):
        say(json.dumps(entry))

asyncio.run(main())
"""


def test_processes_talk(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here = bus.hosting()
        process = bus.process(MEMBER)
        channel = process.hear()
        await here.group_send("news", job(1))
        await here.send(channel, job(2))
        assert [json.loads(process.hear()) for _ in range(2)] == [job(1), job(2)]

    run(test)


def test_the_members_of_a_killed_process_are_gone_within_a_second(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here = bus.hosting()
        process = bus.process(MEMBER)
        channel = process.hear()
        seats = await nodes(here)
        assert {seat["pid"] for seat in seats.values()} == {os.getpid(), process.pid}
        process.kill()
        killed = time.monotonic()
        while len(await nodes(here)) > 1:
            assert time.monotonic() - killed < 1.0
        await here.send(channel, HELLO)
        assert here.statistics()["dropped_closed"] == 1

    run(test)


def test_no_live_member_ever_expires(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        for layer in (here, there):
            layer.clock = lambda: time.monotonic() + 90_000
        other = await member(there, "news")
        await here.group_send("news", job(1))
        assert [await one.numbers(1), await other.numbers(1)] == [[1], [1]]

    run(test)


def test_a_script_that_sends_in_a_hurry_and_ends_has_sent_everything(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here = bus.hosting(capacity=5000)
        await here.group_add("news", "archive")
        script = """
for number in range(500):
    layer.sync.send("work", {"type": "job", "number": number})
    layer.sync.group_send("news", {"type": "job", "number": number})
"""
        assert bus.process(script, capacity=5000).wait() == 0
        for channel in ("work", "archive"):
            got = [(await here.receive(channel))["number"] for _ in range(500)]
            assert got == list(range(500))

    run(test)


@pytest.mark.slow
def test_a_process_that_stands_still_is_cut_off_and_told_when_it_is_back(
    bus: Bus, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "MAX_WAITING", 200_000)

    async def test() -> None:
        here = bus.hosting()
        process = bus.process(MEMBER)
        process.hear()
        witness = await member(here, "news")
        process.pause()
        sent = 0
        while "It is disconnected" not in caplog.text:
            sent += 1
            await here.group_send("news", {**job(sent), "data": "x" * 10_000})
            # Others are served meanwhile.
            assert (await witness.entry())["number"] == sent
            assert sent < 1000
        process.go_on()
        heard = []
        while (entry := json.loads(process.hear())) != "missed True":
            heard.append(entry["number"])
        assert heard == list(range(1, len(heard) + 1))
        assert 0 < len(heard) < sent
        await here.group_send("news", job(0))
        while (entry := json.loads(process.hear())) != job(0):
            assert entry in ("missed True", "missed False")

    run(test)


@pytest.mark.slow
def test_senders_wait_for_a_host_that_stands_still_but_not_for_ever(
    bus: Bus, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "MAX_WAITING", 100_000)
    monkeypatch.setattr(node_module, "WAIT_SECONDS", 1.0)
    monkeypatch.setattr(layer_module, "WAIT_SECONDS", 1.0)

    async def test() -> None:
        process = hosting_process(bus)
        here = bus.layer(host=True)
        one = await member(here, "news")
        process.pause()
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < 1000:
                await here.group_send("news", {**job(sent), "data": "x" * 10_000})
                sent += 1

        with pytest.raises(LayerUnavailable, match="has taken nothing for 1 s"):
            await send()
        assert here.statistics()["waiting_bytes"] < 120_000
        with pytest.raises(LayerUnavailable, match="has not answered in 1 s"):
            await here._answers(here.node.call("", "ping"), 1.0)
        late = bus.layer(host=True)
        with pytest.raises(LayerUnavailable, match="does not answer: the process whose number"):
            await late.group_send("news", HELLO)
        process.go_on()
        assert await one.numbers(sent) == list(range(sent))
        await late.group_send("news", job(-1))
        assert await one.numbers(1) == [-1]

    run(test)


# -- forks ---------------------------------------------------------------------

FORK = """
def fork():
    child = os.fork()
    if child == 0:
        layer.sync.group_send("news", {"type": "from", "who": "child"})
        report = layer.sync.call("report")
        say(len(report[""]["nodes"]), report[layer.node.id]["groups"])
        layer.leave()
        os._exit(0)
    return child

async def main():
    channel, mailbox = await member("news")
    heard = entries(mailbox)
    await layer.group_send("news", {"type": "from", "who": "parent"})
    assert (await anext(heard))["who"] == "parent"
    child = await asyncio.to_thread(fork)
    assert (await anext(heard))["who"] == "child"
    assert os.waitpid(child, 0)[1] == 0
    await layer.group_send("news", {"type": "from", "who": "parent"})
    assert (await anext(heard))["who"] == "parent"
    assert layer.statistics()["reconnects"] == 0
    say("fine")

asyncio.run(main())
"""


@pytest.mark.parametrize("hosts", [True, False])
def test_a_forked_child_has_a_connection_of_its_own(bus: Bus, hosts: bool) -> None:
    if not hosts:
        bus.hosting()
    process = bus.process(FORK, host=hosts)
    assert process.hear() == f"{2 if hosts else 3} {{}}"
    assert process.hear() == "fine"
    assert process.wait() == 0


FORK_AND_LINGER = """
def fork():
    if os.fork() == 0:
        # It has copies of what its parent had open, until the test ends.
        sys.stdin.read()
        os._exit(0)

async def main():
    channel, mailbox = await member("news")
    layer.serve()
    await layer.ping()
    await asyncio.to_thread(fork)
    say("hosting", layer.node.hosting)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_child_keeps_neither_lock_nor_socket_of_a_dead_parent(bus: Bus, run: Any) -> None:
    async def test() -> None:
        process = hosting_process(bus, FORK_AND_LINGER)
        here = bus.layer(host=True)
        await here.ping()
        process.kill()
        await eventually(lambda: here.node.hosting)
        await here.group_send("news", HELLO)

    run(test)


def test_a_host_whose_lock_was_removed_gives_way_to_the_next(
    bus: Bus, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(host_module, "LOOK_SECONDS", 0.0)

    async def test() -> None:
        here, there = bus.hosting(), bus.layer(host=True)
        one = await member(there, "news")
        here.place.lock_path.unlink()
        here.place.socket_path.unlink()
        late = bus.layer(host=True)
        # It hosts, since it finds nobody; the others come to it once they are told.
        await late.ping()
        await there.ping()
        while len((await late.report())[""]["nodes"]) < 3:
            # Each question is a journey over the bus: nothing spins.
            await late.ping()
        await late.group_send("news", job(1))
        async for message in one.messages():
            assert message == job(1)
            break

    run(test)
    assert "another process may host the bus too" in caplog.text
