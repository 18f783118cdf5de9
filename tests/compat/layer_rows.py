"""Rows over a layer: its channels and groups, and what it carries."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import uuid
from typing import Any

from tests.compat.behaviours import async_outcome
from tests.compat.layer_table import (
    A_WHILE,
    HELLO,
    SOON,
    LayerRows,
    got,
    job,
    members,
    raised,
    rest_of,
)
from tests.waiting import meanwhile

row = LayerRows()


# -- channels --------------------------------------------------------------------


@row([0, 1, 2])
async def messages_of_a_channel_come_in_order(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    for number in range(3):
        await layer.send(channel, job(number))
    return [(await got(layer, channel))["number"] for _ in range(3)]


@row(HELLO)
async def a_channel_with_a_name_keeps_what_nobody_reads_yet(make: Any) -> Any:
    layer = make()
    await layer.send("work", HELLO)
    return await got(layer, "work", 1.0)


@row([True, True, True, 20])
async def names_of_new_channels(make: Any) -> Any:
    layer = make()
    name, mine = await layer.new_channel(), await layer.new_channel(prefix="mine")
    names = {await layer.new_channel() for _ in range(20)}
    return [name.startswith("specific."), mine.startswith("mine"), "!" in name, len(names)]


@row("ChannelFull")
async def a_full_channel_refuses(make: Any) -> Any:
    layer = make(capacity=2)
    channel = await layer.new_channel()
    for _ in range(2):
        await layer.send(channel, HELLO)
    return await raised(layer.send(channel, HELLO))


@row([None, 2])
async def a_group_message_for_a_full_member_is_dropped_in_silence(make: Any) -> Any:
    layer = make(capacity=2)
    (channel,) = await members(layer, "all", 1)
    answers = [await async_outcome(layer.group_send("all", HELLO)) for _ in range(4)]
    await meanwhile(A_WHILE, "a layer that sends ahead delivers; reading earlier makes room")
    return [answers[3], len(await rest_of(layer, channel))]


@row("nothing")
async def a_full_channel_leaves_room_in_others(make: Any) -> Any:
    layer = make(capacity=2)
    full, other = await layer.new_channel(), await layer.new_channel()
    for _ in range(2):
        await layer.send(full, HELLO)
    return await raised(layer.send(other, HELLO))


@row([HELLO, HELLO])
async def parameters_may_be_given_by_name(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    await layer.group_add(group="all", channel=channel)
    await layer.group_send(group="all", message=HELLO)
    await layer.send(channel=channel, message=HELLO)
    seen = [await asyncio.wait_for(layer.receive(channel=channel), SOON) for _ in range(2)]
    await layer.group_discard(group="all", channel=channel)
    return seen


@row(["TypeError"] * 5)
async def names_that_no_layer_may_take(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    return [
        await raised(layer.send("a b", HELLO)),
        await raised(layer.group_add("a b", channel)),
        await raised(layer.group_add("all", "a b")),
        await raised(layer.group_discard("a:b", channel)),
        await raised(layer.group_send("x" * 100, HELLO)),
    ]


@row(["bool", "bytes", "dict", "float", "int", "list", "NoneType", "str"])
async def plain_values_arrive_as_they_are(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    values = [True, b"\x00\xff", {"a": {"b": [1]}}, 1.5, 1 << 40, [1, [2]], None, "é😀"]
    await layer.send(channel, {"type": "job", "values": values})
    arrived = (await got(layer, channel))["values"]
    assert arrived == values
    return [type(value).__name__ for value in arrived]


@row(["tuple", "set", "datetime", "date", "Decimal", "UUID", "int key"])
async def other_values_arrive_as_they_are(make: Any) -> Any:
    layer = make()
    moment = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
    values = [(1, "a"), {1}, moment, moment.date(), decimal.Decimal("1.10"), uuid.UUID(int=5)]
    seen = [await _arrived(layer, value) for value in values]
    keys = await _arrived(layer, {1: "one"})
    return [*seen, "int key" if keys == "dict" else keys]


async def _arrived(layer: Any, value: Any) -> str:
    channel = await layer.new_channel()

    async def there() -> Any:
        await layer.send(channel, {"type": "job", "value": value})
        return (await layer.receive(channel))["value"]

    seen = await async_outcome(asyncio.wait_for(there(), SOON))
    failed = isinstance(seen, dict) and "raises" in seen
    return str(seen["raises"]) if failed else type(seen).__name__


@row(1 << 20)
async def a_message_may_have_a_megabyte(make: Any) -> Any:
    layer = make()
    channel = await layer.new_channel()
    await layer.send(channel, {"type": "job", "text": "x" * (1 << 20)})
    return len((await got(layer, channel))["text"])


# -- groups -------------------------------------------------------------------------


@row([[HELLO], [HELLO], []])
async def a_group_message_reaches_every_member_and_nobody_else(make: Any) -> Any:
    layer = make()
    channels = [*await members(layer, "all", 2), *await members(layer, "others", 1)]
    await layer.group_send("all", HELLO)
    return [await rest_of(layer, channel) for channel in channels]


@row([HELLO])
async def joining_twice_delivers_once(make: Any) -> Any:
    layer = make()
    (channel,) = await members(layer, "all", 1)
    await layer.group_add("all", channel)
    await layer.group_send("all", HELLO)
    return await rest_of(layer, channel)


@row(["nothing", "nothing", []])
async def who_leaves_gets_nothing_and_a_stranger_may_leave(make: Any) -> Any:
    layer = make()
    (channel,) = await members(layer, "all", 1)
    stranger = await layer.new_channel()
    answers = [
        await raised(layer.group_discard("all", stranger)),
        await raised(layer.group_discard("nobody", channel)),
    ]
    await layer.group_discard("all", channel)
    await layer.group_send("all", HELLO)
    return [*answers, await rest_of(layer, channel)]


@row("nothing")
async def a_group_without_members_takes_messages(make: Any) -> Any:
    return await raised(make().group_send("nobody", HELLO))


@row([[1], [1, "mine"]])
async def a_receiver_that_changes_its_message_changes_nobody_elses(make: Any) -> Any:
    layer = make()
    one, two = await members(layer, "all", 2)
    await layer.group_send("all", {"type": "job", "list": [1]})
    first = await got(layer, one)
    first["list"].append("mine")
    return [(await got(layer, two))["list"], first["list"]]


@row([[], []])
async def flush_forgets_messages_and_groups(make: Any) -> Any:
    layer = make()
    (channel,) = await members(layer, "all", 1)
    await layer.send(channel, HELLO)
    await layer.flush()
    before = await rest_of(layer, channel)
    await layer.group_send("all", HELLO)
    return [before, await rest_of(layer, channel)]
