"""Consumers: handlers by name, one mailbox, and an end that is always the same."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import AsyncToSync, async_to_sync, sync_to_async

from channels import pools
from channels.consumer import AsyncConsumer, SyncConsumer, as_application, get_handler_name
from channels.exceptions import StopConsumer, UnknownMessageType
from channels.handlers import types_open_to_layers
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.testing import ApplicationCommunicator
from channels.threads import current_lane, lane
from channels.types import Message

SCOPE = {"type": "websocket", "path": "/chat/", "headers": []}


@pytest.fixture(autouse=True)
def layer() -> InMemoryChannelLayer:
    made = InMemoryChannelLayer()
    channel_layers.set("default", made)
    return made


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


class Recorder(AsyncConsumer):
    """Sends back what it hears; the tests read it there."""

    async def websocket_connect(self, message: Message) -> None:
        await self.send({"type": "websocket.accept", "channel": self.channel_name})

    async def websocket_receive(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": message["text"]})

    async def room_message(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": f"room: {message['text']}"})

    async def websocket_disconnect(self, message: Message) -> None:
        await self.send({"type": "told", "code": message["code"]})
        raise StopConsumer


async def opened(consumer: Any) -> tuple[ApplicationCommunicator, str]:
    client = ApplicationCommunicator(consumer, dict(SCOPE))
    await client.send_input({"type": "websocket.connect"})
    accept = await client.receive_output()
    return client, accept["channel"]


def test_a_handler_is_named_after_the_type() -> None:
    assert get_handler_name({"type": "websocket.receive"}) == "websocket_receive"
    with pytest.raises(ValueError, match="Incoming message has no 'type' attribute"):
        get_handler_name({"text": "hello"})
    for type_ in ("_private", ".private"):
        with pytest.raises(ValueError, match="Malformed type in message"):
            get_handler_name({"type": type_})


def test_client_events_and_layer_messages_meet_in_one_order(layer: InMemoryChannelLayer) -> None:
    async def test() -> list[str]:
        client, channel = await opened(Recorder.as_asgi())
        for number in range(3):
            await client.send_input({"type": "websocket.receive", "text": str(number)})
            assert (await client.receive_output())["text"] == str(number)
            await layer.send(channel, {"type": "room.message", "text": str(number)})
            assert (await client.receive_output())["text"] == f"room: {number}"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        told = await client.receive_output()
        await client.wait()
        return told["code"]

    assert run(test) == 1000


def test_as_asgi_makes_an_instance_per_scope_and_tells_its_class() -> None:
    class WithArgument(AsyncConsumer):
        """A consumer with an argument."""

        def __init__(self, answer: str) -> None:
            self.answer = answer

        async def websocket_connect(self, message: Message) -> None:
            await self.send({"type": "answer", "text": self.answer, "self": id(self)})

    app = WithArgument.as_asgi(answer="42")
    assert app.consumer_class is WithArgument  # type: ignore[attr-defined]
    assert app.consumer_initkwargs == {"answer": "42"}  # type: ignore[attr-defined]
    assert app.__name__ == "WithArgument"  # type: ignore[attr-defined]
    assert app.__doc__ == "A consumer with an argument."

    async def test() -> None:
        one, two = (ApplicationCommunicator(app, dict(SCOPE)) for _ in range(2))
        answers = []
        for client in (one, two):
            await client.send_input({"type": "websocket.connect"})
            answers.append(await client.receive_output())
        assert [answer["text"] for answer in answers] == ["42", "42"]
        assert answers[0]["self"] != answers[1]["self"]
        for client in (one, two):
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()

    run(test)


def test_an_instance_used_as_application_keeps_its_connections_apart() -> None:
    class Named(AsyncConsumer):
        async def websocket_receive(self, message: Message) -> None:
            if not hasattr(self, "name"):
                self.name = message["text"]
            await self.send({"type": "name", "text": self.name})

    async def test() -> list[str]:
        app = Named()
        clients = [ApplicationCommunicator(app, dict(SCOPE)) for _ in range(2)]
        names = []
        for client, name in zip(clients, ("ada", "grace"), strict=True):
            await client.send_input({"type": "websocket.receive", "text": name})
            names.append((await client.receive_output())["text"])
        for client in clients:
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()
        return names

    assert run(test) == ["ada", "grace"]


class Delegating(Recorder):
    """Hands on what it does not know, and keeps something in a slot."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.behind = object()
        self.kept = "kept"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)

    async def websocket_receive(self, message: Message) -> None:
        await self.send({"type": "websocket.send", "text": self.kept})


