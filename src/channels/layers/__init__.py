"""Channel layers: messages between the parts of a project, and groups.

    layer = get_channel_layer()
    await layer.group_send("chat", {"type": "chat.message", "text": "Hello"})

`get_channel_layer` answers what the setting CHANNEL_LAYERS says. Layers of other
packages inherit `BaseChannelLayer`; what ours offer consumers beyond it is
`MailboxLayer`.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - projects take it from here.
from typing import Any

from .. import DEFAULT_CHANNEL_LAYER
from ..exceptions import ChannelFull, InvalidChannelLayerError
from .base import BaseChannelLayer, MailboxLayer, fills_mailboxes, method_of
from .hosting import hosted_buses, hosted_layers
from .memory import InMemoryChannelLayer
from .settings import (
    ChannelLayerManager,
    channel_layers,
    group_send_on_commit,
    how_to_set_a_layer,
)


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> Any:
    """Return the channel layer of an alias; None if none is configured under it."""
    # Here, beside the name that projects' tests replace.
    return channel_layers[alias] if alias in channel_layers else None


__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "BaseChannelLayer",
    "ChannelFull",
    "ChannelLayerManager",
    "InMemoryChannelLayer",
    "InvalidChannelLayerError",
    "MailboxLayer",
    "channel_layers",
    "fills_mailboxes",
    "get_channel_layer",
    "group_send_on_commit",
    "hosted_buses",
    "hosted_layers",
    "how_to_set_a_layer",
    "method_of",
]
