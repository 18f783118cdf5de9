"""The in-memory layer and the mailboxes of consumers."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from layer_backends import MemoryBackend

from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, MailboxLayer
from channels.mailbox import LAYER, SHARED, Mailbox, SharedMessage

HELLO = {"type": "hello"}


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


def never() -> float:
    """The clock of a test in which nothing goes stale."""
    return 0.0


class FakeSink:
    """Records the frames it is given; writable unless told otherwise."""

    def __init__(self, *, writable: bool = True, broken: bool = False) -> None:
        self.writable = writable
        self.kind = "fake"
        self.broken = broken
        self.frames: list[bytes] = []

    def encode(self, text: str | None, data: bytes | None) -> bytes:
        return b"frame:" + (text or "").encode()

    def write_frame(self, frame: bytes) -> None:
        if self.broken:
            raise OSError("gone")
        self.frames.append(frame)


class FakeRenderer:
    """Renders messages of type "shared" and counts how often."""

    def __init__(self, *, broken: bool = False) -> None:
        self.rendered = 0
        self.broken = broken

    def handles(self, type_: str) -> bool:
        return type_ == "shared"

    def render(self, message: Any) -> SharedMessage | None:
        self.rendered += 1
        if self.broken:
            raise ValueError("cannot render this")
        text = message.pop("text")
        return None if text is None else SharedMessage(text, None)


async def member(
    layer: InMemoryChannelLayer, group: str = "all", **attributes: Any
) -> tuple[str, Mailbox]:
    channel = await layer.new_channel()
    mailbox = Mailbox(asyncio.get_running_loop())
    for name, value in attributes.items():
        setattr(mailbox, name, value)
    layer.attach(channel, mailbox)
    await layer.group_add(group, channel)
    return channel, mailbox


def types_in(mailbox: Mailbox) -> list[str]:
    found = []
    while (entry := mailbox.take_nowait(never)) is not None:
        assert entry[0] is LAYER
        found.append(entry[1]["type"])
    return found


def test_it_is_a_mailbox_layer() -> None:
    assert isinstance(InMemoryChannelLayer(), MailboxLayer)


def test_it_needs_no_argument_that_is_not_its_own() -> None:
    with pytest.raises(TypeError, match="hosts"):
        InMemoryChannelLayer(hosts=["localhost"])


def test_attached_mailboxes_get_what_is_sent(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        channel, mailbox = await member(layer)
        await layer.send(channel, {"type": "a"})
        await layer.group_send("all", {"type": "b"})
        assert types_in(mailbox) == ["a", "b"]

    run(test)


def test_what_came_before_attaching_is_there_first(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        channel = await layer.new_channel()
        await layer.send(channel, {"type": "early"})
        mailbox = Mailbox(asyncio.get_running_loop())
        layer.attach(channel, mailbox)
        await layer.send(channel, {"type": "late"})
        assert types_in(mailbox) == ["early", "late"]

    run(test)


def test_capacity_counts_in_the_mailbox(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer(capacity=2)
        channel, mailbox = await member(layer)
        await layer.send(channel, HELLO)
        await layer.send(channel, HELLO)
        with pytest.raises(ChannelFull) as caught:
            await layer.send(channel, HELLO)
        assert caught.value.args == (channel,)
        assert len(mailbox) == 2

    run(test)


def test_detaching_leaves_every_group_and_never_fails(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        channel, mailbox = await member(layer)
        await layer.group_add("more", channel)
        layer.detach(channel)
        layer.detach(channel)
        layer.detach("never seen")
        await layer.group_send("all", HELLO)
        assert layer.groups == {}
        assert layer.channels == {}
        assert len(mailbox) == 0

    run(test)


def test_groups_and_channels_can_be_looked_at(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        assert layer.groups == {}
        assert layer.channels == {}
        channel, _ = await member(layer)
        assert list(layer.channels) == [channel]
        assert list(layer.groups["all"]) == [channel]
        await layer.group_discard("all", channel)
        assert layer.groups == {}
        await layer.send("work", HELLO)
        assert set(layer.channels) == {channel, "work"}
        await layer.receive("work")
        assert set(layer.channels) == {channel}

    run(test)


def test_receive_says_that_a_consumer_reads_the_channel(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        channel, _ = await member(layer)
        with pytest.raises(RuntimeError, match="consumer's mailbox"):
            await layer.receive(channel)

    run(test)


def test_the_sender_is_a_member_too(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        _, mailbox = await member(layer)
        await layer.group_send("all", HELLO)
        assert types_in(mailbox) == ["hello"]

    run(test)


def test_a_member_may_leave_while_a_message_is_sent(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        channels = []

        class Leaving:
            def handles(self, type_: str) -> bool:
                for channel in channels:
                    layer.detach(channel)
                return False

        mailboxes = [Mailbox(asyncio.get_running_loop()) for _ in range(3)]
        for mailbox in mailboxes:
            channel = await layer.new_channel()
            channels.append(channel)
            layer.attach(channel, mailbox)
            await layer.group_add("all", channel)
        mailboxes[0].renderer = Leaving()
        await layer.group_send("all", {"type": "hello"})
        assert [len(mailbox) for mailbox in mailboxes] == [1, 0, 0]
        assert layer.channels == {}

    run(test)


def test_a_sender_in_a_loop_does_not_outrun_members_that_keep_up(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer(capacity=5)
        _, mailbox = await member(layer)
        got = 0

        async def read() -> None:
            nonlocal got
            while got < 100:
                while mailbox.take_nowait(never) is not None:
                    got += 1
                if not len(mailbox):
                    await mailbox.arrival()

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        for _ in range(100):
            await layer.group_send("all", HELLO)
        assert got == 100
        reading.cancel()

    run(test)


def test_the_membership_of_an_attached_channel_does_not_end(backend: Any, run: Any) -> None:
    async def test() -> None:
        layer = backend.make(group_expiry=100)
        _, mailbox = await member(layer)
        await layer.group_add("all", "unread")
        await backend.pass_time(200)
        await layer.group_send("all", HELLO)
        assert types_in(mailbox) == ["hello"]
        assert len(layer.groups["all"]) == 1

    run(test)


# -- losses ------------------------------------------------------------------------


def test_losses_are_counted_and_said_once_in_ten_seconds(
    backend: Any, run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        layer = backend.make(capacity=1)
        channel, _ = await member(layer, "crowd")
        for _ in range(5):
            await layer.group_send("crowd", HELLO)
        assert len(caplog.records) == 1
        await backend.pass_time(11)
        await layer.group_send("crowd", HELLO)
        assert layer.statistics()["dropped_full"] == 5
        first, second = (record.getMessage() for record in caplog.records)
        assert "'crowd'" in first
        assert repr(channel) in first
        assert "1 message" in first
        assert "4 message" in second
        assert "capacity" in second

    with caplog.at_level(logging.WARNING, "channels.layers"):
        run(test)


def test_the_end_of_a_burst_of_losses_is_said_though_none_follows(
    run: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels.layers.mailroom.WARN_EVERY", 0.01)

    async def test() -> None:
        layer = InMemoryChannelLayer(capacity=1)
        await member(layer, "crowd")
        for _ in range(5):
            await layer.group_send("crowd", HELLO)
        said = asyncio.Event()
        # Only what follows is heard of: the first warning is there already.
        caplog.handler.addFilter(lambda record: said.set() or True)
        await asyncio.wait_for(said.wait(), 5)

    with caplog.at_level(logging.WARNING, "channels.layers"):
        run(test)
    first, second = (record.getMessage() for record in caplog.records)
    assert "1 message" in first
    assert "3 message" in second


def test_a_consumer_that_is_ending_is_counted_but_not_worth_a_warning(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        channel, mailbox = await member(layer)
        mailbox.close()
        await layer.group_send("all", HELLO)
        await layer.send(channel, HELLO)
        assert layer.statistics()["dropped_closed"] == 2

    run(test)
    assert caplog.records == []


def test_statistics_count_what_is_there(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        await member(layer)
        await layer.group_add("all", "unread")
        await layer.group_send("all", HELLO)
        assert layer.statistics() == {
            "channels": 2,
            "groups": 1,
            "memberships": 2,
            "waiting": 2,
            "unread": 0,
            "expired": 0,
            "dropped_full": 0,
            "dropped_closed": 0,
            "dropped_unreachable": 0,
            "dropped_unknown": 0,
            "dropped_failed": 0,
        }

    run(test)


# -- the fast lane -----------------------------------------------------------------


def test_a_message_for_the_fast_lane_is_rendered_once(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        renderer, sinks = FakeRenderer(), [FakeSink() for _ in range(3)]
        boxes = [(await member(layer, renderer=renderer, sink=sink))[1] for sink in sinks]
        waiting = [box.arrival() for box in boxes]
        await asyncio.sleep(0)
        await layer.group_send("all", {"type": "shared", "text": "x"})
        assert [sink.frames for sink in sinks] == [[b"frame:x"]] * 3
        assert renderer.rendered == 1
        await layer.group_send("all", HELLO)
        await asyncio.gather(*waiting)
        assert [types_in(box) for box in boxes] == [["hello"]] * 3

    run(test)


def test_a_shared_message_takes_its_turn_behind_others(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        sink = FakeSink()
        _, mailbox = await member(layer, renderer=FakeRenderer(), sink=sink)
        await layer.group_send("all", HELLO)
        await layer.group_send("all", {"type": "shared", "text": "x"})
        assert sink.frames == []
        sources = [mailbox.take_nowait(never), mailbox.take_nowait(never)]
        assert [entry and entry[0] for entry in sources] == [LAYER, SHARED]

    run(test)


def test_rendering_to_nothing_sends_nothing(run: Any) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        _, mailbox = await member(layer, renderer=FakeRenderer())
        await layer.group_send("all", {"type": "shared", "text": None})
        assert len(mailbox) == 0
        assert layer.statistics()["dropped_failed"] == 0

    run(test)


def test_a_rendering_that_fails_is_logged_once_and_spares_the_others(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        renderer = FakeRenderer(broken=True)
        for _ in range(3):
            await member(layer, renderer=renderer)
        _, plain = await member(layer)
        await layer.group_send("all", {"type": "shared", "text": "x"})
        assert types_in(plain) == ["shared"]
        assert layer.statistics()["dropped_failed"] == 3

    run(test)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None


def test_a_sink_that_fails_spares_the_others(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        layer = InMemoryChannelLayer()
        renderer, good = FakeRenderer(), FakeSink()
        boxes = [
            (await member(layer, renderer=renderer, sink=sink))[1]
            for sink in (FakeSink(broken=True), good)
        ]
        waiting = [box.arrival() for box in boxes]
        await asyncio.sleep(0)
        await layer.group_send("all", {"type": "shared", "text": "x"})
        assert good.frames == [b"frame:x"]
        assert layer.statistics()["dropped_failed"] == 1
        for task in waiting:
            task.cancel()

    run(test)
    assert len(caplog.records) == 1


# -- several loops -----------------------------------------------------------------


class OtherLoop:
    """An event loop in a thread of its own, with a member of a group."""

    def __init__(self, layer: InMemoryChannelLayer) -> None:
        self.loop = asyncio.new_event_loop()
        self.layer = layer
        self.calls = 0
        self._thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> OtherLoop:
        self._thread.start()
        self.members = [
            asyncio.run_coroutine_threadsafe(member(self.layer), self.loop).result(5)
            for _ in range(3)
        ]
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()

    def settle(self) -> None:
        """Return when the loop has done what it was told before."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(5)

    def types(self) -> list[list[str]]:
        async def read() -> list[list[str]]:
            return [types_in(mailbox) for _, mailbox in self.members]

        return asyncio.run_coroutine_threadsafe(read(), self.loop).result(5)


