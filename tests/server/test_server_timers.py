"""The wheel of deadlines, on a clock that the test turns."""

from __future__ import annotations

from typing import Any

from injected_clock import Clock

from channels.server.timers import TICK, Timers


def wheel() -> tuple[Clock, Any]:
    clock = Clock()
    return clock, Timers(clock)  # type: ignore[arg-type]


def test_a_deadline_expires_once_and_never_early() -> None:
    clock, timers = wheel()
    expired: list[float] = []
    timers.deadline(lambda: expired.append(clock.now)).set(5)
    clock.advance(4.99)
    assert expired == []
    clock.advance(10)
    assert len(expired) == 1
    assert 1005 <= expired[0] <= 1005 + TICK + 0.001


def test_a_deadline_that_is_moved_away_again_and_again_costs_no_timers() -> None:
    clock, timers = wheel()
    expired: list[float] = []
    deadline = timers.deadline(lambda: expired.append(clock.now))
    for _ in range(1000):
        deadline.set(10)
        clock.advance(0.5)
    assert expired == []
    assert clock.calls < 100
    clock.advance(10)
    assert len(expired) == 1


def test_a_deadline_can_be_moved_nearer() -> None:
    clock, timers = wheel()
    expired: list[float] = []
    deadline = timers.deadline(lambda: expired.append(clock.now))
    deadline.set(100)
    deadline.set(1)
    clock.advance(1.2)
    assert len(expired) == 1
    clock.advance(200)
    assert len(expired) == 1


def test_the_loop_has_one_timer_and_none_when_nothing_is_pending() -> None:
    clock, timers = wheel()
    deadlines = [timers.deadline(lambda: None) for _ in range(50)]
    for number, deadline in enumerate(deadlines):
        deadline.set(50 - number)
        assert len(clock.armed) == 1
    for deadline in deadlines:
        deadline.discard()
    assert clock.armed == []


def test_cleared_and_discarded_deadlines_stay_silent() -> None:
    clock, timers = wheel()
    expired: list[str] = []
    cleared = timers.deadline(lambda: expired.append("cleared"))
    discarded = timers.deadline(lambda: expired.append("discarded"))
    cleared.set(1)
    discarded.set(1)
    cleared.clear()
    discarded.discard()
    clock.advance(5)
    assert expired == []
    assert clock.armed == []


def test_an_expiring_deadline_may_set_and_discard_others() -> None:
    clock, timers = wheel()
    expired: list[str] = []
    second = timers.deadline(lambda: expired.append("second"))

    def first() -> None:
        expired.append("first")
        second.discard()
        again.set(1)

    again = timers.deadline(lambda: expired.append("again"))
    timers.deadline(first).set(1)
    second.set(1.5)
    clock.advance(5)
    assert expired == ["first", "again"]


def test_no_time_means_never() -> None:
    clock, timers = wheel()
    expired: list[str] = []
    deadline = timers.deadline(lambda: expired.append("x"))
    deadline.set(1)
    deadline.set(None)
    clock.advance(1000)
    assert expired == []
