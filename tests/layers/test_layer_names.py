"""Names and capacities, as every layer has them from its base class."""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest

from channels.layers import BaseChannelLayer
from channels.layers.names import random_letters

TEXT = (
    "{} name must be a valid unicode string with length < 100 containing only ASCII "
    "alphanumerics, hyphens, underscores, or periods."
)

GOOD_CHANNELS = ["a", "A-b_c.9", "specific.x!", "specific..inmemory!aBc", "x!a.b-c_d", "a" * 99]
BAD_CHANNELS = ["", "a b", "a\n", "a!\n", "١٢", "a!é", "!a", "a!b!c", "a:b", "a" * 100]
GOOD_GROUPS = ["a", "A-b_c.9", "g" * 99]
BAD_GROUPS = ["", "a!b", "a\n", "é", "a@b", "a b", "g" * 100]


@pytest.fixture
def base() -> BaseChannelLayer:
    return BaseChannelLayer()


@pytest.mark.parametrize("name", GOOD_CHANNELS)
def test_good_channel_names_pass(base: BaseChannelLayer, name: str) -> None:
    assert base.require_valid_channel_name(name) is True


@pytest.mark.parametrize("name", [*BAD_CHANNELS, None, 7, b"a", ["a"]])
def test_bad_channel_names_are_type_errors(base: BaseChannelLayer, name: Any) -> None:
    with pytest.raises(TypeError) as caught:
        base.require_valid_channel_name(name)
    assert str(caught.value).startswith(TEXT.format("Channel"))


@pytest.mark.parametrize("name", GOOD_GROUPS)
def test_good_group_names_pass(base: BaseChannelLayer, name: str) -> None:
    assert base.require_valid_group_name(name) is True


@pytest.mark.parametrize("name", [*BAD_GROUPS, None, 7, b"a"])
def test_bad_group_names_are_type_errors(base: BaseChannelLayer, name: Any) -> None:
    with pytest.raises(TypeError) as caught:
        base.require_valid_group_name(name)
    assert str(caught.value).startswith(TEXT.format("Group"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a b", "' ' at position 1"),
        ("x" * 120, "120 characters"),
        ("", "is empty"),
        (b"a", "is a bytes"),
        ("a!b", "'!' at position 1"),
    ],
)
def test_the_error_says_which_rule_failed(base: BaseChannelLayer, name: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=re.escape(reason)):
        base.require_valid_group_name(name)


def test_receivers_read_specific_channels_by_their_shared_part(base: BaseChannelLayer) -> None:
    assert base.require_valid_channel_name("a.b!", receive=True)
    with pytest.raises(TypeError, match="Specific channel names in receive.. must end at the !"):
        base.require_valid_channel_name("a.b!c", receive=True)


def test_lists_of_names_are_checked_one_by_one(base: BaseChannelLayer) -> None:
    assert base.valid_channel_names(["a", "b"]) is True
    for bad in ([], ("a",), "a", ["a", "b c"]):
        with pytest.raises(TypeError):
            base.valid_channel_names(bad)  # type: ignore[arg-type]


def test_old_names_of_the_checks_still_work_and_warn(base: BaseChannelLayer) -> None:
    with pytest.warns(DeprecationWarning, match="use require_valid_channel_name"):
        assert base.valid_channel_name("a", receive=True)
    with pytest.warns(DeprecationWarning, match="use require_valid_group_name"):
        assert base.valid_group_name("a")


def test_the_local_part_of_a_name_is_cut_off(base: BaseChannelLayer) -> None:
    assert base.non_local_name("a.b!c!d") == "a.b!"
    assert base.non_local_name("a.b") == "a.b"


def test_a_layer_may_have_rules_of_its_own() -> None:
    class Short(BaseChannelLayer):
        MAX_NAME_LENGTH = 5

    with pytest.raises(TypeError):
        Short().require_valid_group_name("12345")
    assert Short().require_valid_group_name("1234")


def test_capacities_are_compiled_once_and_stay_as_they_are() -> None:
    pattern = re.compile(r"^x\d$")
    base = BaseChannelLayer(capacity=9, channel_capacity={"mail.*": 2, pattern: 3, "m*": 4})
    assert base.compile_capacities(base.channel_capacity) == base.channel_capacity
    assert [base.get_capacity(name) for name in ("mail.a", "x1", "more", "x12")] == [2, 3, 4, 9]


def test_the_base_does_not_deliver(base: BaseChannelLayer) -> None:
    coroutine = base.send("a", {})
    with pytest.raises(NotImplementedError, match=r"send\(\)"):
        coroutine.send(None)


def test_random_names_do_not_follow_a_seed() -> None:
    random.seed(1)
    first = random_letters()
    random.seed(1)
    assert random_letters() != first
    assert re.fullmatch("[a-zA-Z]{12}", first)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_random_names_of_a_forked_child_differ() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, random_letters().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    theirs = os.read(read, 100).decode()
    os.close(read)
    assert len(theirs) == 12
    assert theirs != random_letters()
