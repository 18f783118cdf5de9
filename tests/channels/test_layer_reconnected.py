"""`layer_reconnected`: consumers hear that their layer may have lost messages."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from channels.consumer import AsyncConsumer, SyncConsumer, get_handler_name
from channels.exceptions import StopConsumer, UnknownMessageType
from channels.layers import InMemoryChannelLayer
from channels.mailbox import CLIENT, LAYER, NOTICE, SHARED, Mailbox, SharedMessage
from channels.testing import ApplicationCommunicator
from channels.types import Message
from channels.worker import Worker

pytestmark = pytest.mark.usefixtures("layer")

SCOPE = {"type": "websocket", "path": "/chat/", "headers": []}


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


# -- the mailbox -----------------------------------------------------------


def with_mailbox(test: Callable[[Mailbox], None], wants_notices: bool = True) -> None:
    async def made() -> None:
        mailbox = Mailbox(asyncio.get_running_loop(), client_limit=1)
        mailbox.wants_notices = wants_notices
        test(mailbox)

    asyncio.run(made())


def taken(mailbox: Mailbox) -> list[tuple[Any, Any]]:
    entries = []
    while (entry := mailbox.take_nowait(lambda: 0.0)) is not None:
        entries.append(entry[:2])
    return entries


def test_a_notice_takes_its_turn_and_no_budget() -> None:
    def test(mailbox: Mailbox) -> None:
        mailbox.put_client({"type": "over the limit"}, 100)
        assert mailbox.put_layer({"type": "full"}, 1.0, capacity=1)
        mailbox.put_notice(True)
        assert not mailbox.put_layer({"type": "refused"}, 1.0, capacity=1)
        assert taken(mailbox) == [
            (CLIENT, {"type": "over the limit"}),
            (LAYER, {"type": "full"}),
            (NOTICE, True),
        ]
        assert mailbox.layer_count == mailbox.client_bytes == 0

    with_mailbox(test)


@pytest.mark.parametrize(
    ("first", "second"), [(False, False), (False, True), (True, False), (True, True)]
)
def test_a_second_notice_joins_the_one_that_waits(first: bool, second: bool) -> None:
    def test(mailbox: Mailbox) -> None:
        mailbox.put_notice(first)
        mailbox.put_client({"type": "behind"}, 1)
        mailbox.put_notice(second)
        assert taken(mailbox) == [(NOTICE, first or second), (CLIENT, {"type": "behind"})]
        mailbox.put_notice(False)
        assert taken(mailbox) == [(NOTICE, False)]

    with_mailbox(test)


def test_who_does_not_want_notices_gets_none() -> None:
    def test(mailbox: Mailbox) -> None:
        reader = mailbox.arrival()
        mailbox.put_notice(True)
        assert not reader.done()
        assert len(mailbox) == 0

    with_mailbox(test, wants_notices=False)


def test_a_closed_mailbox_takes_no_notice() -> None:
    def test(mailbox: Mailbox) -> None:
        mailbox.close()
        mailbox.put_notice(True)
        assert len(mailbox) == 0

    with_mailbox(test)


class RecordingSink:
    writable = True
    kind = "websocket"

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def encode(self, text: str | None, data: bytes | None) -> bytes:
        return str(text).encode()

    def write_frame(self, frame: bytes) -> None:
        self.frames.append(frame)


def test_a_shared_message_does_not_overtake_a_notice() -> None:
    def test(mailbox: Mailbox) -> None:
        sink = mailbox.sink = RecordingSink()
        reader = mailbox.arrival()
        mailbox.put_notice(True)
        assert reader.done()
        assert mailbox.put_shared(SharedMessage("hello", None), 1.0, capacity=1)
        assert sink.frames == []
        assert [source for source, _ in taken(mailbox)] == [NOTICE, SHARED]

    with_mailbox(test)


# -- consumers -------------------------------------------------------------


class Recorder(AsyncConsumer):
    """Sends back what it hears; the tests read it there."""

    async def websocket_connect(self, message: Message) -> None:
        await self.send({"type": "websocket.accept", "channel": self.channel_name})

    async def layer_reconnected(self, may_have_missed: bool) -> None:
        await self.send({"type": "noticed", "missed": may_have_missed})

    async def room_message(self, message: Message) -> None:
        await self.send({"type": "room"})

    async def websocket_disconnect(self, message: Message) -> None:
        await self.send({"type": "told", "code": message["code"]})
        raise StopConsumer


class SyncRecorder(SyncConsumer):
    def websocket_connect(self, message: Message) -> None:
        self.send({"type": "websocket.accept", "channel": self.channel_name})

    def layer_reconnected(self, may_have_missed: bool) -> None:
        thread = threading.current_thread()
        self.send({"type": "noticed", "missed": may_have_missed, "thread": thread})

    def room_message(self, message: Message) -> None:
        self.send({"type": "room"})

    def websocket_disconnect(self, message: Message) -> None:
        self.send({"type": "told", "code": message["code"]})
        raise StopConsumer


async def opened(consumer: Any, **more: Any) -> tuple[ApplicationCommunicator, str]:
    client = ApplicationCommunicator(consumer, {**SCOPE, **more})
    await client.send_input({"type": "websocket.connect"})
    accept = await client.receive_output()
    return client, accept["channel"]


async def closed(client: ApplicationCommunicator) -> None:
    await client.send_input({"type": "websocket.disconnect", "code": 1000})
    assert (await client.receive_output())["code"] == 1000
    await client.wait()


def notify(layer: InMemoryChannelLayer, may_have_missed: bool = True) -> None:
    """What a layer does that was disconnected."""
    for mailbox in layer.hub.mailboxes_of(None):
        mailbox.put_notice(may_have_missed)


@pytest.mark.parametrize("consumer", [Recorder, SyncRecorder])
def test_a_consumer_is_told_in_the_order_of_its_messages(
    layer: InMemoryChannelLayer, consumer: Any
) -> None:
    async def test() -> None:
        client, channel = await opened(consumer.as_asgi())
        for missed in (True, False):
            await layer.send(channel, {"type": "room.message"})
            notify(layer, missed)
            await layer.send(channel, {"type": "room.message"})
            heard = [await client.receive_output() for _ in range(3)]
            assert [message["type"] for message in heard] == ["room", "noticed", "room"]
            assert heard[1]["missed"] is missed
            assert heard[1].get("thread") is not threading.main_thread()
        await closed(client)

    run(test)


def test_a_consumer_without_the_method_hears_nothing(layer: InMemoryChannelLayer) -> None:
    class Deaf(Recorder):
        layer_reconnected = None  # type: ignore[assignment]

    async def test() -> None:
        client, _ = await opened(Deaf.as_asgi())
        [mailbox] = layer.hub.mailboxes_of(None)
        notify(layer)
        assert len(mailbox) == 0
        await closed(client)

    run(test)


def test_a_consumer_whose_first_event_has_not_come_missed_nothing(
    layer: InMemoryChannelLayer,
) -> None:
    async def test() -> None:
        client = ApplicationCommunicator(Recorder.as_asgi(), dict(SCOPE))
        assert await client.receive_nothing()
        assert len(layer.hub.mailboxes_of(None)) == 1
        notify(layer)
        await client.send_input({"type": "websocket.connect"})
        assert (await client.receive_output())["type"] == "websocket.accept"
        assert await client.receive_nothing()
        await closed(client)

    run(test)


def test_behind_a_middleware_that_wraps_send_it_is_told_too(layer: InMemoryChannelLayer) -> None:
    async def wrapping(scope: Any, receive: Any, send: Any) -> None:
        async def marked(message: Message) -> None:
            await send({**message, "marked": True})

        await Recorder.as_asgi()(scope, receive, marked)

    async def test() -> None:
        client, _ = await opened(wrapping)
        notify(layer)
        assert await client.receive_output() == {"type": "noticed", "missed": True, "marked": True}
        await closed(client)

    run(test)


class Failing(Recorder):
    async def layer_reconnected(self, may_have_missed: bool) -> None:
        raise LookupError("cannot make up for it")


class SyncFailing(SyncRecorder):
    def layer_reconnected(self, may_have_missed: bool) -> None:
        raise LookupError("cannot make up for it")


@pytest.mark.parametrize("consumer", [Failing, SyncFailing])
def test_one_that_raises_ends_with_1011_and_the_others_go_on(
    layer: InMemoryChannelLayer, consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        failing, _ = await opened(consumer.as_asgi())
        other, _ = await opened(Recorder.as_asgi())
        notify(layer)
        assert await failing.receive_output() == {"type": "told", "code": 1011}
        with pytest.raises(LookupError, match="cannot make up for it"):
            await failing.wait()
        assert (await other.receive_output())["type"] == "noticed"
        await closed(other)

    run(test)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    expected = f"{consumer.__name__} at '/chat/' failed to handle layer_reconnected(may_have_missed"
    assert expected in record.getMessage()
    assert record.exc_info is not None


def test_it_may_stop_the_consumer(layer: InMemoryChannelLayer) -> None:
    class Stopping(Recorder):
        async def layer_reconnected(self, may_have_missed: bool) -> None:
            raise StopConsumer

    async def test() -> None:
        client, _ = await opened(Stopping.as_asgi())
        notify(layer)
        assert await client.receive_output() == {"type": "told", "code": 1006}
        await client.wait()

    run(test)


# -- no message calls it ---------------------------------------------------


@pytest.mark.parametrize("type_", ["layer.reconnected", "layer_reconnected"])
def test_a_message_cannot_pretend_to_be_a_notice(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, type_: str
) -> None:
    async def test() -> None:
        client, channel = await opened(Recorder.as_asgi())
        await layer.send(channel, {"type": type_})
        await layer.send(channel, {"type": "room.message"})
        assert await client.receive_output() == {"type": "room"}
        await closed(client)

    run(test)
    [record] = [record for record in caplog.records if "ignored a layer message" in record.message]
    assert repr(type_) in record.message


@pytest.mark.parametrize("type_", ["layer.reconnected", "layer_reconnected"])
def test_no_other_event_names_it_as_its_handler(type_: str) -> None:
    with pytest.raises(UnknownMessageType, match=r"the layer calls layer_reconnected\(\)"):
        get_handler_name({"type": type_})


# -- named channels --------------------------------------------------------


def test_the_consumer_of_a_named_channel_is_told_too(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()

        class Job(AsyncConsumer):
            async def job_do(self, message: Message) -> None:
                heard.put_nowait("done")

            async def layer_reconnected(self, may_have_missed: bool) -> None:
                heard.put_nowait(may_have_missed)

        worker = Worker(Job, ["jobs"], layer)
        task = asyncio.create_task(worker.handle())
        await layer.send("jobs", {"type": "job.do"})
        assert await heard.get() == "done"
        notify(layer)
        assert await heard.get() is True
        await layer.send("jobs", {"type": "job.do"})
        assert await heard.get() == "done"
        worker.stop()
        await task

    run(test)
