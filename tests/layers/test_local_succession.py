"""One host after another: when to tell consumers, and how soon to look again."""

from __future__ import annotations

from channels.layers.local.succession import (
    LONGEST_RETRY_SECONDS,
    QUICK_FOR_SECONDS,
    QUICK_RETRY_SECONDS,
    REFUSED_RETRY_SECONDS,
    Succession,
)


def welcomed(host: str = "one") -> Succession:
    succession = Succession()
    succession.begin([])
    succession.welcomed(host)
    return succession


def test_the_first_host_is_no_return() -> None:
    succession = welcomed()
    assert succession.let_in
    assert succession.come_back() is None


def test_a_return_is_told_once_and_after_every_subscription_is_taken() -> None:
    succession = welcomed()
    succession.begin(["news", "chat"])
    succession.welcomed("two")
    assert succession.come_back() is None
    succession.taken(["news"])
    assert succession.come_back() is None
    succession.taken(["chat", "other"])
    assert succession.come_back() is True
    assert succession.come_back() is None


def test_nothing_is_missed_for_a_goodbye_or_at_the_same_host() -> None:
    succession = welcomed()
    succession.farewell(["a", "b"])
    assert succession.expected == {"a", "b"}
    succession.begin([])
    succession.welcomed("two")
    assert succession.come_back() is False
    assert not succession.expected
    succession.begin([])
    succession.welcomed("two")
    assert succession.come_back() is False


def test_what_broke_here_counts_as_a_lost_host() -> None:
    succession = welcomed()
    succession.broken()
    succession.begin([])
    succession.welcomed("one")
    assert succession.come_back() is True


def test_one_looks_quickly_after_a_loss_and_slowly_after_a_refusal() -> None:
    assert Succession().longest_retry(0.0) == LONGEST_RETRY_SECONDS
    succession = welcomed()
    succession.lost(10.0)
    assert succession.longest_retry(10.0) == QUICK_RETRY_SECONDS
    assert succession.longest_retry(10.0 + QUICK_FOR_SECONDS) == LONGEST_RETRY_SECONDS
    succession.refused()
    assert not succession.let_in
    assert succession.longest_retry(10.0) == REFUSED_RETRY_SECONDS
