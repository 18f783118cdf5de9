"""What a node wants, and which answer of the host is for which wish."""

from __future__ import annotations

from channels.layers.local import frames
from channels.layers.local.frames import Op
from channels.layers.local.wishes import Wishes

NODE = "a" * 12


def test_the_answer_of_a_subscription_that_was_ended_is_not_for_the_next_one() -> None:
    wishes = Wishes()
    assert wishes.subscribe("news", said=True)
    wishes.unsubscribe("news")
    assert wishes.subscribe("news", said=True)
    future = wishes.groups["news"]
    assert future is not None
    assert not wishes.subscribed("news")
    assert not future.done()
    assert wishes.subscribed("news")
    assert future.done()
    assert wishes.groups == {"news": None}


def test_the_answer_for_a_group_that_nobody_wants_any_more_is_nothing() -> None:
    wishes = Wishes()
    wishes.subscribe("news", said=True)
    wishes.unsubscribe("news")
    assert not wishes.subscribed("news")


def test_a_new_host_answers_each_group_once_whatever_the_old_one_owed() -> None:
    wishes = Wishes()
    wishes.subscribe("news", said=True)
    wishes.unsubscribe("news")
    wishes.subscribe("news", said=True)
    (frame,) = wishes.first_words(NODE, 0.0)
    assert frames.op_of(frame) == Op.SUBSCRIBE
    assert wishes.subscribed("news")


def test_a_named_members_time_goes_on_over_the_change_of_hosts() -> None:
    wishes = Wishes()
    details = {"method": "join", "group": "news", "channel": "work", "capacity": 5}
    wishes.join("news", "work", {**details, "expiry": 100}, 0.0)
    wishes.join("news", "other", {**details, "channel": "other", "expiry": None}, 0.0)
    calls = [frames.read_control(frame) for frame in wishes.first_words(NODE, 40.0)]
    assert [call["expiry"] for call in calls] == [60.0, None]
    calls = [frames.read_control(frame) for frame in wishes.first_words(NODE, 101.0)]
    assert [call["channel"] for call in calls] == ["other"]
