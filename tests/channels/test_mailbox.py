"""The mailbox: one order, two budgets, nothing lost on cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from channels.mailbox import CLIENT, LAYER, SHARED, DirectReceive, Mailbox, SharedMessage


class RecordingInlet:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_input(self) -> None:
        self.calls.append("pause")

    def resume_input(self) -> None:
        self.calls.append("resume")


class RecordingSink:
    def __init__(self, kind: str = "websocket") -> None:
        self.writable = True
        self.kind = kind
        self.encoded = 0
        self.frames: list[bytes] = []

    def encode(self, text: str | None, data: bytes | None) -> bytes:
        self.encoded += 1
        return f"{self.kind}:{data if text is None else text}".encode()

    def write_frame(self, frame: bytes) -> None:
        self.frames.append(frame)


def in_loop(test: Callable[[Mailbox], Awaitable[Any]], **options: Any) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await test(Mailbox(asyncio.get_running_loop(), **options))

    return asyncio.run(bounded())


def taken(mailbox: Mailbox, now: float = 0.0) -> list[Any]:
    entries = []
    while (entry := mailbox.take_nowait(lambda: now)) is not None:
        entries.append(entry[:2])
    return entries


def test_both_sources_come_out_in_the_order_they_came_in() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_client({"type": "a"}, 1)
        mailbox.put_layer({"type": "b"}, 1.0, capacity=10)
        mailbox.put_client({"type": "c"}, 1)
        assert taken(mailbox) == [
            (CLIENT, {"type": "a"}),
            (LAYER, {"type": "b"}),
            (CLIENT, {"type": "c"}),
        ]

    in_loop(test)


def test_client_input_over_its_budget_pauses_the_client_and_half_of_it_resumes() -> None:
    inlet = RecordingInlet()

    async def test(mailbox: Mailbox) -> None:
        for _ in range(3):
            mailbox.put_client({"type": "a"}, 400)
        assert inlet.calls == ["pause"]
        mailbox.take_nowait(float)
        assert inlet.calls == ["pause"]
        mailbox.take_nowait(float)
        assert inlet.calls == ["pause", "resume"]

    in_loop(test, inlet=inlet, client_limit=1500)


def test_empty_messages_count_too() -> None:
    inlet = RecordingInlet()

    async def test(mailbox: Mailbox) -> None:
        while not inlet.calls:
            mailbox.put_client({"type": "websocket.receive", "text": ""}, 0)
        assert len(mailbox) < 100

    in_loop(test, inlet=inlet, client_limit=10_000)


def test_layer_messages_over_their_capacity_are_refused_and_leave_the_client_alone() -> None:
    inlet = RecordingInlet()

    async def test(mailbox: Mailbox) -> None:
        assert mailbox.put_layer({"type": "1"}, 1.0, capacity=2)
        assert mailbox.put_layer({"type": "2"}, 1.0, capacity=2)
        assert not mailbox.put_layer({"type": "3"}, 1.0, capacity=2)
        mailbox.put_client({"type": "client"}, 10)
        mailbox.put_disconnect({"type": "websocket.disconnect"})
        assert [message["type"] for _, message in taken(mailbox)] == [
            "1",
            "2",
            "client",
            "websocket.disconnect",
        ]
        assert mailbox.put_layer({"type": "4"}, 1.0, capacity=2)

    in_loop(test, inlet=inlet)
    assert inlet.calls == []


def test_a_disconnect_is_never_refused_and_comes_once() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_client({"type": "big"}, 1000)
        mailbox.put_disconnect({"type": "websocket.disconnect", "code": 1000})
        mailbox.put_disconnect({"type": "websocket.disconnect", "code": 1006})
        assert [message.get("code") for _, message in taken(mailbox)] == [None, 1000]

    in_loop(test, client_limit=10)


def test_stale_layer_messages_are_dropped_and_counted() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_layer({"type": "stale"}, 5.0, capacity=10)
        mailbox.put_layer({"type": "fresh"}, 50.0, capacity=10)
        assert taken(mailbox, now=10.0) == [(LAYER, {"type": "fresh"})]
        assert mailbox.expired == 1

    in_loop(test)


def test_a_cancelled_reader_loses_nothing() -> None:
    async def test(mailbox: Mailbox) -> None:
        reader = asyncio.ensure_future(mailbox.receive())
        await asyncio.sleep(0)
        mailbox.put_client({"type": "websocket.receive"}, 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await mailbox.receive() == {"type": "websocket.receive"}

    in_loop(test)


def test_receive_answers_the_disconnect_again_and_again() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_disconnect({"type": "http.disconnect"})
        answers = [await mailbox.receive() for _ in range(3)]
        assert answers == [{"type": "http.disconnect"}] * 3

    in_loop(test)


def test_two_waiting_readers_are_an_error() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.arrival()
        with pytest.raises(RuntimeError, match="Two tasks wait on one mailbox"):
            mailbox.arrival()

    in_loop(test)


def test_receive_of_a_claimed_mailbox_is_an_error() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.claimed = True
        with pytest.raises(RuntimeError, match="read by a consumer"):
            await DirectReceive(mailbox, None)()  # type: ignore[arg-type]

    in_loop(test)


def test_a_failed_source_is_raised_after_what_is_queued() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_client({"type": "a"}, 1)
        mailbox.fail(OSError("gone"))
        assert mailbox.take_nowait(float) is not None
        with pytest.raises(OSError, match="gone"):
            mailbox.take_nowait(float)

    in_loop(test)


def test_a_closed_mailbox_refuses_all_and_tells_what_was_left() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_client({"type": "a"}, 1)
        assert mailbox.close() == 1
        mailbox.put_client({"type": "b"}, 1)
        assert not mailbox.put_layer({"type": "c"}, 1.0, capacity=10)
        assert not mailbox.put_shared(SharedMessage("d", None), 1.0, capacity=10)
        assert len(mailbox) == 0

    in_loop(test)


def test_a_pump_waits_until_there_is_room_for_layer_messages() -> None:
    async def test(mailbox: Mailbox) -> None:
        mailbox.put_layer({"type": "a"}, 1.0, capacity=1)
        room = asyncio.ensure_future(mailbox.wait_layer_room(1))
        await asyncio.sleep(0)
        assert not room.done()
        mailbox.take_nowait(float)
        await room

    in_loop(test)


# -- shared messages -------------------------------------------------------


def test_a_shared_message_goes_straight_out_to_a_waiting_reader() -> None:
    sink = RecordingSink()

    async def test(mailbox: Mailbox) -> None:
        mailbox.sink = sink
        reader = mailbox.arrival()
        assert mailbox.put_shared(SharedMessage("hello", None), 1.0, capacity=1)
        assert sink.frames == [b"websocket:hello"]
        assert not reader.done()
        assert len(mailbox) == 0
        reader.cancel()

    in_loop(test)


def test_a_shared_message_takes_its_turn_behind_a_running_handler() -> None:
    sink = RecordingSink()

    async def test(mailbox: Mailbox) -> None:
        mailbox.sink = sink
        shared = SharedMessage("hello", None)
        assert mailbox.put_shared(shared, 1.0, capacity=1)
        assert not mailbox.put_shared(shared, 1.0, capacity=1)
        assert sink.frames == []
        assert taken(mailbox) == [(SHARED, shared)]

    in_loop(test)


def test_a_shared_message_takes_its_turn_behind_queued_ones() -> None:
    sink = RecordingSink()

    async def test(mailbox: Mailbox) -> None:
        mailbox.sink = sink
        reader = mailbox.arrival()
        mailbox.put_layer({"type": "first"}, 1.0, capacity=10)
        mailbox.put_shared(SharedMessage("second", None), 1.0, capacity=10)
        assert sink.frames == []
        await reader
        assert [source for source, _ in taken(mailbox)] == [LAYER, SHARED]

    in_loop(test)


def test_a_shared_message_waits_for_a_client_above_its_high_water_mark() -> None:
    sink = RecordingSink()

    async def test(mailbox: Mailbox) -> None:
        sink.writable = False
        mailbox.sink = sink
        reader = mailbox.arrival()
        mailbox.put_shared(SharedMessage("hello", None), 1.0, capacity=1)
        await reader
        assert sink.frames == []
        assert len(mailbox) == 1

    in_loop(test)


def test_a_shared_message_is_framed_once_per_kind_of_sink() -> None:
    sinks = [RecordingSink("plain"), RecordingSink("plain"), RecordingSink("deflate")]
    shared = SharedMessage(None, b"data")
    frames = [shared.frame(sink) for sink in sinks]
    assert frames[0] is frames[1]
    assert [sink.encoded for sink in sinks] == [1, 0, 1]
