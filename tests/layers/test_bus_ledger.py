"""The judge of the fault test: it objects to bad ledgers, and to no good one."""

from __future__ import annotations

import math

import pytest
from bus_ledger import Fault, Ledger, Verdict, judge, latencies, recovery

GOOD = """
J a/1 0.0 news
J b/1 0.0 news sport
B a/s 1 1.0 news
R a/1 a/s 1 1.1
R b/1 a/s 1 1.1
E a/s 1 1.1
B b/s 1 2.0 sport
E b/s 1 2.1
R b/1 b/s 1 2.1
B a/s 2 3.0 news
E a/s 2 3.1
R b/1 a/s 2 3.2
R a/1 a/s 2 3.2
"""


def ledger(text: str) -> Ledger:
    made = Ledger()
    made.read(text.strip().splitlines())
    return made


def verdict(text: str, living: str = "a b", faults: tuple[Fault, ...] = ()) -> Verdict:
    return judge(ledger(text), living.split(), faults)


def test_a_good_ledger_has_no_objections() -> None:
    assert verdict(GOOD) == Verdict([], 5, 0, 0)


@pytest.mark.parametrize(
    ("removed", "added", "says"),
    [
        ("R b/1 a/s 2 3.2\n", "", "b/1 did not receive message 2 of a/s to group news"),
        ("R a/1 a/s 1 1.1\n", "", "a/1 did not receive message 1 of a/s"),
        ("", "R b/1 a/s 2 3.3", "b/1 received message 2 of a/s twice"),
        ("", "R a/1 b/s 1 2.2", "which was for group sport"),
        ("", "R a/1 a/s 3 3.3", "message 3 of a/s, which nobody sent"),
        ("", "R c/1 a/s 1 1.1", "c/1 received message 1 of a/s, which was for group news"),
        (
            "R b/1 a/s 1 1.1\n",
            "R b/1 a/s 1 3.3",
            "b/1 received message 1 of a/s after message 2",
        ),
        ("R b/1 a/s 2 3.2\n", "N b/1 2.9 True", "and was not told"),
        ("R b/1 a/s 2 3.2\n", "N b/1 3.5 False", "and was not told"),
        ("R b/1 a/s 2 3.2\n", "N a/1 3.5 True", "and was not told"),
        ("R b/1 a/s 2 3.2\n", "N b/1 6.5 True", "and was not told"),
    ],
)
def test_it_objects(removed: str, added: str, says: str) -> None:
    assert removed in GOOD
    objections = verdict(GOOD.replace(removed, "") + added).objections
    assert len(objections) == 1
    assert says in objections[0]


def test_who_was_told_in_time_has_lost_a_message_without_objection() -> None:
    lost = GOOD.replace("R b/1 a/s 2 3.2\n", "N b/1 3.5 True\n")
    assert verdict(lost) == Verdict([], 4, 1, 1)


def test_during_a_fault_telling_may_wait_for_its_end() -> None:
    lost = GOOD.replace("R b/1 a/s 2 3.2\n", "N b/1 12.5 True\n")
    assert verdict(lost, faults=(Fault(3.5, 10.0),)).objections == []
    assert len(verdict(lost, faults=(Fault(3.5, 9.0),)).objections) == 1
    assert len(verdict(lost, faults=(Fault(5.0, 10.0),)).objections) == 1


def test_what_a_dead_process_had_in_its_memory_is_not_demanded() -> None:
    assert verdict(GOOD.replace("R b/1 a/s 2 3.2\n", ""), living="a").objections == []
    never_returned = GOOD.replace("R b/1 a/s 2 3.2\n", "").replace("E a/s 2 3.1\n", "")
    assert verdict(never_returned).objections == []
    # But what it did receive has to be right.
    assert len(verdict(GOOD + "R b/1 a/s 1 4.0", living="a").objections) == 1


def test_what_was_sent_before_joining_is_not_demanded() -> None:
    assert verdict(GOOD + "J b/2 1.5 news\nR b/2 a/s 2 3.2").objections == []
    assert len(verdict(GOOD + "J b/2 1.5 news").objections) == 1


def test_recovery_is_when_all_have_heard_all() -> None:
    made = ledger(GOOD + "B b/s 2 4.0 news\nE b/s 2 4.0\nR a/1 b/s 2 4.25\nR b/1 b/s 2 4.1")
    assert recovery(made, 3.0, ["a"]) == pytest.approx(0.2)
    assert recovery(made, 3.0, ["a", "b"]) == pytest.approx(1.25)
    assert recovery(made, 3.5, ["a", "b"]) == math.inf


def test_latencies_are_of_calm_times() -> None:
    assert latencies(ledger(GOOD), {0.5: 1.5}) == pytest.approx([0.1, 0.1])


def test_a_line_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no line of a ledger"):
        ledger("Q a/1 0.0")
