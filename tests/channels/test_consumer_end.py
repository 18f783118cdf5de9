"""A consumer's end is always the same, whatever ends it."""

from __future__ import annotations

import asyncio
import logging

import pytest
from recording_consumer import SCOPE, Recorder, opened, run

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.layers import InMemoryChannelLayer
from channels.testing import ApplicationCommunicator
from channels.types import Message

pytestmark = pytest.mark.usefixtures("layer")


class Failing(Recorder):
    async def room_fail(self, message: Message) -> None:
        raise RuntimeError("on purpose")

    async def room_stop(self, message: Message) -> None:
        raise StopConsumer

    async def websocket_disconnect(self, message: Message) -> None:
        await self.send({"type": "told", "code": message["code"]})
        if message.get("code") == 4000:
            raise RuntimeError("in disconnect")
        raise StopConsumer


def test_a_disconnect_without_a_handler_ends_the_consumer() -> None:
    class Ping(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            await self.send({"type": "websocket.accept"})

    async def test() -> None:
        client = ApplicationCommunicator(Ping.as_asgi(), dict(SCOPE))
        await client.send_input({"type": "websocket.connect"})
        await client.receive_output()
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.wait()

    run(test)


def test_a_handler_that_raises_is_logged_once_and_disconnect_runs_once(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        client, channel = await opened(Failing.as_asgi())
        await layer.group_add("room", channel)
        await layer.send(channel, {"type": "room.fail"})
        assert await client.receive_output() == {"type": "told", "code": 1011}
        with pytest.raises(RuntimeError, match="on purpose") as caught:
            await client.wait()
        assert caught.value.__channels_logged__  # type: ignore[attr-defined]
        assert layer.groups == {}

    run(test)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "Failing at '/chat/' failed to handle 'room.fail'" in record.message
    assert record.exc_info


def test_one_member_that_raises_leaves_the_others_alone(layer: InMemoryChannelLayer) -> None:
    class Picky(Recorder):
        async def room_message(self, message: Message) -> None:
            if message["text"] == self.scope["dislikes"]:
                raise RuntimeError("disliked")
            await super().room_message(message)

    async def test() -> None:
        clients = []
        for dislikes in ("spam", "nothing"):
            client = ApplicationCommunicator(Picky.as_asgi(), {**SCOPE, "dislikes": dislikes})
            await client.send_input({"type": "websocket.connect"})
            channel = (await client.receive_output())["channel"]
            await layer.group_add("room", channel)
            clients.append(client)
        await layer.group_send("room", {"type": "room.message", "text": "spam"})
        await layer.group_send("room", {"type": "room.message", "text": "eggs"})
        assert await clients[0].receive_output() == {"type": "told", "code": 1011}
        with pytest.raises(RuntimeError, match="disliked"):
            await clients[0].wait()
        texts = [(await clients[1].receive_output())["text"] for _ in range(2)]
        assert texts == ["room: spam", "room: eggs"]
        await clients[1].send_input({"type": "websocket.disconnect", "code": 1000})
        await clients[1].receive_output()
        await clients[1].wait()

    run(test)


def test_stop_consumer_ends_it_with_one_disconnect(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        client, channel = await opened(Failing.as_asgi())
        await layer.send(channel, {"type": "room.stop"})
        assert (await client.receive_output())["type"] == "told"
        await client.wait()
        assert await client.receive_nothing()
        assert layer.groups == {}

    run(test)


def test_an_exception_inside_disconnect_is_logged_and_not_repeated(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        client, channel = await opened(Failing.as_asgi())
        await layer.group_add("room", channel)
        await client.send_input({"type": "websocket.disconnect", "code": 4000})
        assert (await client.receive_output())["code"] == 4000
        with pytest.raises(RuntimeError, match="in disconnect"):
            await client.wait()
        assert await client.receive_nothing()
        assert layer.groups == {}

    run(test)
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


def test_an_error_is_not_lost_when_the_clean_up_after_it_is_cancelled() -> None:
    class Failing(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            raise RuntimeError("on purpose")

        async def websocket_disconnect(self, message: Message) -> None:
            cleaning.set()
            await asyncio.get_running_loop().create_future()

    async def test() -> None:
        client = ApplicationCommunicator(Failing, dict(SCOPE))
        await client.send_input({"type": "websocket.connect"})
        running = client.future
        await cleaning.wait()
        running.cancel()
        with pytest.raises(RuntimeError, match="on purpose"):
            await running

    cleaning = asyncio.Event()
    run(test)


def test_a_cancelled_consumer_hears_of_it_and_leaves_its_groups(
    layer: InMemoryChannelLayer,
) -> None:
    async def test() -> None:
        sent: list[Message] = []
        opened = asyncio.Event()
        events: asyncio.Queue[Message] = asyncio.Queue()
        events.put_nowait({"type": "websocket.connect"})

        async def send(message: Message) -> None:
            sent.append(message)
            opened.set()

        task = asyncio.ensure_future(Failing.as_asgi()(dict(SCOPE), events.get, send))
        await opened.wait()
        await layer.group_add("room", sent[0]["channel"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sent[-1] == {"type": "told", "code": 1006}
        assert layer.groups == {}
        assert layer.channels == {}

    run(test)


def test_a_client_that_left_while_a_handler_was_sending_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> list[Message]:
        told: list[Message] = []
        queue: asyncio.Queue[Message] = asyncio.Queue()

        class Talkative(AsyncConsumer):
            async def websocket_receive(self, message: Message) -> None:
                await self.send({"type": "websocket.send", "text": "too late"})

            async def websocket_disconnect(self, message: Message) -> None:
                told.append(message)
                raise StopConsumer

        async def send(message: Message) -> None:
            raise ConnectionResetError("gone")

        queue.put_nowait({"type": "websocket.receive", "text": "hello"})
        queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await Talkative.as_asgi()(dict(SCOPE), queue.get, send)
        return told

    assert run(test) == [{"type": "websocket.disconnect", "code": 1006}]
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "sends to nobody"])
def test_after_its_disconnect_a_consumer_ends_without_being_told(fails: bool) -> None:
    class Careless(AsyncConsumer):
        async def websocket_disconnect(self, message: Message) -> None:
            if fails:
                await self.send({"type": "websocket.send", "text": "goodbye"})

    async def test() -> None:
        queue: asyncio.Queue[Message] = asyncio.Queue()

        async def send(message: Message) -> None:
            raise ConnectionResetError("gone")

        queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await Careless.as_asgi()(dict(SCOPE), queue.get, send)

    run(test)


def test_a_receive_that_fails_ends_the_consumer_with_its_error() -> None:
    async def test() -> None:
        async def receive() -> Message:
            raise ValueError("the middleware broke")

        async def send(message: Message) -> None:
            assert message == {"type": "told", "code": 1011}

        with pytest.raises(ValueError, match="the middleware broke"):
            await Recorder.as_asgi()(dict(SCOPE), receive, send)

    run(test)


def test_messages_that_a_consumer_never_got_to_are_counted(layer: InMemoryChannelLayer) -> None:
    class Stopping(Recorder):
        async def room_message(self, message: Message) -> None:
            raise StopConsumer

    async def test() -> None:
        client, channel = await opened(Stopping.as_asgi())
        for _ in range(5):
            await layer.send(channel, {"type": "room.message"})
        await client.receive_output()
        await client.wait()

    run(test)
    assert layer.statistics()["unread"] == 4
