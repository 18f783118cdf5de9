"""Rows: what the layer in memory carries, and what packages and tests of projects make of it.

Where a value may be anything that Python has, the observation says its type.
"""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
import datetime
import decimal
import uuid
import warnings
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, set_up_django

set_up_django()

from django.utils.translation import gettext_lazy
from tests.compat.memory_calls import HELLO, chatting

from channels.layers import BaseChannelLayer, InMemoryChannelLayer

row = Rows()


async def sent_through(value: Any) -> Any:
    """What a receiver gets where a sender put `value`."""
    layer = InMemoryChannelLayer()
    await layer.send("work", {"type": "job", "value": value})
    return (await layer.receive("work"))["value"]


# -- what a message may hold --------------------------------------------------------------


@row(
    upstream=[
        ["datetime", "2024-05-01 12:00:00+00:00"],
        ["date", "2024-05-01"],
        ["Decimal", "1.10"],
        ["UUID", "00000000-0000-0000-0000-000000000005"],
        ["tuple", "(1, 'a')"],
        ["set", "{1}"],
        ["bytes", "b'x'"],
        ["dict", "{1: 'one'}"],
        ["int", str(1 << 70)],
    ]
)
async def values_arrive_as_what_they_were() -> Any:
    moment = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
    values = [moment, moment.date(), decimal.Decimal("1.10"), uuid.UUID(int=5), (1, "a"), {1}]
    values += [b"x", {1: "one"}, 1 << 70]
    arrived = [await sent_through(value) for value in values]
    return [[type(value).__name__, str(value)] for value in arrived]


@row(upstream="__proxy__", ours="str")
async def a_lazy_string_in_a_message() -> Any:
    return type(await sent_through(gettext_lazy("Hello"))).__name__


@row(upstream="SafeText", ours="str")
async def a_string_of_a_class_of_its_own_in_a_message() -> Any:
    class SafeText(str):
        pass

    return type(await sent_through(SafeText("Hello"))).__name__


class Thing:
    """As a model instance is: something that no other process could be sent."""


@row(upstream="Thing", ours={"raises": "TypeError", "names the key": True})
async def an_object_in_a_message() -> Any:
    seen = await async_outcome(sent_through([1, Thing()]))
    if isinstance(seen, dict):
        return {"raises": seen["raises"], "names the key": "['value']" in seen["says"]}
    return type(seen[1]).__name__


# -- what packages and tests of projects do ----------------------------------------------------


@row(upstream=[["chat"], True, True, {}, {}])
async def groups_and_channels_of_a_running_consumer() -> Any:
    layer = InMemoryChannelLayer()
    async with chatting(layer) as client:
        await client.receive_nothing(0.01)
        groups, members, read = list(layer.groups), list(layer.groups["chat"]), list(layer.channels)
        named = members[0].startswith("specific..inmemory!")
    return [groups, named, members == read, layer.groups, layer.channels]


@row(upstream="hi")
async def a_channel_found_in_groups_can_be_sent_to() -> Any:
    layer = InMemoryChannelLayer()
    async with chatting(layer) as client:
        channel = list(layer.groups["chat"])[0]
        await layer.send(channel, {"type": "chat.message", "text": "hi"})
        return await client.receive_from()


@row(upstream=[["hello"], ["direct", "hello"]])
async def a_layer_derived_to_record_what_is_sent() -> Any:
    class Recording(InMemoryChannelLayer):
        def __init__(self, **config: Any) -> None:
            super().__init__(**config)
            self.sent: list[str] = []
            self.to_groups: list[str] = []

        async def send(self, channel: str, message: Any) -> None:
            self.sent.append(message["type"])
            await super().send(channel, message)

        async def group_send(self, group: str, message: Any) -> None:
            self.to_groups.append(message["type"])
            await super().group_send(group, message)

    layer = Recording()
    await layer.group_add("all", "one")
    await layer.send("two", {"type": "direct"})
    await layer.group_send("all", HELLO)
    return [layer.to_groups, layer.sent]


@row(upstream="HELLO")
async def a_layer_derived_to_change_what_is_received() -> Any:
    class Shouting(InMemoryChannelLayer):
        async def receive(self, channel: str) -> Any:
            message = await super().receive(channel)
            return {**message, "text": message["text"].upper()}

    layer = Shouting()
    async with chatting(layer) as client:
        await layer.group_send("chat", {"type": "chat.message", "text": "hello"})
        return await client.receive_from()


class OldLayer(BaseChannelLayer):
    """As layers of other packages are written: the base's helpers, also deprecated ones."""

    extensions = ["groups", "flush"]

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.channel_capacity = self.compile_capacities(config.get("channel_capacity") or {})
        self.queues: dict[str, asyncio.Queue[Any]] = {}
        self.members: dict[str, set[str]] = {}

    def _queue(self, channel: str) -> asyncio.Queue[Any]:
        return self.queues.setdefault(channel, asyncio.Queue(self.get_capacity(channel)))

    async def send(self, channel: str, message: Any) -> None:
        assert self.valid_channel_name(channel), "Channel name not valid"
        self._queue(channel).put_nowait(dict(message))

    async def receive(self, channel: str) -> Any:
        assert self.valid_channel_name(channel)
        assert self.require_valid_channel_name(self.non_local_name(channel), receive=True)
        return await self._queue(channel).get()

    async def new_channel(self, prefix: str = "old") -> str:
        return f"{prefix}.client!{len(self.queues)}"

    async def group_add(self, group: str, channel: str) -> None:
        assert self.valid_group_name(group), "Group name not valid"
        self.members.setdefault(group, set()).add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        assert self.match_type_and_length(group)
        self.members.get(group, set()).discard(channel)

    async def group_send(self, group: str, message: Any) -> None:
        for channel in self.members.get(group, ()):
            await self.send(channel, message)


@row(upstream=["one", "two", {"chat": []}])
async def a_layer_of_another_package_serves_a_consumer() -> Any:
    layer = OldLayer(channel_capacity={"old*": 5})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        async with chatting(layer) as client:
            await layer.group_send("chat", {"type": "chat.message", "text": "one"})
            (channel,) = layer.members["chat"]
            first = await client.receive_from()
            await layer.send(channel, {"type": "chat.message", "text": "two"})
            second = await client.receive_from()
    return [first, second, {group: list(found) for group, found in layer.members.items()}]