def test_an_instance_with_attributes_of_any_kind_serves_several_connections() -> None:
    async def test() -> None:
        app = Delegating()
        clients = [ApplicationCommunicator(app, SCOPE) for _ in range(2)]
        for client in clients:
            await client.send_input({"type": "websocket.connect"})
            assert (await client.receive_output())["type"] == "websocket.accept"
        for client in clients:
            await client.send_input({"type": "websocket.receive", "text": ""})
            assert (await client.receive_output())["text"] == "kept"
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()

    run(test)


def test_an_instance_shows_afterwards_what_its_connection_set() -> None:
    class Named(AsyncConsumer):
        async def websocket_receive(self, message: Message) -> None:
            self.name = message["text"]
            await self.send({"type": "name"})

    async def test() -> str:
        app = Named()
        client = ApplicationCommunicator(app, dict(SCOPE))
        await client.send_input({"type": "websocket.receive", "text": "ada"})
        await client.receive_output()
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.wait()
        return str(app.name)

    assert run(test) == "ada"


def test_an_instance_with_a_call_of_its_own_is_the_one_that_serves() -> None:
    """As multiplexers do: they keep what they need on themselves first."""

    class Prepared(Recorder):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.prepared = "yes"
            await super().__call__(scope, receive, send)

        async def websocket_receive(self, message: Message) -> None:
            await self.send({"type": "websocket.send", "text": self.prepared})

    async def test() -> None:
        app = Prepared()
        client, _ = await opened(app)
        await client.send_input({"type": "websocket.receive", "text": "?"})
        assert (await client.receive_output())["text"] == "yes"
        assert app.channel_name
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)


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


def test_disconnect_runs_in_the_lane_whatever_executor_a_cancelled_call_left_behind() -> None:
    """asgiref can leave that of a thread which has ended."""
    told = []

    class Cancelled(SyncConsumer):
        def websocket_disconnect(self, message: Message) -> None:
            told.append(message["code"])

    class Leaving(Cancelled):
        async def _enter(self, *arguments: Any) -> None:
            await super()._enter(*arguments)
            ended = CurrentThreadExecutor(None)
            ended.run_until_future(done())
            AsyncToSync.executors.current = ended
            entered.set()

    def done() -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future

    async def test() -> None:
        client = ApplicationCommunicator(Leaving, dict(SCOPE))
        running = client.future
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    entered = asyncio.Event()
    run(test)
    assert told == [1006]


