"""Makers of the layers that the contract is tested over."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from channels.layers import InMemoryChannelLayer
from channels.layers.local import LocalChannelLayer


class MemoryBackend:
    """Makes in-memory layers, whose clock the tests move."""

    def __init__(self) -> None:
        self._passed = 0.0

    def make(self, **config: Any) -> Any:
        return self._on_our_clock(InMemoryChannelLayer(**config))

    def _on_our_clock(self, layer: Any) -> Any:
        layer.clock = lambda: time.monotonic() + self._passed
        return layer

    async def pass_time(self, seconds: float) -> None:
        self._passed += seconds

    def close(self) -> None:
        pass


class LocalBackend(MemoryBackend):
    """Makes local layers, each of which is alone on a bus of its own and hosts it."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="channels-"))
        self._layers: list[LocalChannelLayer] = []

    def make(self, **config: Any) -> Any:
        name = f"bus-{len(self._layers)}"
        layer = LocalChannelLayer(**config, directory=self._folder / "bus", name=name, host=True)
        self._layers.append(layer)
        return self._on_our_clock(layer)

    def close(self) -> None:
        for layer in self._layers:
            layer.leave()
        shutil.rmtree(self._folder)
