"""The backends that the layer contract is tested over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.layers import InMemoryChannelLayer

LIMIT = 20.0


class MemoryBackend:
    """Makes in-memory layers, whose clock the tests move."""

    def __init__(self) -> None:
        self._passed = 0.0

    def make(self, **config: Any) -> InMemoryChannelLayer:
        layer = InMemoryChannelLayer(**config)
        layer.clock = lambda: time.monotonic() + self._passed
        return layer

    async def pass_time(self, seconds: float) -> None:
        self._passed += seconds


@pytest.fixture(params=[MemoryBackend])
def backend(request: pytest.FixtureRequest) -> Any:
    return request.param()


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
