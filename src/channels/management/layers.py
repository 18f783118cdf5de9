"""The layer that a command is told by its alias."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any

from django.core.management.base import CommandError

from channels.layers import channel_layers, how_to_set_a_layer


def no_layer(alias: str) -> CommandError:
    """Return the error for an alias that no layer is configured under."""
    configured = channel_layers.configs
    if not configured:
        # Projects match on this beginning.
        return CommandError(
            f"You do not have any CHANNEL_LAYERS configured. {how_to_set_a_layer(alias)}"
        )
    known = ", ".join(map(repr, configured))
    return CommandError(f"There is no {alias!r} in CHANNEL_LAYERS, only {known}.")


@asynccontextmanager
async def visited_layer(alias: str) -> AsyncIterator[Any]:
    """The layer of `alias`, as a process has it that is gone in a moment.

    It joins the bus of a local layer and never hosts it. One that this process has
    already is taken as it is.
    """
    made = channel_layers.backends.get(alias)
    layer = _make(alias) if made is None else made
    try:
        yield layer
    finally:
        if made is None:
            await _close(layer)


def _make(alias: str) -> Any:
    if not hasattr(channel_layers.backend_class(alias), "serve"):
        return channel_layers.make_backend(alias)
    config = channel_layers.configs[alias].get("CONFIG") or {}
    return channel_layers.backend_class(alias)(**{**config, "host": False})


async def _close(layer: Any) -> None:
    for name in ("close", "close_pools"):
        close = getattr(layer, name, None)
        if close is not None:
            closing = close()
            if isawaitable(closing):
                await closing
            return
