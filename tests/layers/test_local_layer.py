"""Several processes on one bus: groups and channels that they share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from local_bus import (
    HELLO,
    SOON,
    Bus,
    Member,
    eventually,
    job,
    member,
    nodes,
)

from channels.exceptions import ChannelFull, MessageTooLarge
from channels.layers.codec import MAX_MESSAGE
from channels.layers.local import inbox as inbox_module
from channels.layers.local.addresses import channel_of_node, new_node

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
        over = {"type": "large", "data": bytes(MAX_MESSAGE)}
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
        here, there = bus.hosting(), bus.layer(capacity=500)
        one = await member(there)
        for number in range(500):
            await here.send(one.channel, job(number))
        assert await one.numbers(500) == list(range(500))

    run(test)


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
        await there.ping()
        await here.close()

    run(test)
    assert "3 message(s) on channel 'work' are lost" in caplog.text


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
        await there.ping()
        began, done = threading.Event(), threading.Event()

        async def busy() -> None:
            # Written at the end of a turn in which this loop stands still.
            there.node.call("", "ping")
            began.set()
            done.wait(10)

        thread = threading.Thread(target=asyncio.run, args=(busy(),))
        thread.start()
        began.wait(10)
        async with asyncio.timeout(SOON):
            await asyncio.to_thread(there.sync.send, "work", HELLO)
        done.set()
        thread.join(10)
        assert await here.receive("work") == HELLO

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
