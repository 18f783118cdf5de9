"""What several test files of this folder start from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from foreign_layer import Listening

from channels.layers import InMemoryChannelLayer, channel_layers

if TYPE_CHECKING:
    # Not before a module of tests has set Django up.
    from django.contrib.auth.models import User


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    """A layer of the test's own, under the alias that everything takes by default."""
    made = InMemoryChannelLayer()
    before = channel_layers.set("default", made)
    yield made
    channel_layers.set("default", before)


@pytest.fixture
def foreign() -> Iterator[Listening]:
    """As `layer`, of another package."""
    made = Listening()
    before = channel_layers.set("default", made)
    yield made
    channel_layers.set("default", before)


@pytest.fixture
def ada(db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("ada", password="engine")


@pytest.fixture
def bob(db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("bob", password="builder")


@pytest.fixture
def nothing_logged_holds_a_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    from tokens import OTHER, TOKEN

    # The test's own client, and foreign servers, log whole requests on DEBUG.
    caplog.set_level(logging.INFO)
    for name in ("channels", "django", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    formatter = logging.Formatter()
    for record in caplog.get_records("setup") + caplog.get_records("call"):
        text = f"{formatter.format(record)} {record.__dict__}"
        assert TOKEN not in text
        assert OTHER not in text
