"""The channel layer of one machine: its processes share groups and channels, nothing to install.

    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.local.LocalChannelLayer"}}

Reading order: `layer` is what projects use; `node` is a process's end of the bus and
`host` the other; `switch` and `queues` decide what goes where; `frames` is what they
say to each other; `place` and `credentials` say where they meet and who may.
"""

from __future__ import annotations

from .layer import LocalChannelLayer

__all__ = ["LocalChannelLayer"]
