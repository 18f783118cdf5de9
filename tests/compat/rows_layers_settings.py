"""Rows: from the setting CHANNEL_LAYERS to layers, and how tests reset them."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.compat.behaviours import Rows, outcome, set_up_django

set_up_django()

from django.test import override_settings

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import (
    ChannelLayerManager,
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
)

row = Rows()

MEMORY = "channels.layers.InMemoryChannelLayer"
HERE = f"{__name__}."


class ClosedLayer(InMemoryChannelLayer):
    closed = False

    async def close(self) -> None:
        self.closed = True


class FailingLayer:
    def __init__(self, **config: Any) -> None:
        raise KeyError("REDIS_URL")


@contextmanager
def layers(**configs: Any) -> Iterator[ChannelLayerManager]:
    """The setting, with the manager that everybody asks."""
    with override_settings(CHANNEL_LAYERS=configs):
        yield channel_layers


def made_from(**config: Any) -> Any:
    with layers(default=config):
        return outcome(get_channel_layer)


# -- the manager --------------------------------------------------------------


@row(upstream=["default", True, True])
def the_default_alias_and_the_managers_names() -> Any:
    return [
        DEFAULT_CHANNEL_LAYER,
        isinstance(channel_layers, ChannelLayerManager),
        ChannelLayerManager().backends == {},
    ]


@row(upstream=[{}, True, ["default"]])
def a_layer_is_made_when_it_is_first_asked_for_and_kept() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        before = dict(manager.backends)
        same = manager["default"] is manager["default"]
        return [before, same, list(manager.backends)]


@row(upstream={"capacity": 7, "expiry": 9})
def config_is_given_to_the_constructor() -> Any:
    with layers(default={"BACKEND": MEMORY, "CONFIG": {"capacity": 7, "expiry": 9}}) as manager:
        layer = manager["default"]
        return {"capacity": layer.capacity, "expiry": layer.expiry}


@row(upstream=[True, False])
def an_alias_is_in_the_manager_if_it_is_configured() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        return ["default" in manager, "other" in manager]


@row(upstream=False, ours=True)
def an_alias_is_in_the_manager_if_a_layer_was_set_under_it() -> Any:
    manager = ChannelLayerManager()
    manager.set("mine", InMemoryChannelLayer())
    return "mine" in manager


@row(upstream={"raises": "KeyError", "says": "'other'"})
def an_alias_that_is_not_configured_is_a_key_error() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        return outcome(manager.__getitem__, "other")


@row(upstream=[{"default": {"BACKEND": MEMORY}}, {}])
def configs_is_the_setting() -> Any:
    manager = ChannelLayerManager()
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY}}):
        some = manager.configs
    with override_settings():
        from django.conf import settings

        del settings.CHANNEL_LAYERS
        return [some, manager.configs]


@row(upstream=None)
def without_the_setting_there_is_no_layer() -> Any:
    with override_settings(CHANNEL_LAYERS={}):
        return get_channel_layer()


@row(
    upstream={"raises": "TypeError", "says": "'NoneType' object is not subscriptable"},
    ours=None,
)
def none_as_the_setting_switches_layers_off() -> Any:
    with override_settings(CHANNEL_LAYERS=None):
        return outcome(get_channel_layer)


@row(upstream=None)
def an_alias_without_a_layer_is_none() -> Any:
    return get_channel_layer("nobody")


@row(upstream=[None, True, True, True])
def set_puts_a_layer_under_an_alias_and_returns_the_old_one() -> Any:
    manager = ChannelLayerManager()
    first, second = InMemoryChannelLayer(), InMemoryChannelLayer()
    return [
        manager.set("mine", first),
        manager["mine"] is first,
        manager.set(key="mine", layer=second) is first,
        manager["mine"] is second,
    ]


@row(upstream=None, ours="InMemoryChannelLayer")
def setting_back_the_none_of_a_layer_that_was_not_made_yet() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        old = manager.set("default", InMemoryChannelLayer())
        manager.set("default", old)
        layer = get_channel_layer()
        return layer if layer is None else type(layer).__name__


@row(upstream="mine")
def a_manager_of_ones_own_may_make_the_layers() -> Any:
    class Mine(ChannelLayerManager):
        def make_backend(self, name: str) -> Any:
            return name

    return Mine()["mine"]


# -- what tests do to it --------------------------------------------------------


@row(upstream=True)
def replacing_backends_makes_layers_anew() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        before = get_channel_layer()
        manager.backends = {}
        return get_channel_layer() is not before


@row(upstream=True)
def clearing_backends_makes_layers_anew() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        before = get_channel_layer()
        manager.backends.clear()
        return get_channel_layer() is not before


@row(upstream=True)
def a_layer_put_into_backends_is_used() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        mine = manager.backends["default"] = InMemoryChannelLayer()
        return get_channel_layer() is mine


@row(upstream=[{}, True])
def a_changed_setting_makes_layers_anew() -> Any:
    before = get_channel_layer()
    with layers(default={"BACKEND": MEMORY}) as manager:
        return [dict(manager.backends), get_channel_layer() is not before]


@row(upstream=True)
def a_change_of_another_setting_leaves_the_layers() -> Any:
    before = get_channel_layer()
    with override_settings(ALLOWED_HOSTS=["example.org"]):
        return get_channel_layer() is before


@row(upstream=False, ours=True)
def layers_that_a_changed_setting_replaces_are_closed() -> Any:
    with layers(default={"BACKEND": HERE + "ClosedLayer"}):
        replaced = get_channel_layer()
    return replaced.closed


@row(upstream={})
def the_receiver_of_changed_settings_may_be_called_by_hand() -> Any:
    manager = ChannelLayerManager()
    manager.set("mine", InMemoryChannelLayer())
    # As fixtures do that do not go through override_settings.
    manager._reset_backends("CHANNEL_LAYERS")
    return dict(manager.backends)


# -- what is wrong ----------------------------------------------------------------


@row(upstream={"raises": "InvalidChannelLayerError", "says": "No BACKEND specified for default"})
def a_config_without_a_backend() -> Any:
    return made_from(CONFIG={})


@row(
    upstream={
        "raises": "InvalidChannelLayerError",
        "says": "ROUTING key found for default - this is no longer needed in Channels 2.",
    }
)
def a_config_with_routing() -> Any:
    return made_from(BACKEND=MEMORY, ROUTING="project.routing")


@row(
    upstream={
        "raises": "InvalidChannelLayerError",
        "says": "Cannot import BACKEND 'no.such.Layer' specified for default",
    },
    ours={
        "raises": "InvalidChannelLayerError",
        "says": "Cannot import BACKEND 'no.such.Layer' specified for default: No module named 'no'",
    },
)
def a_backend_that_cannot_be_imported() -> Any:
    return made_from(BACKEND="no.such.Layer")


@row(upstream=None, ours={"raises": "KeyError", "says": "'REDIS_URL'"})
def a_key_error_in_a_layers_constructor() -> Any:
    return made_from(BACKEND=HERE + "FailingLayer")


@row(upstream="TypeError")
def a_config_that_the_constructor_does_not_know() -> Any:
    return made_from(BACKEND=MEMORY, CONFIG={"hosts": []})["raises"]


@row(
    upstream={
        "raises": "InvalidChannelLayerError",
        "says": "No TEST_CONFIG specified for default",
    }
)
def a_test_layer_without_test_config() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        return outcome(manager.make_test_backend, "default")


@row(upstream=[5, 100, {}])
def test_config_is_applied_when_asked_for_and_never_by_itself() -> Any:
    with layers(default={"BACKEND": MEMORY, "TEST_CONFIG": {"capacity": 5}}) as manager:
        test_layer = manager.make_test_backend("default")
        kept = dict(manager.backends)
        return [test_layer.capacity, get_channel_layer().capacity, kept]


@row(upstream=[7, False])
def make_backend_makes_one_without_keeping_it() -> Any:
    with layers(default={"BACKEND": MEMORY, "CONFIG": {"capacity": 7}}) as manager:
        made = manager.make_backend(name="default")
        return [made.capacity, "default" in manager.backends]


@row(upstream=[3, "InMemoryChannelLayer"])
def a_manager_makes_a_layer_of_any_config() -> Any:
    with layers(default={"BACKEND": MEMORY}) as manager:
        made = manager._make_backend("default", {"capacity": 3})
        return [made.capacity, type(made).__name__]


@row(upstream=True)
async def a_layer_is_the_same_in_and_outside_of_a_loop() -> Any:
    there = await asyncio.to_thread(get_channel_layer)
    return there is get_channel_layer()
