"""The backends that the layer contract is tested over."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from channels.layers import InMemoryChannelLayer
from channels.layers.local import LocalChannelLayer

LIMIT = 20.0


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


@pytest.fixture(params=[MemoryBackend, LocalBackend])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    backend = request.param()
    yield backend
    backend.close()


@pytest.fixture
def layer(backend: Any) -> Any:
    return backend.make()


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    def run(test: Callable[[], Awaitable[Any]]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(LIMIT):
                return await test()

        return asyncio.run(bounded())

    return run
