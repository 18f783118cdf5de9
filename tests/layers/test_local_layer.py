"""Several processes on one bus.

Layers of one process with one place are nodes like any other; real processes play
where one must be killed, stopped or forked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from bus_process import BusProcess
from tests.waiting import wait_until

from channels.exceptions import ChannelFull, LayerUnavailable, MessageTooLarge
from channels.layers import hosted_buses
from channels.layers.local import LocalChannelLayer, frames
from channels.layers.local import host as host_module
from channels.layers.local import inbox as inbox_module
from channels.layers.local import layer as layer_module
from channels.layers.local import node as node_module
from channels.layers.local.addresses import channel_of_node, new_node
from channels.layers.local.frames import FrameReader, Op
from channels.layers.local.node import Node
from channels.layers.local.place import (
    BusPlace,
    bind_bus,
    connect_bus,
    find_place,
    prepare_folder,
    try_lock,
    unbind_bus,
)
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


@pytest.fixture
def bus() -> Iterator[Bus]:
    folder = Path(tempfile.mkdtemp(prefix="channels-"))
    bus = Bus(folder)
    try:
        yield bus
    finally:
        bus.close()
        shutil.rmtree(folder)


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


# -- groups across processes ---------------------------------------------------


def test_a_group_message_reaches_members_in_every_process(bus: Bus, run: Any) -> None:
    async def test() -> None:
        layers = [bus.hosting(), bus.layer(), bus.layer()]
        members = [await member(layer, "news") for layer in layers for _ in range(2)]
        stranger = await member(layers[1], "sport")
        for number, layer in enumerate(layers):
            await layer.group_send("news", job(number))
        for one in members:
            assert sorted(await one.numbers(3)) == [0, 1, 2]
        await layers[0].group_send("sport", job(7))
        assert await stranger.numbers(1) == [7]

    run(test)


def test_messages_of_one_sender_come_in_order(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "a", "b")
        for number in range(300):
            await here.group_send("ab"[number % 2], job(number))
            if number % 50 == 49:
                assert await one.numbers(50) == list(range(number - 49, number + 1))

    run(test)


def test_another_process_makes_a_channel_a_member_and_ends_that(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there)
        await here.group_add("news", one.channel)
        await here.group_send("news", job(1))
        assert await one.numbers(1) == [1]
        await here.group_discard("news", one.channel)
        await here.group_send("news", job(2))
        await here.send(one.channel, job(3))
        assert await one.numbers(1) == [3]

    run(test)


def test_a_consumer_that_ends_leaves_its_groups_everywhere(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        assert (await nodes(here))[there.node.id]["groups"] == 1
        there.detach(one.channel)
        assert (await nodes(here))[there.node.id]["groups"] == 0

    run(test)


def test_flush_is_for_every_process(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there, third = bus.hosting(), bus.layer(), bus.layer()
        one = await member(there, "news")
        await here.group_add("news", "work")
        await here.send("work", HELLO)
        await third.flush()
        await here.group_send("news", job(1))
        await here.send(one.channel, job(2))
        assert await one.numbers(1) == [2]
        assert (await here.report())[""]["queues"] == {}
        # Who joins again is a member again.
        await there.group_add("news", one.channel)
        await here.group_send("news", job(3))
        assert await one.numbers(1) == [3]

    run(test)


def test_a_message_of_a_mebibyte_is_carried_and_one_over_the_limit_refused(
    bus: Bus, run: Any
) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        large = {"type": "large", "data": os.urandom(1 << 20)}
        await here.group_send("news", large)
        await here.send(one.channel, large)
        assert [await one.entry(), await one.entry()] == [large, large]
        over = {"type": "large", "data": bytes(frames.MAX_MESSAGE)}
        with pytest.raises(MessageTooLarge, match="Store it elsewhere"):
            await here.group_send("news", over)
        with pytest.raises(MessageTooLarge, match="Store it elsewhere"):
            await here.send(one.channel, over)
        with pytest.raises(MessageTooLarge, match="Store it elsewhere"):
            await asyncio.to_thread(here.sync.group_send, "news", over)

    run(test)


def test_a_burst_larger_than_the_inbox_arrives_whole(
    bus: Bus, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "MAX_BYTES", 5000)

    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        other = await member(there, "sport")
        sending = asyncio.create_task(
            asyncio.to_thread(
                lambda: [
                    here.sync.group_send("news" if number % 40 else "sport", job(number))
                    for number in range(1, 2001)
                ]
            )
        )
        for number in range(1, 2001):
            assert await (one if number % 40 else other).numbers(1) == [number]
        await sending
        assert there.statistics()["missed"] == 0

    run(test)


# -- channels of other processes -----------------------------------------------


def test_messages_to_a_channel_of_another_process_come_in_order(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there)
        sending = asyncio.create_task(send_many(here, one.channel, 500))
        assert await one.numbers(500) == list(range(500))
        await sending

    run(test)


async def send_many(layer: LocalChannelLayer, channel: str, count: int) -> None:
    """Send, and try again where there is no room."""
    for number in range(count):
        while True:
            try:
                await layer.send(channel, job(number))
                break
            except ChannelFull:
                await asyncio.sleep(0.001)


def test_a_full_channel_of_another_process_refuses(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer(capacity=3)
        one = await member(there)
        for number in range(3):
            await here.send(one.channel, job(number))
        for _ in range(2):
            with pytest.raises(ChannelFull):
                await here.send(one.channel, HELLO)
        with pytest.raises(ChannelFull):
            await asyncio.to_thread(here.sync.send, one.channel, HELLO)
        assert await one.numbers(3) == [0, 1, 2]
        await here.send(one.channel, job(4))
        assert await one.numbers(1) == [4]

    run(test)


def test_who_runs_ahead_hears_of_all_that_was_refused(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there)
        refused = 0
        for number in range(300):
            try:
                await here.send(one.channel, job(number))
            except ChannelFull:
                refused += 1
        taken = one.mailbox.layer_count
        assert taken == 100
        await eventually(lambda: here.statistics()["dropped_full"] == 200 - refused)

    run(test)


async def eventually(condition: Callable[[], bool]) -> None:
    """What another thread brings about is not told to this loop."""
    await asyncio.to_thread(wait_until, condition, seconds=SOON)


def test_a_channel_whose_process_has_ended_takes_nothing_and_says_so(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there)
        await there.close()
        began = time.monotonic()
        await here.send(one.channel, HELLO)
        await here.group_add("news", one.channel)
        await here.group_discard("news", one.channel)
        await asyncio.to_thread(here.sync.send, channel_of_node(new_node(), ""), HELLO)
        assert time.monotonic() - began < SOON
        assert here.statistics()["dropped_closed"] == 2

    run(test)


def test_only_its_own_process_reads_a_channel(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        channel = await there.new_channel()
        await there.ping()
        with pytest.raises(ValueError, match="another process"):
            await here.receive(channel)
        with pytest.raises(ValueError, match="not one that new_channel"):
            Member(here, channel)
        await here.send(channel, HELLO)
        assert await there.receive(channel) == HELLO

    run(test)


# -- named channels ------------------------------------------------------------


def test_each_message_of_a_named_channel_is_read_by_one_process(bus: Bus, run: Any) -> None:
    async def test() -> None:
        layers = [bus.hosting(), bus.layer(), bus.layer()]
        got: list[int] = []
        shares = [0, 0, 0]

        async def work(index: int) -> None:
            while len(got) < 90:
                message = await layers[index].receive("work")
                shares[index] += 1
                got.append(message["number"])

        workers = [asyncio.create_task(work(index)) for index in range(3)]
        for number in range(90):
            await layers[number % 3].send("work", job(number))
        await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
        for worker in workers:
            worker.cancel()
        assert sorted(got) == list(range(90))
        assert min(shares) > 0

    run(test)


def test_a_worker_that_is_cancelled_gives_its_message_back(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there, third = bus.hosting(), bus.layer(), bus.layer()
        for number in range(50):
            reading = asyncio.create_task(there.receive("work"))
            await asyncio.sleep(0)
            await here.send("work", job(number))
            if reading.cancel():
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
                assert (await third.receive("work"))["number"] == number

    run(test)


def test_messages_of_a_named_channel_survive_the_graceful_end_of_the_host(
    bus: Bus, run: Any
) -> None:
    async def test() -> None:
        here, there, third = bus.hosting(), bus.layer(host=True), bus.layer(host=True)
        for layer in (there, third):
            layer.serve()
            await layer.ping()
        for number in range(5):
            await there.send("work", job(number))
        # What is sent meanwhile comes after what the old host has left behind.
        closing = asyncio.create_task(here.close())
        for number in range(5, 20):
            await there.send("work", job(number))
        await closing
        assert [(await third.receive("work"))["number"] for _ in range(20)] == list(range(20))

    run(test)


def test_messages_that_nobody_can_keep_are_said_to_be_lost(
    bus: Bus, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer(host=False)
        for _ in range(3):
            await there.send("work", HELLO)
        await here.close()

    run(test)
    assert "3 message(s) on channel 'work' are lost" in caplog.text


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


# -- one connection a process --------------------------------------------------


def test_threads_and_loops_of_a_process_share_one_connection(bus: Bus, run: Any) -> None:
    here, there = bus.hosting(), bus.layer()

    async def view() -> None:
        await there.group_send("news", HELLO)

    async def test() -> None:
        one = await member(here, "news")
        ways: list[Callable[[], Any]] = [
            lambda: there.sync.group_send("news", HELLO),
            async_to_sync(view),
            lambda: asyncio.run(view()),
        ]
        threads = [threading.Thread(target=way) for way in ways * 4]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert await one.entry() == HELLO
        for thread in threads:
            thread.join(10)
        assert len(await nodes(here)) == 2

    run(test)


def test_members_on_several_loops_of_a_process_all_hear(bus: Bus, run: Any) -> None:
    here, there = bus.hosting(), bus.layer()
    joined = threading.Barrier(4)
    heard: list[list[int]] = []

    async def listen() -> None:
        one = await member(there, "news")
        await asyncio.to_thread(joined.wait, 10)
        heard.append(await one.numbers(30))
        there.detach(one.channel)

    threads = [threading.Thread(target=run, args=(listen,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    joined.wait(10)
    for number in range(30):
        here.sync.group_send("news", job(number))
    for thread in threads:
        thread.join(20)
    assert heard == [list(range(30))] * 3


def test_a_loop_that_stopped_with_members_holds_nobody_up(
    bus: Bus, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = bus.hosting(), bus.layer()

    async def leave_a_member() -> None:
        await member(there, "news")

    run(leave_a_member)
    there.node.missed = 0
    there._arrivals.missed("news", 1)

    async def test() -> None:
        await here.group_send("news", job(1))
        one = await member(there, "news")
        await here.group_send("news", job(2))
        async for message in one.messages():
            if message["number"] == 2:
                break

    run(test)
    assert "bus thread failed" not in caplog.text


def test_a_busy_loop_does_not_keep_what_a_thread_says(bus: Bus, run: Any) -> None:
    here, there = bus.hosting(), bus.layer()

    async def test() -> None:
        one = await member(here, "news")
        await there.ping()
        sent = threading.Event()

        async def busy() -> None:
            # Corked until the end of a turn in which this loop stands still.
            there.node.publish("news", b"\x82\xa4type\xa3job\xa6number\x01", time.monotonic() + 60)
            sent.set()
            waited.wait(10)

        waited = threading.Event()
        blocking = threading.Thread(target=asyncio.run, args=(busy(),))
        blocking.start()
        await asyncio.to_thread(sent.wait, 10)
        await asyncio.to_thread(there.sync.group_send, "news", job(2))
        assert await one.numbers(2) == [1, 2]
        waited.set()
        blocking.join(10)

    run(test)


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
    await asyncio.sleep(60)

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


# -- a host that is played -------------------------------------------------------


class PlayedHost:
    """A host that does what the test says."""

    def __init__(self, place: BusPlace) -> None:
        prepare_folder(place)
        lock = try_lock(place)
        assert lock is not None
        self._place, self._lock = place, lock
        self._listener = bind_bus(place, lock)
        self._listener.settimeout(10)

    def accept(self) -> None:
        self._sock, _ = self._listener.accept()
        self._sock.settimeout(10)
        self._reader = FrameReader()
        self._frames: list[bytes] = []

    def welcome(self, host: str) -> None:
        self.say(Op.WELCOME, version=frames.VERSION, host=host, pid=1, project="")

    def say(self, op: Op, **content: Any) -> None:
        self._sock.sendall(frames.control(op, **content))

    def hear(self, op: Op) -> bytes:
        """The next frame, which has to be of this kind."""
        while not self._frames:
            self._frames = self._reader.receive(self._sock.recv(1 << 16))
        frame = self._frames.pop(0)
        assert frames.op_of(frame) == op
        return frame

    def hang_up(self) -> None:
        self._sock.close()

    def close(self) -> None:
        self.hang_up()
        unbind_bus(self._place, self._listener, self._lock)


@pytest.fixture
def played(bus: Bus) -> Iterator[PlayedHost]:
    host = PlayedHost(find_place(bus.config["name"], bus.config["directory"]))
    yield host
    host.close()


def test_what_still_waits_is_not_said_to_be_published(bus: Bus, played: PlayedHost) -> None:
    node = bus.layer(host=False).node
    node.start()
    played.accept()
    played.hear(Op.HELLO)
    played.welcome("first")
    ready = node.ready()
    if ready is not None:
        ready.result(SOON)
    for _ in range(3):
        node.publish("news", b"", 0.0)
    numbers = [frames.read_publication(played.hear(Op.PUBLISH)).number for _ in range(3)]
    played.say(Op.BYE, nodes=[])
    played.hear(Op.BYE)
    for group in ("news", "news", "sport"):
        node.publish(group, b"", 0.0)
    played.hang_up()
    played.accept()
    played.hear(Op.HELLO)
    positions = frames.read_control(played.hear(Op.POSITIONS))["positions"]
    assert {group: place[:2] for group, place in positions.items()} == {"news": (1, 3)}
    # Nothing else comes before the welcome of a host that lives.
    played.welcome("second")
    waited = [frames.read_publication(played.hear(Op.PUBLISH)) for _ in range(3)]
    numbers += [publication.number for publication in waited]
    assert numbers == [1, 2, 3, 4, 5, 1]


def test_why_it_was_refused_is_heard_by_who_is_hung_up_on(
    bus: Bus, run: Any, played: PlayedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "JOIN_SECONDS", 0.5)

    async def test() -> None:
        layer = bus.layer(host=False)
        sending = asyncio.create_task(layer.group_send("news", HELLO))
        await asyncio.sleep(0)
        await asyncio.to_thread(played.accept)
        # Perhaps before it has said anything.
        played.say(Op.REFUSED, reason="of a reason")
        played.hang_up()
        with pytest.raises(LayerUnavailable, match="refused this process: of a reason"):
            await sending

    run(test)


# -- what there is to know -----------------------------------------------------


def test_statistics_and_report_name_what_there_is(bus: Bus, run: Any) -> None:
    async def test() -> None:
        here, there = bus.hosting(), bus.layer()
        one = await member(there, "news")
        await here.send("work", HELLO)
        assert here.statistics().keys() == {
            "channels",
            "groups",
            "memberships",
            "waiting",
            "unread",
            "expired",
            "dropped_full",
            "dropped_closed",
            "dropped_unreachable",
            "dropped_unknown",
            "dropped_failed",
            "missed",
            "duplicates",
            "reconnects",
            "waiting_bytes",
        }
        report = await here.report()
        assert report.keys() == {"", here.node.id, there.node.id}
        assert report[""]["queues"] == {"work": 1}
        assert report[there.node.id]["groups"] == {"news": [one.channel]}
        assert report[here.node.id]["hosting"] is True
        assert report[there.node.id]["hosting"] is False
        assert 0 < await there.ping() < SOON

    run(test)
