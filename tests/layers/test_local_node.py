"""A process's end of the bus, with a host that the test plays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from local_bus import (
    HELLO,
    SOON,
    Bus,
)
from tests.waiting import wait_until

from channels.exceptions import LayerUnavailable
from channels.layers.local import frames
from channels.layers.local import node as node_module
from channels.layers.local.frames import FrameReader, Op
from channels.layers.local.node import Node
from channels.layers.local.place import (
    BusPlace,
    bind_bus,
    find_place,
    prepare_folder,
    try_lock,
    unbind_bus,
)


class PlayedHost:
    """A host that does what the test says."""

    def __init__(self, place: BusPlace) -> None:
        prepare_folder(place)
        lock = try_lock(place)
        assert lock is not None
        self._place, self._lock = place, lock
        self._listener = bind_bus(place, lock)
        self._listener.settimeout(10)
        self._sock: Any = None

    def accept(self) -> None:
        self.hang_up()
        self._sock, _ = self._listener.accept()
        self._sock.settimeout(10)
        self._reader = FrameReader()
        self._frames: list[bytes] = []

    def welcome(self, host: str) -> None:
        self.say(Op.WELCOME, version=frames.VERSION, host=host, pid=1, project="")

    def say(self, op: Op, **content: Any) -> None:
        self.write(frames.control(op, **content))

    def write(self, frame: bytes) -> None:
        self._sock.sendall(frame)

    def hear(self, op: Op) -> bytes:
        """The next frame, which has to be of this kind."""
        while not self._frames:
            self._frames = self._reader.receive(self._sock.recv(1 << 16))
        frame = self._frames.pop(0)
        assert frames.op_of(frame) == op
        return frame

    def hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()

    def close(self) -> None:
        self.hang_up()
        unbind_bus(self._place, self._listener, self._lock)


@pytest.fixture
def played(bus: Bus) -> Iterator[PlayedHost]:
    host = PlayedHost(find_place(bus.config["name"], bus.config["directory"]))
    yield host
    host.close()


def test_what_still_waits_is_not_said_to_be_published(bus: Bus, played: PlayedHost) -> None:
    node = bus.layer(host=False).node
    joined(node, played)
    for _ in range(3):
        node.publish("news", b"", 0.0)
    numbers = [frames.read_publication(played.hear(Op.PUBLISH)).number for _ in range(3)]
    played.say(Op.BYE, nodes=[])
    played.hear(Op.BYE)
    for group in ("news", "news", "sport"):
        node.publish(group, b"", 0.0)
    played.hang_up()
    played.accept()
    played.hear(Op.HELLO)
    positions = frames.read_control(played.hear(Op.POSITIONS))["positions"]
    assert {group: place[:2] for group, place in positions.items()} == {"news": (1, 3)}
    # Nothing else comes before the welcome of a host that lives.
    played.welcome("second")
    waited = [frames.read_publication(played.hear(Op.PUBLISH)) for _ in range(3)]
    numbers += [publication.number for publication in waited]
    assert numbers == [1, 2, 3, 4, 5, 1]


def joined(node: Node, played: PlayedHost) -> None:
    """Have `node` on the bus of a played host."""
    node.start()
    played.accept()
    played.hear(Op.HELLO)
    played.welcome("first")
    ready = node.ready()
    if ready is not None:
        ready.result(SOON)


def test_what_a_host_leaves_behind_is_given_to_the_next_before_all_else(
    bus: Bus, played: PlayedHost
) -> None:
    node = bus.layer(host=False).node
    joined(node, played)
    played.say(Op.BYE, nodes=[])
    played.hear(Op.BYE)
    node.publish("news", b"", 0.0)
    for age in (1.0, 2.0):
        played.write(frames.item(Op.ITEM, age, "work", b"left"))
    played.hang_up()
    played.accept()
    # It is not back before it has returned both.
    assert frames.read_control(played.hear(Op.HELLO))["words"] == 2
    played.welcome("second")
    assert [frames.read_item(played.hear(Op.RETURN)).expires_at for _ in range(2)] == [1.0, 2.0]
    played.hear(Op.PUBLISH)


def test_why_it_was_refused_is_heard_by_who_still_had_much_to_say(
    bus: Bus, run: Any, played: PlayedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "JOIN_SECONDS", 0.5)
    layer = bus.layer(host=False)
    joined(layer.node, played)
    for _ in range(20):
        layer.node.publish("news", bytes(100_000), 0.0)
    played.say(Op.REFUSED, reason="of a reason")
    played.hang_up()

    async def test() -> None:
        while True:
            await layer.group_send("news", HELLO)

    with pytest.raises(LayerUnavailable, match="refused this process: of a reason"):
        run(test)
    layer.node._outbox.clear()


def test_a_host_that_sends_garbage_is_left_and_looked_for_again(
    bus: Bus, played: PlayedHost, caplog: pytest.LogCaptureFixture
) -> None:
    node = bus.layer(host=False).node
    for garbage in (
        frames.sent(node.id, [1], 99, 0),  # type: ignore[arg-type]
        frames.control(Op.SUBSCRIBED, positions=7),
        frames.control(Op.REPLY, id=[]),
        b"\0\0\0\1\xfe",
        b"\xff\xff\xff\xff\xff",
    ):
        if node._thread is None:
            joined(node, played)
        played.write(garbage)
        played.accept()
        played.hear(Op.HELLO)
        played.welcome("first")
    assert len([r for r in caplog.records if "cannot read" in r.message]) == 5


class Slow:
    """Events of a node that has enough with each arrival, and room again at once."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def arrived(self, arrivals: list[Any]) -> bool:
        self.got += [arrival.payload for arrival in arrivals]
        self.node.resume()
        return False

    node: Node

    def missed(self, group: str, count: int) -> None: ...
    def dropped(self, group: str, channel: str) -> None: ...
    def reconnected(self, *, all_may_have_missed: bool) -> None: ...
    def called(self, call: dict[str, Any]) -> dict[str, Any]:
        return {}


def test_room_that_comes_before_a_node_has_stopped_reading_is_not_overlooked(
    bus: Bus, played: PlayedHost
) -> None:
    events = Slow()
    node = events.node = Node(bus.layer().place, events, may_host=lambda: False)
    joined(node, played)
    for number in range(3):
        payload = b"%d" % number
        played.write(frames.publication(b"a" * 12, 1, number, 0.0, b"news", payload))
        # One at a time: each is a reason to stop.
        wait_until(lambda count=number + 1: len(events.got) == count, seconds=SOON)
    assert events.got == [b"0", b"1", b"2"]
    node.close()
