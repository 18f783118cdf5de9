"""What the host of a bus decides: which frame goes to which node. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from channels.layers.gaps import REMEMBERED_SECONDS
from channels.layers.local import frames, queues
from channels.layers.local.addresses import channel_of_node
from channels.layers.local.frames import BadFrame, Op, Outcome
from channels.layers.local.queues import NamedQueues
from channels.layers.local.switch import SWEEP_SECONDS, Switch

A, B, C = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
NODES = {A: 1, B: 2, C: 3}


class Bus:
    """A switch with three nodes, whose connections are 1, 2 and 3."""

    def __init__(self, *nodes: str, settling: bool = False, keeps: str = "") -> None:
        self.now = 100.0
        self.switch = Switch("hhhhhhhhhhhh", 1, "/site", settling=settling)
        for node in nodes or NODES:
            self.join(node, keeps=node == keeps)
        self.switch.outputs.clear()

    def join(self, node: str, keeps: bool = False, version: int = frames.VERSION) -> None:
        self.switch.join(NODES[node])
        hello = {
            "version": version,
            "node": node,
            "pid": 7,
            "project": "",
            "keeps": keeps,
            "words": 0,
        }
        self.say(node, frames.control(Op.HELLO, **hello))

    def say(self, node: str, *said: bytes) -> list[bool]:
        return [self.switch.receive(NODES[node], frame, self.now) for frame in said]

    def heard(self, node: str) -> list[bytes]:
        return self.switch.outputs.pop(NODES[node], [])

    def told(self, node: str) -> list[tuple[Op, dict[str, Any]]]:
        """Control frames that a node got."""
        frames_ = self.heard(node)
        return [(Op(frames.op_of(frame)), frames.read_control(frame)) for frame in frames_]

    # -- what nodes say ------------------------------------------------------

    def subscribe(self, node: str, *groups: str) -> dict[str, Any]:
        self.say(node, frames.control(Op.SUBSCRIBE, groups=list(groups)))
        ((op, content),) = self.told(node)
        assert op == Op.SUBSCRIBED
        positions: dict[str, Any] = content["positions"]
        return positions

    def publish(self, node: str, group: str, number: int = 1) -> bytes:
        frame = publication(node, group, number, self.now + 60)
        self.say(node, frame)
        return frame

    def send(self, node: str, channel: str, payload: bytes = b"x", capacity: int = 10) -> bytes:
        frame = frames.sending(node.encode(), 5, self.now + 60, capacity, channel.encode(), payload)
        self.say(node, frame)
        return frame

    def call(self, node: str, method: str, to: str = "", **details: Any) -> bytes:
        content = {"id": 9, "node": node, "to": to, "method": method, **details}
        frame = frames.control(Op.CALL, **content)
        self.say(node, frame)
        return frame

    def join_named(self, node: str, group: str, channel: str, expiry: float | None = 1000) -> None:
        details = {"group": group, "channel": channel, "capacity": 2, "expiry": expiry}
        self.call(node, "join", **details)
        self.heard(node)

    def want(self, node: str, channel: str) -> None:
        self.say(node, frames.want(Op.WANT, channel))

    def items(self, node: str) -> list[bytes]:
        return [frames.read_item(frame).payload for frame in self.heard(node)]


def publication(node: str, group: str, number: int, expires_at: float = 160.0) -> bytes:
    return frames.publication(node.encode(), 1, number, expires_at, group.encode(), b"payload")


def positions(node: str, **groups: Any) -> bytes:
    return frames.control(Op.POSITIONS, node=node, positions=groups)


# -- who is here ---------------------------------------------------------------


def test_a_node_is_welcomed() -> None:
    bus = Bus(A)
    bus.join(B)
    ((op, welcome),) = bus.told(B)
    assert op == Op.WELCOME
    assert welcome["host"] == "hhhhhhhhhhhh"
    assert welcome["project"] == "/site"
    assert bus.switch.report()["nodes"].keys() == {A, B}


def test_the_first_frame_is_a_hello_and_only_the_first() -> None:
    bus = Bus(A)
    bus.switch.join(2)
    with pytest.raises(BadFrame, match="no HELLO"):
        bus.publish(B, "news")
    bus.join(B)
    again = frames.control(
        Op.HELLO, version=frames.VERSION, node=C, pid=1, project="", keeps=False, words=0
    )
    with pytest.raises(BadFrame, match="HELLO twice"):
        bus.say(A, again)


def test_another_version_is_told_what_to_do() -> None:
    with pytest.raises(BadFrame, match="version 99 .* restart the older"):
        Bus(A).join(B, version=99)


def test_nobody_speaks_in_the_name_of_another() -> None:
    bus = Bus()
    with pytest.raises(BadFrame, match="publishes in the name of"):
        bus.say(A, publication(B, "news", 1))
    with pytest.raises(BadFrame, match="sends in the name of"):
        bus.say(A, frames.sending(B.encode(), 1, 0.0, 1, b"work", b""))


def test_an_unknown_op_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame, match="unknown op, 99"):
        Bus().say(A, b"\0\0\0\1\x63")


def test_a_node_that_is_back_before_its_old_connection_has_ended() -> None:
    bus = Bus(A, B)
    bus.switch.join(9)
    hello = {
        "version": frames.VERSION,
        "node": A,
        "pid": 7,
        "project": "",
        "keeps": False,
        "words": 0,
    }
    bus.switch.receive(9, frames.control(Op.HELLO, **hello), bus.now)
    bus.switch.leave(1)
    bus.switch.outputs.clear()
    sending = bus.send(B, channel_of_node(A, "x"))
    assert bus.switch.outputs == {9: [sending]}


# -- groups --------------------------------------------------------------------


def test_a_publication_goes_once_to_each_subscriber_as_the_same_bytes() -> None:
    bus = Bus()
    bus.subscribe(A, "news", "sport")
    bus.subscribe(B, "news")
    frame = bus.publish(B, "news")
    assert bus.heard(A) == [frame]
    assert bus.heard(B) == [frame]
    assert bus.heard(C) == []


def test_who_has_unsubscribed_or_left_gets_nothing() -> None:
    bus = Bus()
    for node in (A, B):
        bus.subscribe(node, "news")
    bus.say(A, frames.control(Op.UNSUBSCRIBE, groups=["news", "never joined"]))
    bus.switch.leave(NODES[B])
    bus.publish(C, "news")
    assert bus.switch.outputs == {}


def test_a_subscription_tells_how_far_publishers_are() -> None:
    bus = Bus()
    bus.publish(A, "news", 3)
    bus.publish(A, "sport", 4)
    bus.publish(B, "news", 7)
    assert bus.subscribe(C, "news", "quiet") == {
        "news": {A: (1, 3, bus.now), B: (1, 7, bus.now)},
        "quiet": {},
    }


def test_a_heartbeat_goes_to_the_subscribers_of_what_it_tells() -> None:
    bus = Bus()
    bus.subscribe(A, "news", "sport")
    bus.subscribe(B, "sport")
    bus.say(C, positions(C, news=(1, 2, 90.0), sport=(2, 3, 91.0), quiet=(3, 4, 92.0)))
    told = {"news": (1, 2, 90.0), "sport": (2, 3, 91.0)}
    assert bus.told(A) == [(Op.POSITIONS, {"node": C, "positions": told})]
    assert bus.told(B) == [(Op.POSITIONS, {"node": C, "positions": {"sport": (2, 3, 91.0)}})]
    assert bus.heard(C) == []


def test_positions_are_forgotten_after_two_minutes() -> None:
    bus = Bus()
    bus.publish(A, "old")
    bus.now += REMEMBERED_SECONDS + SWEEP_SECONDS + 1
    bus.publish(A, "new")
    assert bus.subscribe(B, "old", "new") == {"old": {}, "new": {A: (1, 1, bus.now)}}


# -- settling ------------------------------------------------------------------


def test_until_the_bus_has_settled_messages_wait_for_all_to_be_back() -> None:
    bus = Bus(settling=True)
    waiting = [
        publication(A, "news", 1),
        frames.sending(A.encode(), 1, 0.0, 1, b"work", b""),
        frames.sent(B, [1], Outcome.QUEUED, 1),
        frames.control(Op.CALL, id=1, node=A, to=B, method="join"),
        frames.control(Op.REPLY, id=1, node=B, of=A, result={}),
    ]
    assert bus.say(A, *waiting) == [False] * 5
    assert bus.switch.outputs == {}


def test_a_node_is_back_when_it_has_said_what_it_wants() -> None:
    bus = Bus(A, settling=True)
    bus.switch.join(2)
    hello = {"version": frames.VERSION, "node": B, "pid": 7, "project": "", "keeps": False}
    assert not bus.switch.has_all(frozenset({A, B}))
    bus.say(B, frames.control(Op.HELLO, **hello, words=2))
    bus.say(B, frames.control(Op.SUBSCRIBE, groups=["news"]))
    assert not bus.switch.has_all(frozenset({A, B}))
    bus.say(B, frames.control(Op.SUBSCRIBE, groups=["sport"]))
    assert bus.switch.has_all(frozenset({A, B}))
    assert not bus.switch.has_all(frozenset({A, B, C}))


def test_subscriptions_are_taken_at_once_and_answered_when_the_bus_has_settled() -> None:
    bus = Bus(settling=True)
    # The first words of nodes that are back.
    subscribe = frames.control(Op.SUBSCRIBE, groups=["news"])
    details = {"group": "news", "channel": "work", "capacity": 2, "expiry": None}
    named = frames.control(Op.CALL, id=0, node=A, to="", method="join", **details)
    for node in (A, C):
        assert bus.say(node, subscribe, named) == [True, True]
    assert bus.say(B, positions(B, news=(1, 2, 90.0))) == [True]
    bus.switch.leave(NODES[C])
    bus.switch.outputs.clear()
    bus.switch.settle()
    frame = bus.publish(B, "news", 3)
    subscribed, received = bus.heard(A)
    assert frames.read_control(subscribed) == {"positions": {"news": {B: (1, 2, 90.0)}}}
    assert received == frame
    assert bus.switch.report()["queues"] == {"work": 1}
    assert bus.switch.outputs == {}


# -- channels of a node --------------------------------------------------------


def test_a_message_goes_to_the_owner_and_its_answer_to_the_sender() -> None:
    bus = Bus()
    sending = bus.send(A, channel_of_node(B, "specific."))
    assert bus.heard(B) == [sending]
    answer = frames.sent(A, [5], Outcome.QUEUED, 3)
    bus.say(B, answer)
    assert bus.heard(A) == [answer]


def test_the_sender_hears_at_once_that_an_owner_is_gone() -> None:
    bus = Bus(A)
    bus.send(A, channel_of_node(B, "x"))
    (answer,) = bus.heard(A)
    assert frames.read_sent(answer) == (A, (5,), Outcome.GONE, 0)


def test_an_answer_to_who_has_left_goes_nowhere() -> None:
    bus = Bus()
    bus.switch.leave(NODES[A])
    bus.say(B, frames.sent(A, [5], Outcome.QUEUED, 3))
    assert bus.switch.outputs == {}


# -- named channels ------------------------------------------------------------


def test_a_named_channel_answers_with_the_room_it_has() -> None:
    bus = Bus()
    answers = []
    for _ in range(3):
        bus.send(A, "work", capacity=2)
        answers += [frames.read_sent(frame)[2:] for frame in bus.heard(A)]
    assert answers == [(Outcome.QUEUED, 1), (Outcome.QUEUED, 0), (Outcome.FULL, 0)]
    assert bus.switch.report()["queues"] == {"work": 2}


def test_those_who_want_get_items_in_turn() -> None:
    bus = Bus()
    bus.want(A, "work")
    bus.want(B, "work")
    bus.want(A, "work")
    for payload in (b"1", b"2", b"3", b"4"):
        bus.send(C, "work", payload)
    assert bus.items(A) == [b"1", b"3"]
    assert bus.items(B) == [b"2"]
    bus.want(B, "work")
    assert bus.items(B) == [b"4"]


def test_who_wants_no_more_or_has_left_gets_nothing() -> None:
    bus = Bus()
    bus.want(A, "work")
    bus.want(B, "work")
    bus.want(B, "other")
    bus.say(A, frames.want(Op.UNWANT, "work"), frames.want(Op.UNWANT, "never wanted"))
    bus.switch.leave(NODES[B])
    bus.send(C, "work", b"1")
    bus.want(A, "work")
    assert bus.items(A) == [b"1"]


def test_what_is_returned_is_the_next_again() -> None:
    bus = Bus()
    bus.want(A, "work")
    for payload in (b"1", b"2"):
        bus.send(C, "work", payload)
        bus.now += 1
    assert bus.items(A) == [b"1"]
    bus.say(A, frames.item(Op.RETURN, 160.0, "work", b"1"))
    bus.want(B, "work")
    bus.want(B, "work")
    assert bus.items(B) == [b"1", b"2"]


def test_an_item_that_is_too_old_is_not_handed_out() -> None:
    bus = Bus()
    bus.send(A, "work", b"old")
    bus.now += 30
    bus.send(A, "work", b"young")
    bus.now += 31
    bus.want(B, "work")
    assert bus.items(B) == [b"young"]
    assert bus.switch.report()["expired"] == 1


def test_what_nobody_wants_expires_by_itself() -> None:
    bus = Bus()
    bus.send(A, "work")
    bus.now += 61 + SWEEP_SECONDS
    bus.publish(A, "news")
    assert bus.switch.report()["queues"] == {}


# -- named channels in groups --------------------------------------------------


def test_a_named_member_gets_what_its_group_gets() -> None:
    bus = Bus()
    bus.join_named(A, "news", "work")
    bus.publish(B, "news")
    bus.want(C, "work")
    assert bus.items(C) == [b"payload"]
    bus.call(A, "leave", group="news", channel="work")
    bus.publish(B, "news")
    assert bus.switch.report()["queues"] == {}


def test_the_publisher_hears_of_a_named_member_that_is_full() -> None:
    bus = Bus()
    bus.join_named(A, "news", "work")
    for number in range(3):
        bus.publish(B, "news", number)
    assert bus.told(B) == [(Op.DROPPED, {"group": "news", "channel": "work"})]


def test_the_membership_of_a_named_channel_ends_when_it_was_not_renewed() -> None:
    bus = Bus()
    bus.join_named(A, "news", "work", expiry=10)
    bus.join_named(A, "news", "for ever", expiry=None)
    bus.now += 11
    bus.publish(B, "news")
    assert bus.switch.report()["queues"] == {"for ever": 1}
    assert bus.switch.report()["named"] == {"news": ["for ever"]}


@pytest.mark.parametrize(
    "nonsense", [{"capacity": "2"}, {"channel": 7}, {"group": None}, {"expiry": "x"}]
)
def test_nonsense_is_refused_when_it_comes_not_when_others_publish(nonsense: Any) -> None:
    bus = Bus()
    details = {"group": "news", "channel": "work", "capacity": 2, "expiry": 10, **nonsense}
    with pytest.raises((BadFrame, TypeError)):
        bus.call(A, "join", **details)
    bus.publish(B, "news")


@pytest.mark.parametrize("place", [("x", 1, 1.0), (1, 1, "x"), (1, 1), 7, None])
def test_positions_that_are_none_are_refused_when_they_come(place: Any) -> None:
    bus = Bus()
    with pytest.raises((BadFrame, TypeError)):
        bus.say(A, positions(A, news=place))
    bus.now += SWEEP_SECONDS * 10
    bus.publish(B, "news")


# -- calls ---------------------------------------------------------------------


def test_a_call_goes_to_a_node_and_its_reply_back() -> None:
    bus = Bus()
    call = bus.call(A, "join", to=B, group="news", channel="x")
    assert bus.heard(B) == [call]
    reply = frames.control(Op.REPLY, id=9, node=A, of=B, result={})
    bus.say(B, reply)
    assert bus.heard(A) == [reply]


def test_a_call_to_nobody_is_answered_by_the_host() -> None:
    bus = Bus(A)
    bus.call(A, "join", to=B, group="news", channel="x")
    assert bus.told(A) == [(Op.REPLY, {"id": 9, "node": A, "of": "", "result": {"gone": True}})]


def test_a_call_to_all_tells_who_was_asked() -> None:
    bus = Bus()
    call = bus.call(A, "flush", to="*")
    assert bus.heard(B) == bus.heard(C) == [call]
    ((op, reply),) = bus.told(A)
    assert op == Op.REPLY
    assert sorted(reply["result"]["asked"]) == [B, C]


def test_flush_forgets_what_waits_and_who_is_named() -> None:
    bus = Bus()
    bus.join_named(A, "news", "work")
    bus.send(A, "work")
    bus.want(B, "other")
    bus.call(A, "flush", to="*")
    report = bus.switch.report()
    assert (report["queues"], report["named"]) == ({}, {})
    bus.switch.outputs.clear()
    # Who waits goes on waiting.
    bus.send(A, "other", b"1")
    assert bus.items(B) == [b"1"]


# -- the end of a host ---------------------------------------------------------


def test_every_node_says_goodbye_before_the_host_goes() -> None:
    bus = Bus(A, B)
    bus.switch.join(3)
    bus.switch.say_bye()
    assert bus.told(A) == bus.told(B) == [(Op.BYE, {"nodes": [A, B]})]
    assert bus.heard(C) == []
    bus.say(A, frames.control(Op.BYE))
    assert not bus.switch.all_said_bye
    bus.say(B, frames.control(Op.BYE))
    assert bus.switch.all_said_bye


def test_what_waits_goes_to_a_node_that_stays_and_through_it_to_the_next_host() -> None:
    bus = Bus(A, B, keeps=B)
    for payload in (b"1", b"2", b"3"):
        bus.send(A, "work", payload)
        bus.now += 1
    bus.send(A, "other", b"4")
    bus.say(B, frames.control(Op.BYE))
    bus.switch.outputs.clear()
    assert bus.switch.hand_over() == {}
    items = [frames.read_item(frame) for frame in bus.heard(B)]
    assert bus.switch.hand_over() == {}
    # The next host already has somebody who wants one, and a younger message.
    following = Bus(A, B)
    following.now = bus.now
    following.want(A, "work")
    following.say(B, *(frames.item(Op.RETURN, *item) for item in items))
    following.send(B, "work", b"5")
    following.switch.outputs.pop(NODES[B])
    assert following.items(A) == [b"1"]
    for _ in range(3):
        following.want(A, "work")
    assert following.items(A) == [b"2", b"3", b"5"]


def test_what_nobody_can_keep_is_counted() -> None:
    # B is one that stays, but has not said goodbye: it may stand still.
    bus = Bus(A, B, keeps=B)
    for channel in ("work", "work", "other"):
        bus.send(A, channel)
    assert bus.switch.hand_over() == {"work": 2, "other": 1}


# -- queues --------------------------------------------------------------------


def test_all_queues_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_QUEUED_BYTES", 10)
    named = NamedQueues()
    assert named.put("a", 50.0, b"12345678", 100, 0.0) == 99
    assert named.put("b", 60.0, b"123", 100, 0.0) is None
    assert named.put("b", 60.0, b"12", 100, 0.0) == 99
    named.want("a", 1)
    assert named.match("a", 1.0) == [(1, 50.0, b"12345678")]
    assert named.bytes == 2
    assert named.put("b", 60.0, b"12345678", 100, 0.0) == 98


def test_nothing_is_kept_of_a_channel_that_is_idle() -> None:
    named = NamedQueues()
    named.put("a", 1.0, b"1", 10, 0.0)
    named.want("b", 1)
    named.expire(2.0)
    named.forget_taker(1)
    assert named.queues == {}
    assert named.bytes == 0
    assert named.expired == 1
    # A channel that refuses leaves nothing behind.
    assert named.put("c", 1.0, b"1", 0, 0.0) is None
    named.expire(3.0)
    assert named.queues == {}


def test_returned_messages_find_their_places_by_age() -> None:
    named = NamedQueues()
    for age in (2.0, 4.0):
        named.put("a", age, b"%d" % age, 10, 0.0)
    for age in (3.0, 1.0, 5.0):
        named.put_back("a", age, b"%d" % age)
    assert [payload for _, _, payload in named.take_all()] == [b"1", b"2", b"3", b"4", b"5"]
    assert named.bytes == 0


def test_everybody_hears_that_a_named_member_has_left() -> None:
    """Or whoever made it a member would say so again to the next host."""
    bus = Bus()
    bus.join_named(A, "news", "work")
    call = bus.call(B, "leave", group="news", channel="work")
    assert bus.heard(A) == bus.heard(C) == [call]
    assert bus.switch.report()["named"] == {}
