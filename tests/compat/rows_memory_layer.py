"""Rows: channels and groups of the layer in memory."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
import inspect
import random
import re
import threading
import time
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, set_up_django
from tests.waiting import let_pass

set_up_django()


from tests.compat.memory_calls import HELLO, SOON, chatting, soon

from channels.layers import InMemoryChannelLayer

row = Rows()


async def raised(awaitable: Any) -> Any:
    seen = await soon(awaitable)
    return seen["raises"] if isinstance(seen, dict) and "raises" in seen else "nothing"


# -- making one ------------------------------------------------------------------


@row(
    upstream=[
        {"expiry": 60, "group_expiry": 86400, "capacity": 100, "channel_capacity": None},
        [60, 86400, 100],
        ["groups", "flush"],
    ]
)
def defaults_and_extensions_of_the_layer_in_memory() -> Any:
    found = inspect.signature(InMemoryChannelLayer.__init__).parameters
    layer = InMemoryChannelLayer()
    return [
        {name: one.default for name, one in found.items() if name not in ("self", "kwargs")},
        [layer.expiry, layer.group_expiry, layer.capacity],
        layer.extensions,
    ]


@row(upstream=[{}, {}])
def channels_and_groups_are_empty_dicts_at_first() -> Any:
    layer = InMemoryChannelLayer()
    return [layer.channels, layer.groups]


@row(upstream=[True, True, "str"])
async def names_of_new_channels() -> Any:
    layer = InMemoryChannelLayer()
    name = await layer.new_channel()
    mine = await layer.new_channel(prefix="mine")
    return [
        bool(re.fullmatch(r"specific\.\.inmemory![a-zA-Z]{12}", name)),
        bool(re.fullmatch(r"mine\.inmemory![a-zA-Z]{12}", mine)),
        type(name).__name__,
    ]


@row(upstream=True, ours=False)
async def names_of_new_channels_follow_a_seed() -> Any:
    layer = InMemoryChannelLayer()
    names = []
    for _ in range(2):
        random.seed(5)
        names.append(await layer.new_channel())
    return names[0] == names[1]


# -- channels -----------------------------------------------------------------------


@row(upstream=[0, 1, 2])
async def messages_come_in_the_order_of_sending() -> Any:
    layer = InMemoryChannelLayer()
    for number in range(3):
        await layer.send(channel="work", message={"type": "job", "number": number})
    return [(await layer.receive(channel="work"))["number"] for _ in range(3)]


@row(upstream=HELLO)
async def a_waiting_receiver_gets_what_is_sent_later() -> Any:
    layer = InMemoryChannelLayer()
    receiving = asyncio.create_task(layer.receive("work"))
    await asyncio.sleep(0)
    await layer.send("work", HELLO)
    return await receiving


@row(upstream=[["work"], {}])
async def a_channel_is_listed_while_messages_wait() -> Any:
    layer = InMemoryChannelLayer()
    await layer.send("work", HELLO)
    waiting = list(layer.channels)
    await layer.receive("work")
    return [waiting, layer.channels]


@row(upstream=[["work"], {}])
async def a_channel_is_listed_while_it_is_read() -> Any:
    layer = InMemoryChannelLayer()
    receiving = asyncio.create_task(layer.receive("work"))
    await asyncio.sleep(0)
    read = list(layer.channels)
    await layer.send("work", HELLO)
    await receiving
    return [read, layer.channels]


@row(upstream={"raises": "ChannelFull", "says": "work"})
async def a_full_channel_is_named_by_the_error() -> Any:
    layer = InMemoryChannelLayer(capacity=1)
    await layer.send("work", HELLO)
    return await async_outcome(layer.send("work", HELLO))


@row(upstream="ValueError", ours="nothing")
async def capacities_by_channel_in_memory() -> Any:
    return await raised(InMemoryChannelLayer(channel_capacity={"work*": 1}).send("work", HELLO))


@row(
    upstream={"raises": "AssertionError", "says": "message is not a dict"},
    ours={"raises": "TypeError", "says": "message is not a dict: 'hello'"},
)
async def a_message_that_is_no_dict() -> Any:
    layer: Any = InMemoryChannelLayer()
    return await async_outcome(layer.send("work", "hello"))


@row(
    upstream={"raises": "AssertionError", "says": "Message is not a dict"},
    ours={"raises": "TypeError", "says": "message is not a dict: 'hello'"},
)
async def a_group_message_that_is_no_dict() -> Any:
    layer: Any = InMemoryChannelLayer()
    return await async_outcome(layer.group_send("all", "hello"))


@row(upstream="AssertionError", ours="TypeError")
async def a_message_with_the_key_that_layers_keep() -> Any:
    layer = InMemoryChannelLayer()
    return await raised(layer.send("work", {"type": "job", "__asgi_channel__": "x"}))


@row(upstream=["TypeError"] * 6)
async def names_that_are_refused() -> Any:
    layer = InMemoryChannelLayer()
    calls = [layer.send("a b", HELLO), layer.receive("a b"), layer.group_add("a b", "one")]
    calls += [layer.group_add("all", "a b"), layer.group_discard("a b", "one")]
    calls += [layer.group_send("a b", HELLO)]
    return [await raised(call) for call in calls]


@row(upstream="TimeoutError", ours=HELLO)
async def of_two_receivers_one_is_cancelled() -> Any:
    layer = InMemoryChannelLayer()
    cancelled, waiting = (asyncio.create_task(layer.receive("work")) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    await layer.send("work", HELLO)
    seen = await soon(waiting)
    return seen.get("raises", seen)


@row(upstream="TimeoutError")
async def an_expired_message_is_not_received() -> Any:
    layer = InMemoryChannelLayer(expiry=-1)
    await layer.send("work", HELLO)
    return await raised(layer.receive("work"))


@row(upstream="ChannelFull", ours="nothing")
async def expired_messages_make_room() -> Any:
    layer = InMemoryChannelLayer(expiry=-1, capacity=1)
    await layer.send("work", HELLO)
    return await raised(layer.send("work", HELLO))


@row(upstream=False, ours=True)
def a_receiver_on_another_event_loop_is_woken_at_once() -> Any:
    layer, reading = InMemoryChannelLayer(), threading.Event()
    took: list[float] = []

    async def receive() -> None:
        receiving = asyncio.create_task(layer.receive("work"))
        await asyncio.sleep(0)
        reading.set()
        began = time.monotonic()
        # The loop looks up after this, if nobody wakes it before.
        await asyncio.wait([receiving], timeout=1)
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=lambda: asyncio.run(receive()))
    thread.start()
    reading.wait()
    let_pass(0.1, "the receiver's loop sleeps, with nothing but the second to wait for")
    asyncio.run(layer.send("work", HELLO))
    thread.join()
    return took[0] < 0.9


@row(upstream="TimeoutError", ours="RuntimeError")
async def receive_beside_the_consumer_of_a_channel() -> Any:
    layer = InMemoryChannelLayer()
    async with chatting(layer):
        (channel,) = layer.groups["chat"]
        return await raised(layer.receive(channel))


# -- groups ---------------------------------------------------------------------------


@row(upstream=[["one", "two"], ["two"], {}])
async def groups_is_a_dict_of_members() -> Any:
    layer = InMemoryChannelLayer()
    for channel in ("one", "two", "one"):
        await layer.group_add(group="all", channel=channel)
    both = sorted(layer.groups["all"])
    await layer.group_discard(group="all", channel="one")
    left = list(layer.groups["all"])
    await layer.group_discard("all", "two")
    return [both, left, layer.groups]


@row(upstream=True)
async def joining_again_renews_the_membership() -> Any:
    layer = InMemoryChannelLayer()
    await layer.group_add("all", "one")
    layer.groups["all"]["one"] -= 50
    old = layer.groups["all"]["one"]
    await layer.group_add("all", "one")
    return layer.groups["all"]["one"] > old + 40


@row(upstream=True, ours=False)
async def times_of_joining_are_those_of_the_day() -> Any:
    layer = InMemoryChannelLayer()
    await layer.group_add("all", "one")
    return abs(layer.groups["all"]["one"] - time.time()) < 60


@row(upstream=[None, None, None, {}])
async def strangers_and_empty_groups_are_no_errors() -> Any:
    layer = InMemoryChannelLayer()
    return [
        await async_outcome(layer.group_discard("nobody", "one")),
        await async_outcome(layer.group_send("nobody", HELLO)),
        await async_outcome(layer.group_discard("nobody", "one")),
        layer.groups,
    ]


@row(upstream=[HELLO, HELLO])
async def a_group_message_reaches_every_member() -> Any:
    layer = InMemoryChannelLayer()
    for channel in ("one", "two"):
        await layer.group_add("all", channel)
    await layer.group_send(group="all", message=HELLO)
    return [await layer.receive(channel) for channel in ("one", "two")]


@row(upstream=[None, "old", "TimeoutError"])
async def group_send_says_nothing_of_a_full_member() -> Any:
    layer = InMemoryChannelLayer(capacity=1)
    await layer.group_add("all", "one")
    await layer.send("one", {"type": "old"})
    answer = await async_outcome(layer.group_send("all", HELLO))
    return [answer, (await layer.receive("one"))["type"], await raised(layer.receive("one"))]


@row(upstream=[[1], [1, "mine"]])
async def a_receiver_that_changes_its_message_changes_nobody_elses() -> Any:
    layer = InMemoryChannelLayer()
    message: dict[str, Any] = {"type": "job", "list": [1]}
    for channel in ("one", "two"):
        await layer.group_add("all", channel)
    await layer.group_send("all", message)
    first = await layer.receive("one")
    first["list"].append("mine")
    return [(await layer.receive("two"))["list"], first["list"]]


@row(upstream=[1])
async def a_sender_that_changes_its_message_changes_nothing_sent() -> Any:
    layer = InMemoryChannelLayer()
    message: dict[str, Any] = {"type": "job", "list": [1]}
    await layer.send("work", message)
    message["list"].append(2)
    return (await layer.receive("work"))["list"]


@row(upstream="TimeoutError")
async def a_membership_ends_after_group_expiry() -> Any:
    layer = InMemoryChannelLayer(group_expiry=10)
    await layer.group_add("all", "one")
    layer.groups["all"]["one"] -= 100
    await layer.group_send("all", HELLO)
    return await raised(layer.receive("one"))


@row(upstream=True, ours=False)
async def the_membership_of_a_running_consumer_ends_after_group_expiry() -> Any:
    layer = InMemoryChannelLayer(group_expiry=10)
    async with chatting(layer) as client:
        (channel,) = layer.groups["chat"]
        layer.groups["chat"][channel] -= 100
        await layer.group_send("chat", {"type": "chat.message", "text": "here"})
        return await client.receive_nothing(SOON)


@row(upstream=[], ours=["one"])
async def a_message_that_expires_ends_memberships() -> Any:
    layer = InMemoryChannelLayer(expiry=-1)
    await layer.group_add("all", "one")
    await layer.send("one", HELLO)
    # Something that sweeps.
    await soon(layer.receive("other"))
    return list(layer.groups.get("all", ()))


@row(upstream=[{}, {}, None])
async def flush_forgets_messages_and_groups() -> Any:
    layer = InMemoryChannelLayer()
    await layer.group_add("all", "one")
    await layer.send("one", HELLO)
    await layer.flush()
    return [layer.channels, layer.groups, await layer.close()]
