"""The pure core: queues, groups, copies and losses, with a clock that is a number."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest

from channels.exceptions import MessageTooLarge
from channels.layers.codec import MAX_MESSAGE
from channels.layers.copies import LARGE, copier, copy_of
from channels.layers.groups import Groups
from channels.layers.hub import Hub
from channels.layers.losses import Loss, Losses, Reason
from channels.layers.queue import ChannelQueue
from channels.mailbox import Mailbox

HELLO = {"type": "hello"}


class FakeWaiter:
    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class FakeLoop(asyncio.AbstractEventLoop):
    """Where mailboxes live; it runs unless it is told to stop."""

    running = True

    def is_running(self) -> bool:
        return self.running

    def stop(self) -> None:
        self.running = False


def hub(**config: Any) -> Hub:
    return Hub(lambda channel: 2, **config)


# -- queues --------------------------------------------------------------------------


def test_a_queue_wakes_everybody_who_waits() -> None:
    queue, waiters = ChannelQueue(2), [FakeWaiter(), FakeWaiter()]
    queue.waiters.extend(waiters)
    assert queue.put(HELLO, 10, 0)
    assert [waiter.woken for waiter in waiters] == [1, 1]
    assert queue.waiters == []


def test_a_message_is_stale_at_its_time() -> None:
    queue = ChannelQueue(2)
    queue.put(HELLO, 10, 0)
    assert queue.take(10) is None
    assert queue.expired == 1


def test_a_channel_nobody_reads_is_dropped_when_its_messages_are_stale() -> None:
    made = hub(expiry=10)
    made.enqueue("dead", HELLO, 10, 0)
    assert list(made.channels()) == ["dead"]
    made.enqueue("other", HELLO, 30, 20)
    assert list(made.channels()) == ["other"]
    assert made.statistics()["expired"] == 1


def test_a_channel_that_is_waited_for_is_kept() -> None:
    made, waiter = hub(expiry=10), FakeWaiter()
    assert made.take("read", 0, lambda: waiter) is waiter
    made.enqueue("other", HELLO, 110, 100)
    made.enqueue("read", HELLO, 110, 100)
    assert waiter.woken == 1
    assert made.take("read", 101, FakeWaiter) == HELLO


def test_a_waiter_of_a_channel_that_is_detached_is_told_to_look_again() -> None:
    made, waiter = hub(), FakeWaiter()
    made.take("read", 0, lambda: waiter)
    made.detach("read")
    assert waiter.woken == 1


def test_a_withdrawn_waiter_is_not_woken() -> None:
    made, waiter = hub(), FakeWaiter()
    made.take("read", 0, lambda: waiter)
    made.withdraw("read", waiter)
    made.withdraw("unknown", waiter)
    made.enqueue("read", HELLO, 10, 0)
    assert waiter.woken == 0


# -- groups --------------------------------------------------------------------------


def test_joining_again_renews_and_moves_to_the_end() -> None:
    groups = Groups(10, alive=())
    groups.join("all", "a", 0)
    groups.join("all", "b", 1)
    groups.join("all", "a", 2)
    assert list(groups.members["all"].items()) == [("b", 1), ("a", 2)]


def test_only_old_memberships_end() -> None:
    groups = Groups(10, alive={"alive"})
    for now, channel in enumerate(("a", "alive", "b", "c")):
        groups.join("all", channel, now)
    assert groups.current("all", 12) == ["c", "alive"]
    assert groups.members["all"] == {"c": 3, "alive": 12}


def test_a_group_whose_last_member_ends_is_gone() -> None:
    groups = Groups(10, alive=())
    groups.join("all", "a", 0)
    assert groups.current("all", 10) == []
    assert groups.members == {}


def test_dead_members_of_silent_groups_are_found_when_others_join() -> None:
    groups = Groups(10, alive=())
    groups.join("silent", "dead", 0)
    groups.join("other", "b", 20)
    assert list(groups.members) == ["other"]


def test_without_an_expiry_memberships_stay() -> None:
    groups = Groups(None, alive=())
    groups.join("all", "a", 0)
    assert groups.current("all", 1e12) == ["a"]


def test_leaving_all_groups_leaves_nothing_behind() -> None:
    groups = Groups(10, alive=())
    for group in ("x", "y", "z"):
        groups.join(group, "a", 0)
    groups.join("y", "b", 0)
    groups.leave_all("a")
    groups.leave_all("a")
    assert groups.members == {"y": {"b": 0}}


def told(**config: Any) -> tuple[Hub, list[tuple[str, bool]]]:
    """A hub, and what it says of its groups."""
    said: list[tuple[str, bool]] = []
    return hub(on_group=lambda group, present: said.append((group, present)), **config), said


def test_only_the_first_and_the_last_member_of_a_group_are_told() -> None:
    made, said = told()
    made.join("all", "a", 0)
    made.join("all", "b", 0)
    made.join("all", "a", 1)
    assert said == [("all", True)]
    made.leave("all", "a")
    made.leave("all", "a")
    assert said == [("all", True)]
    made.leave("all", "b")
    made.leave("all", "b")
    assert said == [("all", True), ("all", False)]
    made.join("all", "a", 2)
    assert said[2:] == [("all", True)]


def test_a_group_is_told_empty_whatever_emptied_it() -> None:
    made, said = told(group_expiry=10)
    for group in ("detached", "both"):
        made.join(group, "a", 0)
    made.join("both", "b", 1)
    made.join("silent", "c", 1)
    said.clear()
    made.detach("a")
    assert said == [("detached", False)]
    assert made.members("both", 11) == []
    assert said[1:] == [("both", False)]
    # Found dead by a sweep, which runs at most once an expiry.
    made.join("other", "d", 20)
    assert said[2:] == [("other", True), ("silent", False)]
    made.flush()
    assert said[4:] == [("other", False)]
    made.flush()
    assert len(said) == 5


def test_a_member_that_joins_while_the_last_other_is_finalized_is_a_member() -> None:
    made, said = told()
    made.join("all", "a", 0)

    class Name(str):
        """Stands for an allocation at which a consumer is collected."""

        def __hash__(self) -> int:
            made.detach("a")
            return super().__hash__()

    made.join("all", Name("b"), 1)
    assert made.members("all", 1) == ["b"]
    assert said == [("all", True), ("all", False), ("all", True)]


def test_a_hub_knows_the_mailboxes_of_groups_each_once() -> None:
    made, loop = hub(), FakeLoop()
    boxes = {name: Mailbox(loop) for name in "abc"}
    for name, mailbox in boxes.items():
        made.attach(name, mailbox)
    made.attach("a too", boxes["a"])
    for group, channel in (("x", "a"), ("y", "a"), ("y", "b"), ("y", "unattached"), ("z", "c")):
        made.join(group, channel, 0)
    assert made.mailboxes_of(["x", "y", "unknown"]) == [boxes["a"], boxes["b"]]
    assert made.mailboxes_of([]) == []
    assert made.mailboxes_of(None) == list(boxes.values())


def test_the_main_loop_is_where_most_mailboxes_live() -> None:
    made, one, other = hub(), FakeLoop(), FakeLoop()
    assert made.main_loop() is None
    for name, loop in (("a", one), ("b", other), ("c", other)):
        made.attach(name, Mailbox(loop))
    assert made.main_loop() is other
    assert made.loops == {one: 1, other: 2}
    made.attach("c", Mailbox(one))
    assert made.main_loop() is one
    # One that stands still, as between two tests, delivers nothing.
    one.stop()
    assert made.main_loop() is other
    made.detach("b")
    made.detach("b")
    assert made.loops == {one: 2}
    made.detach("a")
    made.detach("c")
    assert made.main_loop() is None
    assert made.loops == {}


# -- copies --------------------------------------------------------------------------


def test_copies_are_equal_and_share_nothing_that_can_change() -> None:
    moment = datetime.datetime(2020, 1, 1)
    message: dict[str, Any] = {"type": "x", "list": [{"a": (1, [2])}], "at": moment, "s": {1}}
    first, second = copier(message)(), copier(message)()
    assert first == second == message
    first["list"][0]["a"][1].append(3)
    first["s"].add(2)
    assert second == message == {"type": "x", "list": [{"a": (1, [2])}], "at": moment, "s": {1}}


def test_what_cannot_be_carried_is_told_with_its_place() -> None:
    items: list[Any] = []
    items.append(items)
    with pytest.raises(ValueError, match="nested deeper than"):
        copier({"type": "x", "list": items})
    with pytest.raises(TypeError, match=r"message\['a'\]\[1\] is a object, which layers cannot"):
        copier({"type": "x", "a": [1, object()]})
    with pytest.raises(MessageTooLarge, match="Store it elsewhere"):
        copier({"type": "x", "a": bytes(MAX_MESSAGE)})
    with pytest.raises(MessageTooLarge, match="Store it elsewhere"):
        copier({"type": "x", **{f"k{n}": "x" * LARGE for n in range(MAX_MESSAGE // LARGE)}})


def test_the_only_receiver_gets_what_each_of_several_would() -> None:
    messages: list[Any] = [
        {"type": "x", "n": 1},
        {"type": "x", "rows": [{"when": datetime.date(2020, 1, 1)}], "t": (1, {2})},
        {"type": "x", "text": "x" * (LARGE + 1)},
    ]
    for message in messages:
        only = copy_of(message)
        assert only == copier(message)() == message
        assert only is not message
    only = copy_of(messages[1])
    only["rows"].clear()
    assert messages[1]["rows"]


def test_receivers_share_the_texts_of_a_large_message_and_nothing_that_can_change() -> None:
    text = "x" * LARGE
    make = copier({"type": "x", "rows": [{"text": text}], "when": {datetime.date(2020, 1, 1)}})
    first, second = make(), make()
    assert first == second == {"type": "x", "rows": [{"text": text}], "when": first["when"]}
    assert first["rows"][0]["text"] is second["rows"][0]["text"]
    first["rows"][0]["text"] = ""
    first["when"].clear()
    assert second == make() != first
    flat = copier({"type": "x", "text": text})
    assert flat()["text"] is flat()["text"]
    assert flat() is not flat()


def test_a_kind_of_dict_becomes_a_dict() -> None:
    class Special(dict[str, Any]):
        pass

    assert type(copier(Special(type="x"))()) is dict


# -- losses --------------------------------------------------------------------------


def test_the_first_loss_is_said_at_once_and_the_next_ones_together() -> None:
    losses = Losses()
    full, closed = Loss("a", Reason.FULL), Loss("b", Reason.CLOSED)
    assert losses.note([full, full, closed], 0) == (2, full)
    assert losses.note([full], 1) is None
    assert losses.note([full], 9.9) is None
    assert losses.note([closed], 10) is None
    assert losses.note([full], 10) == (3, full)
    assert losses.statistics()["dropped_full"] == 5


def test_losses_without_interest_are_only_counted() -> None:
    losses = Losses()
    assert losses.note([Loss("a", Reason.CLOSED)], 0) is None
    assert losses.statistics()["dropped_closed"] == 1
