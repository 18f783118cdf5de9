"""One way of writing a consumer for both colours, so that a row shows both.

A method is written as a generator that yields its calls:

    def connect(self):
        yield self.accept("chat")

With coroutine methods each is awaited; with blocking ones it has been made. What it
returned comes back from the `yield`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import async_to_sync
from tests.compat.driving import CONNECT, DISCONNECT, drive

from channels.generic import websocket

BASES: Final = {
    "plain": {"sync": websocket.WebsocketConsumer, "async": websocket.AsyncWebsocketConsumer},
    "json": {
        "sync": websocket.JsonWebsocketConsumer,
        "async": websocket.AsyncJsonWebsocketConsumer,
    },
}


def consumer(colour: str, base: str = "plain", **members: Any) -> Any:
    """A consumer class of that colour; generator functions among `members` become its methods."""
    made = {name: _painted(colour, member) for name, member in members.items()}
    return type("Consumer", (BASES[base][colour],), made)


def _painted(colour: str, member: Any) -> Any:
    if isinstance(member, classmethod):
        return classmethod(_painted(colour, member.__func__))
    if not inspect.isgeneratorfunction(member):
        return member
    painted = _blocking(member) if colour == "sync" else _coroutine(member)
    # As if it had been written so: decorated methods are asked for their own parameters.
    painted.__signature__ = inspect.signature(member)
    return painted


def _blocking(generator: Any) -> Any:
    @functools.wraps(generator)
    def method(*args: Any, **kwargs: Any) -> Any:
        steps = generator(*args, **kwargs)
        try:
            made = next(steps)
            while True:
                if inspect.isawaitable(made):
                    made = async_to_sync(_value)(made)
                made = steps.send(made)
        except StopIteration as end:
            return end.value

    return method


async def _value(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _coroutine(generator: Any) -> Any:
    @functools.wraps(generator)
    async def method(*args: Any, **kwargs: Any) -> Any:
        steps = generator(*args, **kwargs)
        try:
            made = next(steps)
            while True:
                if inspect.isawaitable(made):
                    made = await made
                made = steps.send(made)
        except StopIteration as end:
            return end.value

    return method


async def both(observe: Callable[[str], Awaitable[Any]]) -> Any:
    """What `observe` sees in both colours; once, if it is the same."""
    seen = {colour: await observe(colour) for colour in ("sync", "async")}
    return seen["sync"] if seen["sync"] == seen["async"] else seen


async def sent(kind: Any, *events: Any) -> Any:
    """What a consumer sends for these events, between connect and disconnect."""
    result = await drive(kind.as_asgi(), CONNECT, *events, DISCONNECT)
    return result["sent"] if result["ended"] == "returned" else result


async def sent_in_connect(connect: Any) -> Any:
    """What consumers of both colours send that have this `connect`."""
    return await both(lambda colour: sent(consumer(colour, connect=connect)))
