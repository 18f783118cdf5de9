"""What the host of a bus decides: which frame goes to which node.

The pure core. Connections are numbers, time is passed in, and what is to be
written is collected in `outputs`; `host` reads and writes the sockets. A frame
that carries a message is passed on as the bytes it came in.

A host that follows another one first *settles*: nodes tell their positions and
subscriptions, and what they publish waits until all of them had the time to
return. Otherwise the first to be back would speak to an empty room. What a
subscription has missed is answered then.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from ..gaps import REMEMBERED_SECONDS, Position
from . import frames
from .addresses import node_of_channel
from .frames import BadFrame, Op, Outcome
from .queues import NamedQueues

# Seconds between two looks at what may be forgotten.
SWEEP_SECONDS: Final = 30.0


class Seat:
    """One connection, and what its node wants."""

    __slots__ = ("bye", "groups", "keeps", "node", "pid", "words")

    def __init__(self) -> None:
        self.node = ""
        self.pid = 0
        # Its process lives long: what a host leaves behind can be given to it.
        self.keeps = False
        # How many of its first words are still to come, while the bus settles.
        self.words = 0
        self.bye = False
        self.groups: set[str] = set()


class Switch:
    """The nodes of one bus, their subscriptions, and the named channels.

    `outputs`: connection -> frames to write, to be taken after each call.
    """

    def __init__(self, host: str, pid: int, project: str, *, settling: bool) -> None:
        self.host = host
        self.pid = pid
        self.settling = settling
        self.outputs: defaultdict[int, list[bytes]] = defaultdict(list)
        self.seats: dict[int, Seat] = {}
        self._welcome = frames.control(
            Op.WELCOME, version=frames.VERSION, host=host, pid=pid, project=project
        )
        self._by_node: dict[str, int] = {}
        self._subscribers: dict[str, dict[int, None]] = {}
        self._positions: dict[str, dict[str, Position]] = {}
        self._queues = NamedQueues()
        # Named channels in groups, with their capacities and the ends of their memberships:
        # they are nobody's connection, so they stay until then.
        self._named: dict[str, dict[str, tuple[int, float]]] = {}
        self._sweep_at = 0.0
        # Subscriptions that are taken, and answered when the bus has settled.
        self._unanswered: list[tuple[int, list[str]]] = []

    # -- connections -------------------------------------------------------

    def join(self, connection: int) -> None:
        self.seats[connection] = Seat()

    def leave(self, connection: int) -> None:
        """A connection has ended, and with it every subscription of its node."""
        seat = self.seats.pop(connection, None)
        self.outputs.pop(connection, None)
        if seat is None:
            return
        for group in seat.groups:
            self._unsubscribe(group, connection)
        self._queues.forget_taker(connection)
        if self._by_node.get(seat.node) == connection:
            del self._by_node[seat.node]

    def receive(self, connection: int, frame: bytes, now: float) -> bool:
        """Act on one frame; False: it has to wait until the bus has settled."""
        op = frames.op_of(frame)
        seat = self.seats[connection]
        if self.settling:
            if op in _WAITING and not _is_for_host(op, frame):
                return False
            seat.words -= 1
        if not seat.node and op != Op.HELLO:
            raise BadFrame("its first frame is no HELLO")
        if op == Op.PUBLISH:
            self._publish(seat, frame, now)
        elif op == Op.SEND:
            self._send(seat, connection, frame, now)
        elif op == Op.SENT:
            self._pass_on(frames.read_sent(frame).node, frame)
        else:
            handler = _HANDLERS.get(op)
            if handler is None:
                raise BadFrame(f"an unknown op, {op}")
            handler(self, connection, seat, frame, now)
        if now >= self._sweep_at:
            self._sweep(now)
        return True

    # -- groups ------------------------------------------------------------

    def _publish(self, seat: Seat, frame: bytes, now: float) -> None:
        node, epoch, number, expires_at, group, payload = frames.read_publication(frame)
        if node != seat.node:
            raise BadFrame(f"node {seat.node} publishes in the name of {node!r:.20}")
        positions = self._positions.get(group)
        if positions is None:
            positions = self._positions[group] = {}
        positions[node] = Position(epoch, number, now)
        subscribers = self._subscribers.get(group)
        if subscribers is not None:
            outputs = self.outputs
            for subscriber in subscribers:
                outputs[subscriber].append(frame)
        if group in self._named:
            for channel, (capacity, until) in tuple(self._named[group].items()):
                if until <= now:
                    self._leave_named(group, channel)
                elif self._put(channel, expires_at, payload, capacity, now) is None:
                    dropped = frames.control(Op.DROPPED, group=group, channel=channel)
                    self._pass_on(node, dropped)

    def _positions_told(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        told = frames.read_control(frame)["positions"]
        by_subscriber: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for group, place in told.items():
            _require(group, str)
            for part in place:
                _require(part, int | float)
            self._positions.setdefault(group, {})[seat.node] = Position(*place)
            for subscriber in self._subscribers.get(group, ()):
                by_subscriber[subscriber][group] = place
        for subscriber, places in by_subscriber.items():
            if subscriber != connection:
                self.outputs[subscriber].append(
                    frames.control(Op.POSITIONS, node=seat.node, positions=places)
                )

    def _subscribe(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        groups = frames.read_control(frame)["groups"]
        for group in groups:
            seat.groups.add(group)
            self._subscribers.setdefault(group, {})[connection] = None
        if self.settling:
            self._unanswered.append((connection, groups))
        else:
            self._answer_subscription(connection, groups)

    def settle(self) -> None:
        """All had the time to be back: what waits may come, and finds everybody subscribed."""
        self.settling = False
        unanswered, self._unanswered = self._unanswered, []
        for connection, groups in unanswered:
            if connection in self.seats:
                self._answer_subscription(connection, groups)

    def _answer_subscription(self, connection: int, groups: list[str]) -> None:
        positions = {
            group: {node: tuple(place) for node, place in self._positions.get(group, {}).items()}
            for group in groups
        }
        self.outputs[connection].append(frames.control(Op.SUBSCRIBED, positions=positions))

    def _unsubscribed(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        for group in frames.read_control(frame)["groups"]:
            seat.groups.discard(group)
            self._unsubscribe(group, connection)

    def _unsubscribe(self, group: str, connection: int) -> None:
        subscribers = self._subscribers.get(group)
        if subscribers is not None:
            subscribers.pop(connection, None)
            if not subscribers:
                del self._subscribers[group]

    # -- channels ----------------------------------------------------------

    def _send(self, seat: Seat, connection: int, frame: bytes, now: float) -> None:
        node, id, expires_at, capacity, channel, payload = frames.read_sending(frame)
        if node != seat.node:
            raise BadFrame(f"node {seat.node} sends in the name of {node!r:.20}")
        owner = node_of_channel(channel)
        if owner is None:
            room = self._put(channel, expires_at, payload, capacity, now)
            outcome = Outcome.FULL if room is None else Outcome.QUEUED
            self.outputs[connection].append(frames.sent(node, [id], outcome, room or 0))
        elif not self._pass_on(owner, frame):
            self.outputs[connection].append(frames.sent(node, [id], Outcome.GONE, 0))

    def _pass_on(self, node: str, frame: bytes) -> bool:
        """Give `frame` to a node; False where there is none of that name."""
        connection = self._by_node.get(node)
        if connection is None:
            return False
        self.outputs[connection].append(frame)
        return True

    def _put(
        self, channel: str, expires_at: float, payload: bytes, capacity: int, now: float
    ) -> int | None:
        room = self._queues.put(channel, expires_at, payload, capacity, now)
        if room is not None:
            self._hand_out(channel, now)
        return room

    def _hand_out(self, channel: str, now: float) -> None:
        for connection, expires_at, payload in self._queues.match(channel, now):
            self.outputs[connection].append(frames.item(Op.ITEM, expires_at, channel, payload))

    def _want(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        channel = frames.read_want(frame)
        self._queues.want(channel, connection)
        self._hand_out(channel, now)

    def _unwant(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        self._queues.unwant(frames.read_want(frame), connection)

    def _returned(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        expires_at, channel, payload = frames.read_item(frame)
        self._queues.put_back(channel, expires_at, payload)
        self._hand_out(channel, now)

    # -- words between nodes, and with the host ----------------------------

    def _hello(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        hello = frames.read_control(frame)
        if hello.get("version") != frames.VERSION:
            raise BadFrame(
                f"it speaks version {hello.get('version')!r:.20} of the bus, this host speaks "
                f"{frames.VERSION}: restart the older of the two"
            )
        if seat.node:
            raise BadFrame("it says HELLO twice")
        node, pid, seat.keeps = hello["node"], hello["pid"], hello["keeps"]
        seat.node, seat.pid = _require(node, str), _require(pid, int)
        seat.words = _require(hello["words"], int)
        self._by_node[seat.node] = connection
        self.outputs[connection].append(self._welcome)

    def _called(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        call = frames.read_control(frame)
        to = call["to"]
        if to == "":
            self._reply(connection, seat, call, self._answer(call, now))
            if call["method"] == "leave":
                # Whoever has made it a member would say so again to the next host.
                for node in [node for node in self._by_node if node != seat.node]:
                    self._pass_on(node, frame)
        elif to == "*":
            others = [node for node, other in self._by_node.items() if other != connection]
            for node in others:
                self._pass_on(node, frame)
            self._reply(connection, seat, call, {"asked": others, **self._answer(call, now)})
        elif not self._pass_on(to, frame):
            self._reply(connection, seat, call, {"gone": True})

    def _reply(
        self, connection: int, seat: Seat, call: dict[str, Any], result: dict[str, Any]
    ) -> None:
        reply = frames.control(Op.REPLY, id=call["id"], node=seat.node, of="", result=result)
        self.outputs[connection].append(reply)

    def _answer(self, call: dict[str, Any], now: float) -> dict[str, Any]:
        """What the host itself does for a call."""
        method = call["method"]
        if method == "join":
            until = math.inf if call["expiry"] is None else now + call["expiry"]
            group, channel = _require(call["group"], str), _require(call["channel"], str)
            capacity = _require(call["capacity"], int)
            self._named.setdefault(group, {})[channel] = (capacity, until)
        elif method == "leave":
            self._leave_named(call["group"], call["channel"])
        elif method == "flush":
            self._queues.clear()
            self._named.clear()
        elif method == "report":
            return {"report": self.report()}
        return {}

    def _leave_named(self, group: str, channel: str) -> None:
        channels = self._named.get(group)
        if channels is not None:
            channels.pop(channel, None)
            if not channels:
                del self._named[group]

    def _replied(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        self._pass_on(frames.read_control(frame)["node"], frame)

    def _bye(self, connection: int, seat: Seat, frame: bytes, now: float) -> None:
        seat.bye = True

    # -- the whole ---------------------------------------------------------

    def say_bye(self) -> None:
        """Ask every node to write no more; their last frame is a BYE of their own.

        They hear who they are, so that the next host knows for whom to wait.
        """
        bye = frames.control(Op.BYE, nodes=list(self._by_node))
        for connection, seat in self.seats.items():
            if seat.node:
                self.outputs[connection].append(bye)

    def has_all(self, nodes: frozenset[str]) -> bool:
        """Whether these nodes are here, and have said what they want."""
        return nodes <= self._by_node.keys() and all(
            self.seats[self._by_node[node]].words <= 0 for node in nodes
        )

    @property
    def all_said_bye(self) -> bool:
        return all(seat.bye for seat in self.seats.values() if seat.node)

    def hand_over(self) -> dict[str, int]:
        """Give what waits on named channels to a node that stays; answers what could not be.

        It comes to the node as items that it did not want, and it returns them to the
        next host.
        """
        # Whoever has not said goodbye by now may be stopped, and would not keep anything.
        keepers = [number for number, seat in self.seats.items() if seat.keeps and seat.bye]
        left: dict[str, int] = {}
        for channel, expires_at, payload in self._queues.take_all():
            if keepers:
                frame = frames.item(Op.ITEM, expires_at, channel, payload)
                self.outputs[keepers[0]].append(frame)
            else:
                left[channel] = left.get(channel, 0) + 1
        return left

    def report(self) -> dict[str, Any]:
        """Plain values for people: who is here, and what waits."""
        return {
            "host": self.host,
            "pid": self.pid,
            "nodes": {
                seat.node: {"pid": seat.pid, "groups": len(seat.groups)}
                for seat in self.seats.values()
                if seat.node
            },
            "queues": self._queues.lengths(),
            "expired": self._queues.expired,
            "named": {group: list(channels) for group, channels in self._named.items()},
        }

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + SWEEP_SECONDS
        self._queues.expire(now)
        for group, channels in tuple(self._named.items()):
            for channel in [name for name, (_, until) in channels.items() if until <= now]:
                self._leave_named(group, channel)
        horizon = now - REMEMBERED_SECONDS
        for group, positions in tuple(self._positions.items()):
            for node in [node for node, place in positions.items() if place.time < horizon]:
                del positions[node]
            if not positions:
                del self._positions[group]


def _require(value: Any, kind: Any) -> Any:
    """Return `value`, which others will be served with, if it is what it should be."""
    if not isinstance(value, kind):
        raise BadFrame(f"{value!r:.60} is no {kind}")
    return value


def _is_for_host(op: int, frame: bytes) -> bool:
    return op == Op.CALL and frames.read_control(frame)["to"] == ""


# What is for other nodes has to wait for them to be back.
_WAITING: Final = frozenset({Op.PUBLISH, Op.SEND, Op.SENT, Op.CALL, Op.REPLY})
_HANDLERS: Final[dict[int, Callable[[Switch, int, Seat, bytes, float], None]]] = {
    Op.HELLO: Switch._hello,
    Op.POSITIONS: Switch._positions_told,
    Op.SUBSCRIBE: Switch._subscribe,
    Op.UNSUBSCRIBE: Switch._unsubscribed,
    Op.WANT: Switch._want,
    Op.UNWANT: Switch._unwant,
    Op.RETURN: Switch._returned,
    Op.CALL: Switch._called,
    Op.REPLY: Switch._replied,
    Op.BYE: Switch._bye,
}
