"""From the setting CHANNEL_LAYERS to layers."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest
from django.test import override_settings

from channels.exceptions import InvalidChannelLayerError
from channels.layers import (
    ChannelLayerManager,
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
)

MEMORY = "channels.layers.InMemoryChannelLayer"


class ClosingLayer:
    """Records how it is closed."""

    closed: list[str] = []

    async def close(self) -> None:
        self.closed.append("close")


class OldLayer:
    async def close_pools(self) -> None:
        ClosingLayer.closed.append("close_pools")


class StubbornLayer:
    async def close(self) -> None:
        raise OSError("no")


class FailingLayer:
    def __init__(self) -> None:
        raise KeyError("inside")


def layers(**backends: Any) -> override_settings:
    return override_settings(CHANNEL_LAYERS=backends)


def here(name: str) -> dict[str, Any]:
    return {"BACKEND": f"{__name__}.{name}"}


@pytest.fixture(autouse=True)
def _nothing_closed() -> None:
    ClosingLayer.closed = []


def test_a_layer_is_made_once_with_its_config() -> None:
    with layers(default={"BACKEND": MEMORY, "CONFIG": {"capacity": 7}}):
        layer = get_channel_layer()
        assert isinstance(layer, InMemoryChannelLayer)
        assert layer.capacity == 7
        assert get_channel_layer("default") is layer
        assert channel_layers["default"] is layer


@pytest.mark.parametrize("setting", [{}, None])
def test_without_the_setting_there_is_no_layer(setting: Any) -> None:
    with override_settings(CHANNEL_LAYERS=setting):
        assert get_channel_layer() is None
        assert "default" not in channel_layers
        with pytest.raises(KeyError):
            channel_layers["default"]


def test_an_unknown_alias_is_none() -> None:
    with layers(default={"BACKEND": MEMORY}):
        assert get_channel_layer("other") is None
        assert "default" in channel_layers


def test_a_key_error_of_a_constructor_is_not_hidden() -> None:
    with (
        layers(default=here("FailingLayer")),
        pytest.raises(KeyError, match="inside") as caught,
    ):
        get_channel_layer()
    assert "CHANNEL_LAYERS['default']" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"BACKEND": MEMORY, "ROUTING": "x"}, "ROUTING key found for bad - this is no longer"),
        ({}, "No BACKEND specified for bad"),
        ({"BACKEND": "no.such.Layer"}, "Cannot import BACKEND 'no.such.Layer' specified for bad"),
        ({"BACKEND": "channels.layers.Nothing"}, "Cannot import BACKEND 'channels.layers.Noth"),
        ("text", "must be a dict"),
    ],
)
def test_a_bad_setting_is_one_plain_sentence(config: Any, text: str) -> None:
    with layers(bad=config), pytest.raises(InvalidChannelLayerError, match=text) as caught:
        get_channel_layer("bad")
    assert str(caught.value).startswith(text) or config == "text"
    assert "\n" not in str(caught.value)


def test_a_test_backend_has_its_own_config() -> None:
    config = {"BACKEND": MEMORY, "CONFIG": {"capacity": 7}, "TEST_CONFIG": {"capacity": 3}}
    with layers(default=config, bare={"BACKEND": MEMORY}):
        assert channel_layers.make_test_backend("default").capacity == 3
        assert channel_layers.make_backend("default").capacity == 7
        with pytest.raises(InvalidChannelLayerError, match="No TEST_CONFIG specified for bare"):
            channel_layers.make_test_backend("bare")


def test_backends_may_be_emptied_or_replaced() -> None:
    with layers(default={"BACKEND": MEMORY}):
        first = get_channel_layer()
        channel_layers.backends = {}
        second = get_channel_layer()
        channel_layers.backends.clear()
        third = get_channel_layer()
        assert len({id(first), id(second), id(third)}) == 3


def test_set_puts_a_layer_in_place_and_returns_the_old_one() -> None:
    with layers():
        layer, other = InMemoryChannelLayer(), InMemoryChannelLayer()
        assert channel_layers.set("mine", layer) is None
        assert get_channel_layer("mine") is layer
        assert channel_layers.set("mine", other) is layer
        assert channel_layers.set("mine", None) is other
        assert get_channel_layer("mine") is None


def test_a_changed_setting_drops_and_closes_the_old_layers() -> None:
    with layers(default=here("ClosingLayer"), old=here("OldLayer")):
        first = get_channel_layer()
        get_channel_layer("old")
        with layers(default=here("ClosingLayer")):
            assert sorted(ClosingLayer.closed) == ["close", "close_pools"]
            assert get_channel_layer() is not first
            assert get_channel_layer("old") is None
    assert ClosingLayer.closed.count("close") == 2


def test_inside_a_running_loop_old_layers_are_closed_too() -> None:
    async def test() -> None:
        with layers(default=here("ClosingLayer")):
            get_channel_layer()
        await asyncio.sleep(0)

    asyncio.run(test())
    assert ClosingLayer.closed == ["close"]


def test_a_layer_that_cannot_be_closed_is_logged_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with layers(default=here("StubbornLayer")), caplog.at_level(logging.WARNING):
        stubborn = get_channel_layer()
        with layers(default={"BACKEND": MEMORY}):
            assert get_channel_layer() is not stubborn
    assert "StubbornLayer" in caplog.text


def test_threads_that_ask_at_once_get_the_same_layer() -> None:
    made: list[Any] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait(5)
        made.append(get_channel_layer())

    with layers(default={"BACKEND": MEMORY}):
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert len(set(map(id, made))) == 1


def test_a_manager_of_ones_own_reads_the_setting() -> None:
    with layers(default={"BACKEND": MEMORY}):
        manager = ChannelLayerManager()
        assert list(manager.configs) == ["default"]
        assert manager["default"] is not channel_layers["default"]


def test_the_in_memory_layer_works_without_configured_settings() -> None:
    program = (
        "import asyncio; from channels.layers.memory import InMemoryChannelLayer as L\n"
        "layer = L()\n"
        "asyncio.run(layer.send('a', {'type': 'x'}))\n"
        "print(asyncio.run(layer.receive('a')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, env={}
    )
    assert done.stdout == "{'type': 'x'}\n", done.stderr