def test_members_on_another_event_loop_get_their_messages(run: Any) -> None:
    layer = InMemoryChannelLayer()

    async def test() -> None:
        _, here = await member(layer)
        await layer.group_send("all", {"type": "a"})
        await layer.send(other.members[0][0], {"type": "b"})
        assert types_in(here) == ["a"]

    with OtherLoop(layer) as other:
        run(test)
        assert other.types() == [["a", "b"], ["a"], ["a"]]


def test_a_full_mailbox_on_another_event_loop_is_reported(run: Any) -> None:
    layer = InMemoryChannelLayer(capacity=1)

    async def test() -> None:
        await layer.send(other.members[0][0], HELLO)
        assert other.types()[0] == ["hello"]
        await layer.send(other.members[0][0], HELLO)
        other.settle()
        with pytest.raises(ChannelFull):
            await layer.send(other.members[0][0], HELLO)

    with OtherLoop(layer) as other:
        run(test)


def test_consumers_of_a_loop_that_is_closed_are_forgotten(
    run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    layer = InMemoryChannelLayer()
    with OtherLoop(layer):
        pass

    async def test() -> None:
        await layer.group_send("all", HELLO)
        assert layer.groups == {}
        assert layer.statistics()["dropped_unreachable"] == 3

    run(test)
    assert "event loop has stopped" in caplog.text


def test_a_send_that_a_project_puts_on_the_instance_gets_the_group_messages() -> None:
    async def test() -> list[str]:
        layer = InMemoryChannelLayer()
        sent: list[str] = []

        async def send(channel: str, message: Any) -> None:
            sent.append(channel)

        layer.send = send  # type: ignore[method-assign]
        await layer.group_add("group", "first")
        await layer.group_add("group", "second")
        await layer.group_send("group", HELLO)
        return sent

    assert asyncio.run(test()) == ["first", "second"]
