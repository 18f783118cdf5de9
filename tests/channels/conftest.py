"""What several test files of this folder start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels.layers import InMemoryChannelLayer, channel_layers


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    """A layer of the test's own, under the alias that everything takes by default."""
    made = InMemoryChannelLayer()
    before = channel_layers.set("default", made)
    yield made
    channel_layers.set("default", before)