def test_consumers_that_share_a_scope_have_lanes_of_their_own() -> None:
    """As behind a multiplexer: the end of one's event must not end another's."""
    lanes: list[Any] = []

    class Stream(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            lanes.append(await sync_to_async(current_lane)())
            both.set() if len(lanes) == 2 else None
            await both.wait()
            assert lanes[0].open
            assert lanes[1].open
            raise StopConsumer

    async def both_at_once(scope: Any, receive: Any, send: Any) -> None:
        async def connect() -> Message:
            return {"type": "websocket.connect"}

        async with lane(), asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(Stream()(dict(scope), connect, send))

    async def test() -> None:
        await both_at_once(dict(SCOPE), None, None)

    both = asyncio.Event()
    run(test)
    assert lanes[0] is not lanes[1]


def test_tasks_that_a_handler_made_get_a_turn_before_the_next_event() -> None:
    class Eager(AsyncConsumer):
        async def websocket_receive(self, message: Message) -> None:
            if message["text"] == "first":
                self.task = asyncio.create_task(self.send({"type": "task"}))
            else:
                await self.send({"type": message["text"]})

    async def test() -> list[str]:
        client = ApplicationCommunicator(Eager, dict(SCOPE))
        for text in ("first", "second"):
            await client.send_input({"type": "websocket.receive", "text": text})
        sent = [(await client.receive_output())["type"] for _ in range(2)]
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.wait()
        return sent

    assert run(test) == ["task", "second"]


@pytest.mark.parametrize("attribute", ["channel_layer", "channel_name"])
def test_what_a_handler_puts_in_place_of_layer_or_name_leaves_nothing_behind(
    layer: InMemoryChannelLayer, attribute: str
) -> None:
    class Swapping(Recorder):
        async def websocket_receive(self, message: Message) -> None:
            await self.channel_layer.group_add("all", self.channel_name)
            other = InMemoryChannelLayer() if attribute == "channel_layer" else "other"
            setattr(self, attribute, other)
            await self.send({"type": "swapped"})

    async def test() -> None:
        client, _ = await opened(Swapping)
        await client.send_input({"type": "websocket.receive"})
        await client.receive_output()
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()
        assert layer.channels == layer.groups == {}

    run(test)


def test_a_long_or_multiline_type_of_a_layer_is_neither_remembered_nor_a_line_of_its_own(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    types = ["x\nERROR forged", "y" * 500_000, "websocket.send", "send.json", "nobody.knows"]

    async def test() -> None:
        client, channel = await opened(Recorder)
        for type_ in types:
            await layer.send(channel, {"type": type_})
        await layer.send(channel, {"type": "room.message", "text": "last"})
        assert (await client.receive_output())["text"] == "room: last"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(types)
    assert all(len(line.splitlines()) == 1 and len(line) < 500 for line in lines)
    assert types_open_to_layers(Recorder) == {"room.message"}


def test_a_consumer_class_is_wrapped_and_applications_are_left_alone() -> None:
    app = Recorder.as_asgi()
    assert as_application(app) is app
    assert as_application(Recorder).consumer_class is Recorder  # type: ignore[attr-defined]


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


def test_an_event_of_the_client_without_a_handler_is_an_error() -> None:
    async def test() -> None:
        client, _ = await opened(Recorder.as_asgi())
        await client.send_input({"type": "websocket.unheard"})
        assert (await client.receive_output())["type"] == "told"
        with pytest.raises(
            UnknownMessageType, match=r"No handler for message type websocket\.unheard"
        ):
            await client.wait()

    run(test)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "room.unheard"},
        {"text": "no type"},
        {"type": 3},
        {"type": ["a", "list"]},
        # Names that are no handlers, or are not a layer's to call.
        {"type": "scope"},
        {"type": "channel.name"},
        {"type": "channel_layer"},
        {"type": "dispatch"},
        {"type": "send"},
        {"type": "base.send"},
        {"type": "channel.receive"},
        {"type": "as.asgi"},
        {"type": "_leave"},
        {"type": ".leave"},
        {"type": "websocket.receive", "text": "not from the client"},
        {"type": "websocket.disconnect", "code": 1000},
    ],
    ids=repr,
)
def test_a_layer_message_without_a_handler_is_logged_and_ignored(
    layer: InMemoryChannelLayer, caplog: pytest.LogCaptureFixture, message: dict[str, Any]
) -> None:
    async def test() -> None:
        client, channel = await opened(Recorder.as_asgi())
        await layer.send(channel, message)
        await layer.send(channel, {"type": "room.message", "text": "after"})
        assert (await client.receive_output())["text"] == "room: after"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
    ignored = [record for record in caplog.records if "ignored a layer message" in record.message]
    assert len(ignored) == 1
    assert "Recorder at '/chat/'" in ignored[0].message


# -- how it ends -----------------------------------------------------------


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


@pytest.mark.parametrize("type_", ["room.stop"])
def test_stop_consumer_ends_it_with_one_disconnect(layer: InMemoryChannelLayer, type_: str) -> None:
    async def test() -> list[Message]:
        client, channel = await opened(Failing.as_asgi())
        await layer.send(channel, {"type": type_})
        told = await client.receive_output()
        await client.wait()
        assert await client.receive_nothing()
        assert layer.groups == {}
        return [told]

    assert [message["type"] for message in run(test)] == ["told"]


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


def test_a_consumer_serves_without_lifespan() -> None:
    async def test() -> None:
        async def receive() -> Message:
            raise AssertionError("nothing is to be read")

        async def send(message: Message) -> None:
            raise AssertionError("nothing is to be said")

        with pytest.raises(UnknownMessageType, match="no handler for lifespan events"):
            await Recorder.as_asgi()({"type": "lifespan"}, receive, send)

    run(test)


# -- foreign parts ---------------------------------------------------------


