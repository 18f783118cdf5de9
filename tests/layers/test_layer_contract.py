"""What every channel layer promises, whatever moves its messages."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from channels.exceptions import ChannelFull, MessageTooLarge
from channels.layers.codec import MAX_MESSAGE

HELLO = {"type": "hello"}


async def nothing_waits(layer: Any, channel: str) -> bool:
    """Whether a receiver that looks has to wait."""
    task = asyncio.create_task(layer.receive(channel))
    done, _ = await asyncio.wait([task], timeout=0.02)
    task.cancel()
    await asyncio.wait([task])
    return not done


# -- channels ----------------------------------------------------------------


def test_messages_of_a_channel_come_in_order(layer: Any, run: Any) -> None:
    async def test() -> None:
        for number in range(3):
            await layer.send("work", {"type": "job", "number": number})
        assert [(await layer.receive("work"))["number"] for _ in range(3)] == [0, 1, 2]

    run(test)


def test_a_waiting_receiver_gets_what_is_sent_later(layer: Any, run: Any) -> None:
    async def test() -> None:
        receiving = asyncio.create_task(layer.receive("work"))
        await asyncio.sleep(0)
        await layer.send("work", HELLO)
        assert await receiving == HELLO

    run(test)


def test_parameters_may_be_given_by_name(layer: Any, run: Any) -> None:
    async def test() -> None:
        await layer.group_add(group="all", channel="one")
        await layer.group_send(group="all", message=HELLO)
        await layer.send(channel="one", message=HELLO)
        assert [await layer.receive(channel="one") for _ in range(2)] == [HELLO, HELLO]
        await layer.group_discard(group="all", channel="one")

    run(test)


def test_a_full_channel_refuses_and_keeps_what_it_has(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(capacity=2)
        await layer.send("work", {"type": "a"})
        await layer.send("work", {"type": "b"})
        with pytest.raises(ChannelFull):
            await layer.send("work", {"type": "c"})
        assert (await layer.receive("work"))["type"] == "a"
        await layer.send("work", {"type": "d"})
        assert [(await layer.receive("work"))["type"] for _ in range(2)] == ["b", "d"]

    run(test)


def test_capacities_go_by_pattern_and_the_first_match_wins(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(capacity=3, channel_capacity={"mail.bulk": 1, "mail.*": 2})
        for channel, room in {"mail.bulk": 1, "mail.one": 2, "other": 3}.items():
            for _ in range(room):
                await layer.send(channel, HELLO)
            with pytest.raises(ChannelFull):
                await layer.send(channel, HELLO)

    run(test)


def test_a_message_that_is_too_old_is_not_delivered(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(expiry=10)
        await layer.send("work", {"type": "old"})
        await backend.pass_time(9)
        await layer.send("work", {"type": "young"})
        await backend.pass_time(2)
        assert (await layer.receive("work"))["type"] == "young"
        assert await nothing_waits(layer, "work")

    run(test)


def test_old_messages_make_room_for_new_ones(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(expiry=10, capacity=1)
        await layer.send("work", {"type": "old"})
        await backend.pass_time(11)
        await layer.send("work", {"type": "new"})
        assert (await layer.receive("work"))["type"] == "new"

    run(test)


def test_each_message_goes_to_one_of_several_receivers(layer: Any, run: Any) -> None:
    async def test() -> None:
        receivers = [asyncio.create_task(layer.receive("work")) for _ in range(3)]
        await asyncio.sleep(0)
        for number in range(3):
            await layer.send("work", {"type": "job", "number": number})
        got = await asyncio.gather(*receivers)
        assert sorted(message["number"] for message in got) == [0, 1, 2]

    run(test)


def test_a_cancelled_receiver_takes_nothing_from_the_others(layer: Any, run: Any) -> None:
    async def test() -> None:
        cancelled, waiting = (asyncio.create_task(layer.receive("work")) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await layer.send("work", HELLO)
        assert await waiting == HELLO

    run(test)


def test_a_receiver_cancelled_while_its_message_comes_loses_nothing(layer: Any, run: Any) -> None:
    async def test() -> None:
        cancelled, waiting = (asyncio.create_task(layer.receive("work")) for _ in range(2))
        await asyncio.sleep(0)
        await layer.send("work", HELLO)
        if not cancelled.cancel():
            # It came while send() waited for an answer.
            assert cancelled.result() == HELLO
            await layer.send("work", HELLO)
        assert await waiting == HELLO
        # Alone, it leaves the message to whoever asks next.
        alone = asyncio.create_task(layer.receive("work"))
        await asyncio.sleep(0)
        await layer.send("work", HELLO)
        if alone.cancel():
            await asyncio.wait([alone])
            assert await layer.receive("work") == HELLO
        else:
            assert alone.result() == HELLO

    run(test)


def test_new_channel_names_are_valid_and_never_the_same(layer: Any, run: Any) -> None:
    async def test() -> None:
        names = [await layer.new_channel() for _ in range(1000)]
        assert len(set(names)) == 1000
        assert all(layer.require_valid_channel_name(name) for name in names)
        assert (await layer.new_channel(prefix="mine")).startswith("mine")

    run(test)


def test_a_message_must_be_a_dict(layer: Any, run: Any) -> None:
    async def test() -> None:
        for bad in ("text", None, [("type", "x")]):
            with pytest.raises(TypeError, match="message is not a dict"):
                await layer.send("work", bad)
            with pytest.raises(TypeError, match="message is not a dict"):
                await layer.group_send("all", bad)

    run(test)


def test_bad_names_are_refused_everywhere(layer: Any, run: Any) -> None:
    async def test() -> None:
        for bad in ("a b", "x" * 100, None, ["x"], ""):
            with pytest.raises(TypeError, match="Channel name must be"):
                await layer.send(bad, HELLO)
            with pytest.raises(TypeError, match="Channel name must be"):
                await layer.receive(bad)
            with pytest.raises(TypeError, match="Channel name must be"):
                await layer.group_add("all", bad)
            with pytest.raises(TypeError, match="Group name must be"):
                await layer.group_add(bad, "work")
            with pytest.raises(TypeError, match="Group name must be"):
                await layer.group_send(bad, HELLO)
            with pytest.raises(TypeError, match="Group name must be"):
                await layer.group_discard(bad, "work")

    run(test)


# -- groups --------------------------------------------------------------------


def test_a_group_message_reaches_every_member_and_nobody_else(layer: Any, run: Any) -> None:
    async def test() -> None:
        members = [await layer.new_channel() for _ in range(3)]
        stranger = await layer.new_channel()
        for member in members:
            await layer.group_add("all", member)
        await layer.group_send("all", HELLO)
        assert [await layer.receive(member) for member in members] == [HELLO] * 3
        assert await nothing_waits(layer, stranger)

    run(test)


def test_a_group_of_nobody_takes_any_message(layer: Any, run: Any) -> None:
    async def test() -> None:
        await layer.group_send("nobody", HELLO)

    run(test)


def test_joining_twice_delivers_once(layer: Any, run: Any) -> None:
    async def test() -> None:
        await layer.group_add("all", "one")
        await layer.group_add("all", "one")
        await layer.group_send("all", HELLO)
        assert await layer.receive("one") == HELLO
        assert await nothing_waits(layer, "one")

    run(test)


def test_leaving_a_group_one_is_not_in_is_silent(layer: Any, run: Any) -> None:
    async def test() -> None:
        await layer.group_discard("all", "one")
        await layer.group_add("all", "two")
        await layer.group_discard("all", "one")
        await layer.group_send("all", HELLO)
        assert await layer.receive("two") == HELLO

    run(test)


def test_who_left_gets_nothing(layer: Any, run: Any) -> None:
    async def test() -> None:
        await layer.group_add("all", "one")
        await layer.group_discard("all", "one")
        await layer.group_send("all", HELLO)
        assert await nothing_waits(layer, "one")

    run(test)


def test_members_never_see_each_others_changes(layer: Any, run: Any) -> None:
    async def test() -> None:
        for message in ({"type": "flat", "n": 1}, {"type": "deep", "list": [{"n": [1]}]}):
            original = repr(message)
            for member in ("one", "two"):
                await layer.group_add("all", member)
            await layer.group_send("all", message)
            first = await layer.receive("one")
            first["new"] = 1
            if "list" in first:
                first["list"][0]["n"].append(2)
            assert repr(await layer.receive("two")) == original
            assert repr(message) == original

    run(test)


def test_what_a_sender_changes_later_is_not_sent(layer: Any, run: Any) -> None:
    async def test() -> None:
        message: dict[str, Any] = {"type": "a", "list": [1]}
        await layer.send("work", message)
        message["list"].append(2)
        message["type"] = "b"
        assert await layer.receive("work") == {"type": "a", "list": [1]}

    run(test)


def test_a_full_member_changes_nothing_for_the_others(
    backend: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        layer = backend.make(capacity=1)
        for member in ("full", "free"):
            await layer.group_add("all", member)
        await layer.send("full", {"type": "first"})
        await layer.group_send("all", HELLO)
        assert await layer.receive("free") == HELLO
        assert (await layer.receive("full"))["type"] == "first"
        assert layer.statistics()["dropped_full"] == 1

    run(test)
    assert [record.name for record in caplog.records] == ["channels.layers"]


def test_a_membership_ends_when_it_was_not_renewed(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(group_expiry=100)
        await layer.group_add("all", "old")
        await layer.group_add("all", "renewed")
        await backend.pass_time(60)
        await layer.group_add("all", "renewed")
        await backend.pass_time(60)
        await layer.group_send("all", HELLO)
        assert await layer.receive("renewed") == HELLO
        assert await nothing_waits(layer, "old")

    run(test)


def test_a_message_that_expires_ends_no_membership(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(expiry=10)
        await layer.group_add("all", "one")
        await layer.send("one", HELLO)
        await backend.pass_time(11)
        assert await nothing_waits(layer, "one")
        await layer.group_send("all", HELLO)
        assert await layer.receive("one") == HELLO

    run(test)


def test_flush_forgets_messages_and_groups_but_no_receiver(layer: Any, run: Any) -> None:
    async def test() -> None:
        waiting = asyncio.create_task(layer.receive("other"))
        await layer.group_add("all", "one")
        await layer.send("one", HELLO)
        await layer.flush()
        await layer.group_send("all", HELLO)
        assert await nothing_waits(layer, "one")
        await layer.send("other", HELLO)
        assert await waiting == HELLO

    run(test)


# -- several loops ---------------------------------------------------------------


def test_a_message_reaches_a_receiver_on_another_event_loop(layer: Any, run: Any) -> None:
    got: list[Any] = []
    waiting = threading.Event()

    async def receive() -> None:
        asyncio.get_running_loop().call_soon(waiting.set)
        got.append(await layer.receive("work"))

    thread = threading.Thread(target=run, args=(receive,))
    thread.start()
    waiting.wait(5)

    async def send() -> None:
        await layer.send("work", HELLO)

    run(send)
    thread.join(5)
    assert got == [HELLO]


def test_a_receiver_of_a_loop_that_is_gone_takes_nothing(layer: Any, run: Any) -> None:
    async def leave_a_receiver() -> None:
        asyncio.get_running_loop().create_task(layer.receive("work"))
        await asyncio.sleep(0)

    async def test() -> None:
        await layer.send("work", HELLO)
        assert await layer.receive("work") == HELLO

    run(leave_a_receiver)
    run(test)


def test_threads_that_send_at_once_lose_nothing(backend: Any, run: Any) -> None:
    layer = backend.make(capacity=10_000)

    async def send() -> None:
        for number in range(200):
            await layer.send("work", {"type": "job", "number": number})

    threads = [threading.Thread(target=run, args=(send,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    async def test() -> list[int]:
        return [(await layer.receive("work"))["number"] for _ in range(800)]

    assert sorted(run(test)) == sorted(list(range(200)) * 4)


# -- values ------------------------------------------------------------------

VALUES = {
    "text": "größe",
    "moment": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    "day": date(2026, 3, 1),
    "span": timedelta(minutes=3),
    "id": UUID(int=7),
    "price": Decimal("1.10"),
    "set": {1, 2},
    "pair": (1, "a"),
    "numbers": {1: "one", 2: "two"},
    "large": 1 << 70,
    "data": b"\x00\xff",
    "nothing": None,
}


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same type all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(a, b) for a, b in zip(one.items(), other.items(), strict=True))
    return not isinstance(one, (list, tuple)) or all(map(same, one, other))


def test_every_value_arrives_as_it_was_sent(layer: Any, run: Any) -> None:
    async def test() -> None:
        message = {"type": "values", **VALUES, "nested": [VALUES, {"again": VALUES}]}
        member = await layer.new_channel()
        await layer.group_add("all", member)
        await layer.send("work", message)
        await layer.send(member, message)
        await layer.group_send("all", message)
        for channel in ("work", member, member):
            assert same(await layer.receive(channel), message)

    run(test)


def test_kinds_of_text_arrive_as_text(layer: Any, run: Any) -> None:
    async def test() -> None:
        member = await layer.new_channel()
        await layer.group_add("all", member)
        message = {"type": "text", "lazy": gettext_lazy("yes"), "safe": mark_safe("<b>")}
        await layer.send(member, message)
        await layer.group_send("all", message)
        for _ in range(2):
            got = await layer.receive(member)
            assert same(got, {"type": "text", "lazy": "yes", "safe": "<b>"})

    run(test)


def test_what_cannot_be_carried_is_refused_by_key_and_type(layer: Any, run: Any) -> None:
    async def test() -> None:
        member = await layer.new_channel()
        await layer.group_add("all", member)
        bad = {"type": "bad", "rows": [{"user": object()}]}
        says = r"message\['rows'\]\[0\]\['user'\] is a object"
        for send in (layer.send("work", bad), layer.send(member, bad)):
            with pytest.raises(TypeError, match=says):
                await send
        for group in ("all", "nobody"):
            with pytest.raises(TypeError, match=says):
                await layer.group_send(group, bad)
        large = {"type": "large", "data": [bytes(MAX_MESSAGE)]}
        with pytest.raises(MessageTooLarge, match="layers carry up to"):
            await layer.send(member, large)
        with pytest.raises(MessageTooLarge, match="layers carry up to"):
            await layer.group_send("all", large)
        await layer.send(member, HELLO)
        assert await layer.receive(member) == HELLO

    run(test)


def test_groups_of_channels_itself_are_not_shown_among_the_projects(layer: Any, run: Any) -> None:
    async def test() -> None:
        ours, theirs = await layer.new_channel("channels.auth"), await layer.new_channel()
        await layer.group_add("channels.auth", ours)
        assert layer.groups == {}
        await layer.group_add("all", theirs)
        assert list(layer.groups) == ["all"]
        await layer.group_send("channels.auth", HELLO)
        assert await layer.receive(ours) == HELLO

    run(test)
