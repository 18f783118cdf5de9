"""Rows: BaseChannelLayer, what layers of other packages inherit: names and capacities."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()

from channels.layers import BaseChannelLayer

row = Rows()

RULES = (
    "name must be a valid unicode string with length < 100 containing only ASCII "
    "alphanumerics, hyphens, underscores, or periods."
)
CHANNEL, GROUP = f"Channel {RULES}", f"Group {RULES}"


def verdict(check: Callable[..., Any], name: Any, **options: Any) -> Any:
    """What it answers, or the class of what it raises."""
    seen = outcome(check, name, **options)
    return seen["raises"] if isinstance(seen, dict) else seen


def channel(name: Any, **options: Any) -> Any:
    return verdict(BaseChannelLayer().require_valid_channel_name, name, **options)


def group(name: Any) -> Any:
    return verdict(BaseChannelLayer().require_valid_group_name, name)


def warned(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = outcome(function, *args, **kwargs)
    return [answer, [[one.category.__name__, str(one.message)] for one in caught]]


def parameters(method: Any) -> list[str]:
    return [name for name in inspect.signature(method).parameters if name != "self"]


# -- names of channels ---------------------------------------------------------

GOOD_CHANNELS = ["a", "chat", "A-b_c.9", "specific.abc!def", "specific!", "a!b-c_d.e", "x" * 99]
BAD_CHANNELS: list[Any] = ["", "a b", "!abc", "a!b!c", "a/b", "a:b", "a@b", "é", "x" * 100, 5, None]
BAD_CHANNELS += [b"chat", ["chat"]]


@row(upstream=[True] * len(GOOD_CHANNELS))
def names_that_a_channel_may_have() -> Any:
    return [channel(name) for name in GOOD_CHANNELS]


@row(upstream=["TypeError"] * len(BAD_CHANNELS))
def names_that_a_channel_may_not_have() -> Any:
    return [channel(name) for name in BAD_CHANNELS]


@row(upstream=True, ours="TypeError")
def a_channel_name_that_ends_in_a_line_break() -> Any:
    return channel("chat\n")


@row(upstream=True, ours="TypeError")
def a_channel_name_of_digits_that_are_not_ascii() -> Any:
    return channel("١٢")


@row(upstream=True, ours="TypeError")
def a_letter_that_is_not_ascii_behind_the_mark() -> Any:
    return channel("a!é")


@row(
    upstream={"raises": "TypeError", "says": CHANNEL},
    ours={
        "raises": "TypeError",
        "says": f"{CHANNEL} This one has ' ' at position 1: 'a b'.",
    },
)
def the_text_for_a_wrong_channel_name() -> Any:
    return outcome(BaseChannelLayer().require_valid_channel_name, "a b")


@row(upstream=[True, True, "TypeError", "TypeError"])
def a_channel_to_receive_from_ends_at_the_mark() -> Any:
    return [channel(name, receive=True) for name in ("chat", "a!", "a!b", "a b")]


@row(
    upstream={
        "raises": "TypeError",
        "says": "Specific channel names in receive() must end at the !",
    }
)
def the_text_for_a_specific_name_in_receive() -> Any:
    return outcome(BaseChannelLayer().require_valid_channel_name, name="a!b", receive=True)


# -- names of groups -------------------------------------------------------------


@row(upstream=[True] * 4)
def names_that_a_group_may_have() -> Any:
    return [group(name) for name in ("a", "chat_room-1.x", "9", "x" * 99)]


@row(upstream=["TypeError"] * 9)
def names_that_a_group_may_not_have() -> Any:
    bad: list[Any] = ["", "a b", "a!", "a:b", "a@b", "é", "x" * 100, None, b"chat"]
    return [group(name) for name in bad]


@row(upstream=[True, True], ours=["TypeError", "TypeError"])
def a_group_name_with_a_line_break_or_other_digits() -> Any:
    return [group("chat\n"), group("١٢")]


@row(
    upstream={"raises": "TypeError", "says": GROUP},
    ours={
        "raises": "TypeError",
        "says": f"{GROUP} This one has ':' at position 4: 'chat:1'.",
    },
)
def the_text_for_a_wrong_group_name() -> Any:
    return outcome(BaseChannelLayer().require_valid_group_name, name="chat:1")


# -- the rest of the rules ---------------------------------------------------------


@row(upstream=[100, f"{{}} {RULES}"])
def the_longest_name_and_the_text_are_attributes() -> Any:
    return [BaseChannelLayer.MAX_NAME_LENGTH, BaseChannelLayer.invalid_name_error]


@row(upstream=[True, False, False])
def match_type_and_length_looks_at_nothing_else() -> Any:
    layer = BaseChannelLayer()
    return [layer.match_type_and_length(name) for name in ("a b", "x" * 100, 5)]


@row(upstream=[True, True, "TypeError"])
def the_expressions_are_attributes_that_a_layer_may_replace() -> Any:
    class Colons(BaseChannelLayer):
        MAX_NAME_LENGTH = 20
        group_name_regex = re.compile(r"^[a-z:]+$")

    layer = Colons()
    return [
        bool(BaseChannelLayer.channel_name_regex.match("chat")),
        layer.require_valid_group_name("chat:room"),
        verdict(layer.require_valid_group_name, "x" * 20),
    ]


@row(upstream=[True, "TypeError", "TypeError"])
def lists_of_channel_names_are_checked_one_by_one() -> Any:
    check = BaseChannelLayer().valid_channel_names
    return [
        verdict(check, ["a", "b!"], receive=True),
        verdict(check, ["a", "b!c"], receive=True),
        verdict(check, ["a", "b c"]),
    ]


@row(upstream=["AssertionError", "AssertionError"], ours=["TypeError", "TypeError"])
def a_list_of_names_is_a_list_and_not_empty() -> Any:
    check = BaseChannelLayer().valid_channel_names
    return [verdict(check, []), verdict(check, ("a",))]


@row(upstream=["chat", "specific.abc!", "a!", "a!"])
def the_non_local_part_ends_with_the_first_mark() -> Any:
    layer = BaseChannelLayer()
    return [layer.non_local_name(name) for name in ("chat", "specific.abc!def", "a!", "a!b!c")]


@row(
    upstream=[
        True,
        [
            [
                "DeprecationWarning",
                "valid_channel_name is deprecated, use require_valid_channel_name instead.",
            ]
        ],
    ]
)
def valid_channel_name_works_and_warns() -> Any:
    return warned(BaseChannelLayer().valid_channel_name, "a!b")


@row(
    upstream=[
        True,
        [
            [
                "DeprecationWarning",
                "valid_group_name is deprecated, use require_valid_group_name instead.",
            ]
        ],
    ]
)
def valid_group_name_works_and_warns() -> Any:
    return warned(BaseChannelLayer().valid_group_name, group_name="chat")


@row(upstream=["TypeError", "TypeError"])
def the_deprecated_checks_refuse_what_the_others_refuse() -> Any:
    layer = BaseChannelLayer()
    seen = [warned(layer.valid_channel_name, "a b"), warned(layer.valid_group_name, "a!")]
    return [answer["raises"] for answer, _ in seen]


@row(upstream=True)
def the_deprecated_check_of_channels_forgets_receive() -> Any:
    # Layers that still call it were written against this.
    return warned(BaseChannelLayer().valid_channel_name, channel_name="a!b", receive=True)[0]


# -- capacities ----------------------------------------------------------------------


@row(upstream=[60, 100])
def defaults_of_a_layer() -> Any:
    layer = BaseChannelLayer()
    return [layer.expiry, layer.capacity]


@row(upstream=["expiry", "capacity", "channel_capacity"])
def parameters_of_the_base() -> Any:
    return parameters(BaseChannelLayer.__init__)


@row(upstream=[["http.request", 200], ["websocket.send", 20], ["a", 1]])
def capacities_are_compiled_in_their_order() -> Any:
    kept = re.compile("a")
    pairs = BaseChannelLayer().compile_capacities(
        channel_capacity={"http.req*": 200, "websocket.*": 20, kept: 1}
    )
    names = ["http.request", "websocket.send", "a"]
    return [
        [name, capacity]
        for name, (pattern, capacity) in zip(names, pairs, strict=True)
        if pattern.match(name)
    ]


@row(upstream=[1, 2, 100])
def the_first_pattern_that_matches_counts() -> Any:
    class Compiling(BaseChannelLayer):
        """As channels_redis does, which calls no constructor of the base."""

        def __init__(self, channel_capacity: Any) -> None:
            self.capacity = 100
            self.channel_capacity = self.compile_capacities(channel_capacity)

    layer = Compiling({"mail.bulk": 1, "mail.*": 2})
    return [layer.get_capacity(channel=name) for name in ("mail.bulk", "mail.one", "other")]


@row(upstream=[2, 100])
def a_layer_may_compile_what_the_base_has_kept() -> Any:
    class Compiling(BaseChannelLayer):
        def __init__(self, **config: Any) -> None:
            super().__init__(**config)
            self.channel_capacity = self.compile_capacities(self.channel_capacity)

    layer = Compiling(channel_capacity={"mail.*": 2})
    return [layer.get_capacity(name) for name in ("mail.one", "other")]


@row(upstream="ValueError", ours=2)
def capacities_given_to_the_base_alone() -> Any:
    return verdict(BaseChannelLayer(channel_capacity={"mail.*": 2}).get_capacity, "mail.one")


# -- what a layer does ------------------------------------------------------------------


@row(upstream=["NotImplementedError"] * 7)
async def methods_that_a_layer_does_not_have() -> Any:
    layer = BaseChannelLayer()
    calls = [
        layer.send("chat", {}),
        layer.receive("chat"),
        layer.new_channel(),
        layer.flush(),
        layer.group_add("all", "chat"),
        layer.group_discard("all", "chat"),
        layer.group_send("all", {}),
    ]
    return [(await async_outcome(call))["raises"] for call in calls]


@row(
    upstream={
        "send": ["channel", "message"],
        "receive": ["channel"],
        "group_add": ["group", "channel"],
        "group_discard": ["group", "channel"],
        "group_send": ["group", "message"],
        "flush": [],
        "require_valid_channel_name": ["name", "receive"],
        "require_valid_group_name": ["name"],
        "valid_channel_names": ["names", "receive"],
        "valid_channel_name": ["channel_name", "receive"],
        "valid_group_name": ["group_name"],
        "non_local_name": ["name"],
        "get_capacity": ["channel"],
        "compile_capacities": ["channel_capacity"],
        "match_type_and_length": ["name"],
    }
)
def parameters_of_the_methods_of_layers() -> Any:
    names = ["send", "receive", "group_add", "group_discard", "group_send", "flush"]
    names += ["require_valid_channel_name", "require_valid_group_name", "valid_channel_names"]
    names += ["valid_channel_name", "valid_group_name", "non_local_name", "get_capacity"]
    names += ["compile_capacities", "match_type_and_length"]
    return {name: parameters(getattr(BaseChannelLayer, name)) for name in names}