class ForeignLayer:
    """What a third-party layer offers: `receive(channel)` and nothing of ours."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self.taken = 0

    async def new_channel(self) -> str:
        return "foreign!1"

    async def receive(self, channel: str) -> Message:
        message = await self.queue.get()
        self.taken += 1
        if isinstance(message, Exception):
            raise message
        return message


def test_a_layer_of_somebody_else_is_pumped_and_its_failures_leave_the_socket_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        foreign = ForeignLayer()
        channel_layers.set("default", foreign)
        client, channel = await opened(Recorder.as_asgi())
        assert channel == "foreign!1"
        for number in range(3):
            foreign.queue.put_nowait({"type": "room.message", "text": str(number)})
        texts = [(await client.receive_output())["text"] for _ in range(3)]
        assert texts == ["room: 0", "room: 1", "room: 2"]
        foreign.queue.put_nowait(ConnectionError("engine away"))
        foreign.queue.put_nowait({"type": "room.message", "text": "back"})
        assert (await client.receive_output())["text"] == "room: back"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)
    assert [r.message for r in caplog.records if "layer failed" in r.message]


def test_a_layer_of_somebody_else_keeps_what_the_consumer_has_no_time_for() -> None:
    async def test() -> None:
        foreign = ForeignLayer()
        channel_layers.set("default", foreign)
        busy, done = asyncio.Event(), asyncio.Event()

        class Busy(Recorder):
            async def room_message(self, message: Message) -> None:
                busy.set()
                await done.wait()

        client, _ = await opened(Busy.as_asgi())
        for number in range(10):
            foreign.queue.put_nowait({"type": "room.message", "text": str(number)})
        await busy.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        assert foreign.taken <= 3
        done.set()
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        await client.receive_output()
        await client.wait()

    run(test)


# -- sync consumers --------------------------------------------------------


class SyncRecorder(SyncConsumer):
    def websocket_connect(self, message: Message) -> None:
        self.send({"type": "websocket.accept", "channel": self.channel_name})

    def websocket_receive(self, message: Message) -> None:
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.send({"type": "thread", "text": threading.current_thread().name})

    def room_message(self, message: Message) -> None:
        self.send({"type": "websocket.send", "text": f"room: {message['text']}"})

    def websocket_disconnect(self, message: Message) -> None:
        self.send({"type": "told", "code": message["code"]})
        raise StopConsumer


def test_a_sync_consumer_may_block_call_the_layer_and_stop(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        client, _ = await opened(SyncRecorder.as_asgi())
        await client.send_input({"type": "websocket.receive", "text": "join"})
        assert (await client.receive_output())["text"] != threading.main_thread().name
        await layer.group_send("room", {"type": "room.message", "text": "hello"})
        assert (await client.receive_output())["text"] == "room: hello"
        await client.send_input({"type": "websocket.disconnect", "code": 1000})
        assert (await client.receive_output())["code"] == 1000
        await client.wait()
        assert layer.groups == {}

    run(test)


def test_a_task_of_a_consumer_holds_no_thread_between_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "_pools", {})
    monkeypatch.setenv("CHANNELS_THREADS", "1")

    class Ticking(AsyncConsumer):
        async def websocket_connect(self, message: Message) -> None:
            self.task = asyncio.ensure_future(self.tick())

        async def tick(self) -> None:
            await asyncio.sleep(0)
            await sync_to_async(threading.current_thread)()
            await self.send({"type": "ticked"})

        async def websocket_disconnect(self, message: Message) -> None:
            await self.task

    async def test() -> None:
        # The second would wait for the only thread for ever.
        for _ in range(2):
            events: asyncio.Queue[Message] = asyncio.Queue()
            said: asyncio.Queue[Message] = asyncio.Queue()
            events.put_nowait({"type": "websocket.connect"})
            tasks.append(
                asyncio.ensure_future(Ticking.as_asgi()(dict(SCOPE), events.get, said.put))
            )
            queues.append(events)
            assert await said.get() == {"type": "ticked"}
        for events in queues:
            events.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.gather(*tasks)

    tasks: list[asyncio.Future[None]] = []
    queues: list[asyncio.Queue[Message]] = []
    run(test)


def test_context_variables_last_for_the_connection_and_stay_in_it() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    class Remembers(SyncConsumer):
        def websocket_connect(self, message: Message) -> None:
            variable.set(self.scope["name"])

        def websocket_receive(self, message: Message) -> None:
            self.send({"type": "value", "text": variable.get()})

    async def test() -> list[str]:
        values = []
        clients = [
            ApplicationCommunicator(Remembers.as_asgi(), {**SCOPE, "name": name})
            for name in ("ada", "grace")
        ]
        for client in clients:
            await client.send_input({"type": "websocket.connect"})
        for client in clients:
            await client.send_input({"type": "websocket.receive"})
            values.append((await client.receive_output())["text"])
            await client.send_input({"type": "websocket.disconnect", "code": 1000})
            await client.wait()
        return [*values, variable.get()]

    assert run(test) == ["ada", "grace", "unset"]
