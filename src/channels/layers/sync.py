"""A layer for code that blocks: views, signals, commands, tasks, threads.

    get_channel_layer().sync.group_send("news", {"type": "news.flash"})

Each call waits until the layer has done it. Under `sync_to_async` that is on
the loop that waits for this thread, so a request uses one connection of the
layer; in a thread without a loop behind it a loop is made for the call. On the
thread of a running loop nothing may block, so there it is an error.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from asgiref.sync import async_to_sync

from .waiter import running_loop


class SyncLayer:
    """The methods of any channel layer, blocking.

    A layer that need not go through an event loop overrides `call`, or the methods.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.layer!r}>"

    # -- channels ----------------------------------------------------------

    def new_channel(self, prefix: str | None = None) -> str:
        """Return a channel name that nobody else has."""
        # What is the default is for the layer to say.
        return str(self.call("new_channel", *(() if prefix is None else (prefix,))))

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel; ChannelFull if its capacity is reached."""
        self.call("send", channel, message)

    def receive(self, channel: str, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message of `channel`; TimeoutError after `timeout` seconds without."""
        message: dict[str, Any] = self.call("receive", channel, timeout=timeout)
        return message

    # -- groups ------------------------------------------------------------

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member of `group`."""
        self.call("group_add", group, channel)

    def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        self.call("group_discard", group, channel)

    def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send `message` to every member of `group`."""
        self.call("group_send", group, message)

    # -- the whole ---------------------------------------------------------

    def flush(self) -> None:
        """Forget every message and group."""
        self.call("flush")

    def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
        """Call a coroutine method of the layer and wait for what it returns."""
        self.require_no_loop(method)
        return async_to_sync(_call)(self.layer, method, args, timeout)

    def require_no_loop(self, method: str) -> None:
        """Raise a RuntimeError if an event loop runs in this thread: it would stand still."""
        if running_loop() is not None:
            raise RuntimeError(
                f"layer.sync.{method}() blocks, and an event loop runs in this thread. "
                f"Write `await layer.{method}(...)` here."
            )


async def _call(layer: Any, method: str, args: tuple[Any, ...], seconds: float | None) -> Any:
    result = getattr(layer, method)(*args)
    if not inspect.isawaitable(result):
        return result
    if seconds is None:
        return await result
    try:
        async with asyncio.timeout(seconds) as limit:
            return await result
    except TimeoutError as error:
        if not limit.expired():
            # It is the layer's own.
            raise
        raise TimeoutError(f"layer.sync.{method}(): nothing within {seconds} s") from error
