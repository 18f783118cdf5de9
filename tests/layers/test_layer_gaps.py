"""Gaps in what a process hears: found by numbers, and none where nothing is missing."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from channels.layers.gaps import MAX_PUBLISHERS, REMEMBERED_SECONDS, Gaps, Numbers, Position

# -- the publisher -------------------------------------------------------------


def test_each_group_has_numbers_of_its_own() -> None:
    numbers = Numbers()
    assert numbers.take("news", 1.0) == (1, 1, 1.0)
    assert numbers.take("news", 2.0) == (1, 2, 2.0)
    assert numbers.take("sport", 3.0) == (2, 1, 3.0)
    assert numbers.take("news", 4.0) == (1, 3, 4.0)


def test_a_heartbeat_tells_each_last_number_once() -> None:
    numbers = Numbers()
    numbers.take("news", 1.0)
    numbers.take("news", 2.0)
    assert numbers.take_unsaid() == {"news": (1, 2, 2.0)}
    assert numbers.take_unsaid() == {}
    numbers.take("news", 3.0)
    assert numbers.take_unsaid() == {"news": (1, 3, 3.0)}


def test_recent_positions_are_those_of_two_minutes() -> None:
    numbers = Numbers()
    numbers.take("old", 0.0)
    numbers.take("used again", 1.0)
    numbers.take("new", 100.0)
    numbers.take("used again", REMEMBERED_SECONDS)
    assert numbers.recent(REMEMBERED_SECONDS + 0.5).keys() == {"new", "used again"}
    assert numbers.recent(1e9) == {}


def test_a_run_that_was_forgotten_begins_anew_under_another_epoch() -> None:
    numbers = Numbers(max_runs=2)
    first = numbers.take("a", 1.0)
    numbers.take("b", 2.0)
    numbers.take("a", 3.0)
    numbers.take("c", 4.0)
    assert numbers.take("b", 5.0) == (4, 1, 5.0)
    assert first.epoch == 1
    # What was forgotten is not told either.
    assert numbers.take_unsaid().keys() == {"b", "c"}


# -- the receiver --------------------------------------------------------------


def subscribed(positions: dict[str, Position] | None = None, now: float = 10.0) -> Gaps:
    gaps = Gaps()
    assert gaps.subscribed("news", positions or {}, now) == 0
    return gaps


def test_what_comes_in_order_has_no_gap() -> None:
    gaps = subscribed()
    assert [gaps.received("news", "a", 1, number) for number in (1, 2, 3)] == [0, 0, 0]


def test_the_next_number_shows_how_many_are_missing() -> None:
    gaps = subscribed()
    gaps.received("news", "a", 1, 1)
    assert gaps.received("news", "a", 1, 5) == 3
    assert gaps.received("news", "a", 1, 6) == 0


def test_a_number_heard_before_is_a_duplicate() -> None:
    gaps = subscribed()
    gaps.received("news", "a", 1, 5)
    assert gaps.received("news", "a", 1, 5) is None
    assert gaps.received("news", "a", 1, 4) is None
    assert gaps.duplicates == 2


def test_a_heartbeat_shows_what_is_missing_at_the_end() -> None:
    gaps = subscribed()
    gaps.received("news", "a", 1, 1)
    assert gaps.told("news", "a", Position(1, 1, 11.0)) == 0
    assert gaps.told("news", "a", Position(1, 3, 12.0)) == 2
    assert gaps.told("news", "a", Position(1, 3, 12.0)) == 0
    assert gaps.received("news", "a", 1, 4) == 0


def test_a_heartbeat_that_is_behind_tells_nothing() -> None:
    gaps = subscribed()
    gaps.received("news", "a", 1, 5)
    assert gaps.told("news", "a", Position(1, 3, 12.0)) == 0
    assert gaps.received("news", "a", 1, 6) == 0


def test_publishers_do_not_mix() -> None:
    gaps = subscribed()
    assert gaps.received("news", "a", 1, 7) == 0
    assert gaps.received("news", "b", 1, 3) == 0
    assert gaps.received("news", "a", 1, 8) == 0


def test_what_was_published_before_the_subscription_is_not_missing() -> None:
    gaps = subscribed({"a": Position(1, 7, 9.0)})
    assert gaps.received("news", "a", 1, 8) == 0
    assert gaps.received("news", "b", 1, 50) == 0
    assert gaps.told("news", "c", Position(1, 3, 9.9)) == 0
    assert gaps.told("news", "d", Position(1, 3, 10.1)) == 1


def test_what_was_missed_between_two_hosts_shows_at_the_second() -> None:
    gaps = subscribed({"a": Position(1, 7, 9.0)})
    gaps.received("news", "a", 1, 8)
    assert (
        gaps.subscribed("news", {"a": Position(1, 10, 20.0), "b": Position(1, 1, 5.0)}, 21.0) == 2
    )
    assert gaps.received("news", "a", 1, 11) == 0


def test_a_new_run_of_a_publisher_begins_at_one() -> None:
    gaps = subscribed()
    gaps.received("news", "a", 1, 70)
    assert gaps.received("news", "a", 2, 1) == 0
    assert gaps.received("news", "a", 3, 4) == 3
    assert gaps.told("news", "a", Position(4, 2, 30.0)) == 2
    assert gaps.told("news", "a", Position(3, 9, 29.0)) == 0


def test_who_has_left_a_group_misses_nothing() -> None:
    gaps = subscribed()
    gaps.received("news", "a", 1, 1)
    gaps.unsubscribed("news")
    assert gaps.received("news", "a", 1, 9) == 0
    assert gaps.told("news", "a", Position(1, 20, 30.0)) == 0
    assert gaps.subscribed("news", {"a": Position(1, 20, 30.0)}, 31.0) == 0
    assert gaps.received("news", "a", 1, 21) == 0


def test_the_publisher_that_was_silent_longest_is_forgotten_first() -> None:
    gaps = subscribed()
    gaps.received("news", "steady", 1, 1)
    for number in range(MAX_PUBLISHERS * 2):
        gaps.received("news", f"script {number}", 1, 1)
        # A heartbeat of what was heard shows no gap: it is known.
        assert gaps.told("news", "steady", Position(1, number + 1, 99.0)) == 0
        gaps.received("news", "steady", 1, number + 2)
    assert gaps.received("news", "steady", 1, MAX_PUBLISHERS * 2 + 5) == 3


@given(st.integers(0, 2**32), st.floats(0.0, 0.9))
def test_every_loss_is_counted_and_nothing_else(seed: int, share: float) -> None:
    """Publications are lost, heartbeats come or not: in the end the counts agree."""
    chance = random.Random(seed)
    numbers = {node: Numbers() for node in "ab"}
    gaps = Gaps()
    gaps.subscribed("news", {}, 0.0)
    lost = missed = received = 0
    heard: set[str] = set()
    for time in range(1, 60):
        node = chance.choice("ab")
        place = numbers[node].take("news", float(time))
        # Of a publisher that was never heard, nobody knows how much is missing.
        if node in heard and chance.random() < share:
            lost += 1
        else:
            missing = gaps.received("news", node, place.epoch, place.number)
            assert missing is not None
            missed += missing
            received += 1
            heard.add(node)
        if chance.random() < 0.2:
            missed += sum(gaps.told("news", n, p) for n in "ab" for p in _unsaid(numbers[n]))
    missed += sum(gaps.told("news", n, p) for n in heard for p in _recent(numbers[n]))
    assert missed == lost
    assert received + lost == 59
    assert gaps.duplicates == 0


def _unsaid(numbers: Numbers) -> list[Position]:
    return list(numbers.take_unsaid().values())


def _recent(numbers: Numbers) -> list[Position]:
    return list(numbers.recent(60.0).values())
