"""The language of the rows over a layer, and what each of them needs.

A row gets `make(**config)`, which makes a layer, and answers what it saw; `expected`
is what our own layers answer. What others do otherwise stands in
`test_layer_behaviours`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.compat.behaviours import async_outcome

HELLO = {"type": "hello"}
# Within this, what is sent arrives; within the other, what is not sent would have.
SOON = 5.0
A_WHILE = 0.15


class LayerRow(NamedTuple):
    observe: Callable[[Callable[..., Any]], Awaitable[Any]]
    expected: Any


class LayerRows(dict[str, LayerRow]):
    """The rows of one module, by name; calling it makes the decorator of a row."""

    def __call__(self, expected: Any) -> Callable[[Any], Any]:
        def add(function: Any) -> Any:
            assert function.__name__ not in self
            self[function.__name__] = LayerRow(function, expected)
            return function

        return add


async def got(layer: Any, channel: str, seconds: float = SOON) -> Any:
    """The next message of a channel; "nothing" if none comes."""
    try:
        return await asyncio.wait_for(layer.receive(channel), seconds)
    except TimeoutError:
        return "nothing"


async def rest_of(layer: Any, channel: str) -> list[Any]:
    """Everything that waits in a channel."""
    messages = []
    while (message := await got(layer, channel, A_WHILE)) != "nothing":
        messages.append(message)
    return messages


async def raised(awaitable: Awaitable[Any]) -> str:
    seen = await async_outcome(awaitable)
    return str(seen["raises"]) if isinstance(seen, dict) else "nothing"


def job(number: int) -> dict[str, Any]:
    return {"type": "job", "number": number}


async def members(layer: Any, group: str, count: int) -> list[str]:
    channels = [await layer.new_channel() for _ in range(count)]
    for channel in channels:
        await layer.group_add(group, channel)
    return channels
