"""Two small functions that third-party packages import from here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .types import Message


def name_that_thing(thing: Any) -> str:
    """Name a class, function or instance in dotted form, as logs show it."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    module = getattr(named, "__module__", None)
    name: str = named.__qualname__
    return f"{module}.{name}" if module else name


async def await_many_dispatch(
    consumer_callables: Sequence[Callable[[], Awaitable[Message]]],
    dispatch: Callable[[Message], Awaitable[Any]],
) -> None:
    """Call each source for a message and dispatch what arrives, one at a time, for ever.

    Sources may return coroutines or futures. Our own consumers read a mailbox
    instead; this serves third-party `__call__` methods. Ends by an exception of a
    source or of `dispatch`; the sources are then cancelled and awaited.
    """
    pending = [asyncio.ensure_future(source()) for source in consumer_callables]
    try:
        while True:
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for index, future in enumerate(pending):
                if future.done():
                    await dispatch(future.result())
                    pending[index] = asyncio.ensure_future(consumer_callables[index]())
    finally:
        for future in pending:
            future.cancel()
        # Gathered, so that a second cancellation of this task is not mistaken
        # for that of a source.
        await asyncio.gather(*pending, return_exceptions=True)
