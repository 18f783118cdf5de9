"""The backends that the layer contract is tested over."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from layer_backends import LocalBackend, MemoryBackend
from local_bus import Bus

LIMIT = 20.0


@pytest.fixture(params=[MemoryBackend, LocalBackend])
def backend(request: pytest.FixtureRequest) -> Iterator[Any]:
    backend = request.param()
    yield backend
    backend.close()


@pytest.fixture
def layer(backend: Any) -> Any:
    return backend.make()


@pytest.fixture
def bus() -> Iterator[Bus]:
    folder = Path(tempfile.mkdtemp(prefix="channels-"))
    bus = Bus(folder)
    try:
        yield bus
    finally:
        bus.close()
        shutil.rmtree(folder)


@pytest.fixture
def run() -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    def run(test: Callable[[], Awaitable[Any]]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(LIMIT):
                return await test()

        return asyncio.run(bounded())

    return run
