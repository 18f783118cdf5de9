"""A ledger outside the layer: who sent what, who was in which group, who received or was told.

Each process of a fault test appends lines to a file of its own, with times of the
machine's one monotonic clock; after the end the judge reads all of them. It knows
nothing of how the layer works. Pure: lines in, objections out.

    J member time group ...      B sender number time group      R member sender number time
    N member time missed         E sender number time

A line B is written before a message is sent, E when group_send has returned. Members
and senders are called `process/name`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# After the end of a fault, or after the message where there was none.
TOLD_WITHIN = 3.0
# What is sent just before a fault may be lost in it.
BEFORE_A_FAULT = 1.0


class Membership(NamedTuple):
    groups: frozenset[str]
    since: float


class Sent(NamedTuple):
    group: str
    begun: float
    returned: bool


class Receipt(NamedTuple):
    sender: str
    number: int
    time: float


class Fault(NamedTuple):
    begin: float
    end: float


@dataclass
class Ledger:
    """Everything that was written, by whom it concerns."""

    members: dict[str, Membership] = field(default_factory=dict)
    sent: dict[tuple[str, int], Sent] = field(default_factory=dict)
    received: dict[str, list[Receipt]] = field(default_factory=dict)
    # Times at which a member was told that messages may be missing.
    told: dict[str, list[float]] = field(default_factory=dict)

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            kind, who, *rest = line.split()
            if kind == "R":
                receipt = Receipt(rest[0], int(rest[1]), float(rest[2]))
                self.received.setdefault(who, []).append(receipt)
            elif kind == "B":
                self.sent[who, int(rest[0])] = Sent(rest[2], float(rest[1]), False)
            elif kind == "E":
                number = int(rest[0])
                self.sent[who, number] = self.sent[who, number]._replace(returned=True)
            elif kind == "J":
                self.members[who] = Membership(frozenset(rest[1:]), float(rest[0]))
            elif kind == "N":
                if rest[1] == "True":
                    self.told.setdefault(who, []).append(float(rest[0]))
            else:
                raise ValueError(f"no line of a ledger: {line!r}")


class Verdict(NamedTuple):
    """What the judge has to say: `lost` were missed by a member who was told of it."""

    objections: list[str]
    received: int
    lost: int
    members_told: int


def process_of(name: str) -> str:
    return name.partition("/")[0]


def judge(ledger: Ledger, living: Iterable[str], faults: Sequence[Fault]) -> Verdict:
    """Object to what a layer must not do.

    `living`: processes that were there at the end. What the others had only in their
    memory cannot be demanded: messages whose sending never returned, and members.
    """
    living = frozenset(living)
    objections: list[str] = []
    for member in ledger.received.keys() | ledger.members.keys():
        objections += _wrongly_received(ledger, member)
    lost = 0
    for member, membership in ledger.members.items():
        if process_of(member) in living:
            missed, untold = _missed(ledger, member, membership, faults)
            lost += missed
            objections += untold
    received = sum(map(len, ledger.received.values()))
    return Verdict(objections, received, lost, len(ledger.told))


def _wrongly_received(ledger: Ledger, member: str) -> Iterable[str]:
    membership = ledger.members.get(member)
    groups = membership.groups if membership else frozenset()
    last: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    for sender, number, _ in ledger.received.get(member, ()):
        message = f"message {number} of {sender}"
        sent = ledger.sent.get((sender, number))
        if sent is None:
            yield f"{member} received {message}, which nobody sent"
        elif sent.group not in groups:
            yield f"{member} received {message}, which was for group {sent.group}"
        if (sender, number) in seen:
            yield f"{member} received {message} twice"
        elif number < last.get(sender, 0):
            yield f"{member} received {message} after message {last[sender]}"
        seen.add((sender, number))
        last[sender] = max(number, last.get(sender, 0))


def _missed(
    ledger: Ledger, member: str, membership: Membership, faults: Sequence[Fault]
) -> tuple[int, list[str]]:
    """How many messages a member has missed and was told of; and those it was not told of."""
    received = {(sender, number) for sender, number, _ in ledger.received.get(member, ())}
    told = sorted(ledger.told.get(member, ()))
    lost, untold = 0, []
    for (sender, number), sent in ledger.sent.items():
        if (sender, number) in received or sent.group not in membership.groups:
            continue
        if not sent.returned or sent.begun < membership.since:
            continue
        next_told = bisect_left(told, sent.begun)
        if next_told < len(told) and told[next_told] <= _deadline(sent.begun, faults):
            lost += 1
        else:
            untold.append(
                f"{member} did not receive message {number} of {sender} to group {sent.group}, "
                f"sent at {sent.begun:.3f}, and was not told; told at {told}"
            )
    return lost, untold


def _deadline(time: float, faults: Sequence[Fault]) -> float:
    """Until when a member has to be told that a message of that time is missing."""
    ends = [fault.end for fault in faults if fault.begin - BEFORE_A_FAULT <= time <= fault.end]
    return max([time, *ends]) + TOLD_WITHIN


def recovery(ledger: Ledger, time: float, processes: Iterable[str]) -> float:
    """Seconds until each process had received something that each had sent after `time`.

    Infinite, if one never did.
    """
    first: dict[tuple[str, str], float] = {}
    for member, receipts in ledger.received.items():
        for receipt in receipts:
            pair = process_of(receipt.sender), process_of(member)
            if receipt.time < first.get(pair, float("inf")) and receipt.time > time:
                sent = ledger.sent.get(receipt[:2])
                if sent is not None and sent.begun >= time:
                    first[pair] = receipt.time
    names = list(processes)
    pairs = [(sender, receiver) for sender in names for receiver in names]
    return max(first.get(pair, float("inf")) for pair in pairs) - time


def latencies(ledger: Ledger, calm: Mapping[float, float]) -> list[float]:
    """Seconds from sending to receiving, sorted, of messages sent in calm spans of time."""
    found = []
    for receipts in ledger.received.values():
        for sender, number, time in receipts:
            sent = ledger.sent.get((sender, number))
            if sent and any(begin <= sent.begun < end for begin, end in calm.items()):
                found.append(time - sent.begun)
    return sorted(found)
