"""The WebSocket consumers: what they receive and send, in both colours."""

from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, set_up_django
from tests.compat.driving import text

set_up_django()

from tests.compat.colours import both, consumer, sent, sent_in_connect  # noqa: E402

from channels.consumer import AsyncConsumer  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncWebsocketConsumer,
)

row = Rows()

ACCEPTED = {"type": "websocket.accept", "subprotocol": None}
CLOSED = {"type": "websocket.close"}


# -- receive -------------------------------------------------------------


def noting(heard: list[Any]) -> Any:
    def receive(self: Any, **kwargs: Any) -> Any:
        heard.append(kwargs)
        return
        yield

    return receive


async def heard(event: Any) -> Any:
    async def observe(colour: str) -> Any:
        calls: list[Any] = []
        result = await sent(consumer(colour, receive=noting(calls)), event)
        return calls or result["ended"]

    return await both(observe)


RECEIVE = {"type": "websocket.receive"}


@row(
    upstream={
        "text": [{"text_data": "a"}],
        "empty text": [{"text_data": ""}],
        "bytes": [{"bytes_data": "b'a'"}],
        "empty bytes": [{"bytes_data": "b''"}],
        "text, and None": [{"text_data": "a"}],
        "None, and bytes": [{"bytes_data": "b'a'"}],
        "both None": [{"bytes_data": None}],
        "both": [{"text_data": "a"}],
        "neither": {"raises": "KeyError", "says": "'bytes'"},
    }
)
async def receive_gets_one_keyword() -> Any:
    return {
        "text": await heard({**RECEIVE, "text": "a"}),
        "empty text": await heard({**RECEIVE, "text": ""}),
        "bytes": await heard({**RECEIVE, "bytes": b"a"}),
        "empty bytes": await heard({**RECEIVE, "bytes": b""}),
        "text, and None": await heard({**RECEIVE, "text": "a", "bytes": None}),
        "None, and bytes": await heard({**RECEIVE, "text": None, "bytes": b"a"}),
        "both None": await heard({**RECEIVE, "text": None, "bytes": None}),
        "both": await heard({**RECEIVE, "text": "a", "bytes": b"a"}),
        "neither": await heard({**RECEIVE}),
    }


@row(upstream=[["a"], ["a"]])
async def receive_may_be_written_for_text_alone() -> Any:
    def positional(self: Any, text_data: Any) -> Any:
        self.heard.append(text_data)
        return
        yield

    def keyword(self: Any, *, text_data: Any) -> Any:
        self.heard.append(text_data)
        return
        yield

    async def texts(receive: Any) -> Any:
        async def observe(colour: str) -> Any:
            calls: list[Any] = []
            await sent(consumer(colour, receive=receive, heard=calls), text("a"))
            return calls

        return await both(observe)

    return [await texts(positional), await texts(keyword)]


@row(
    upstream="TypeError",
    ours=[
        ACCEPTED,
        {**CLOSED, "code": 1003, "reason": "This endpoint takes text messages only"},
    ],
)
async def a_binary_message_for_a_receive_of_text() -> Any:
    def receive(self: Any, text_data: Any) -> Any:
        yield self.send(text_data)

    async def observe(colour: str) -> Any:
        result = await sent(consumer(colour, receive=receive), {**RECEIVE, "bytes": b"a"})
        return result if isinstance(result, list) else result["ended"]["raises"]

    return await both(observe)


@row(upstream=[ACCEPTED])
async def receive_does_nothing_by_default() -> Any:
    return await both(lambda colour: sent(consumer(colour), text("a"), {**RECEIVE, "bytes": b"a"}))


@row(upstream="TypeError", ours=[ACCEPTED, {"type": "websocket.send", "text": "websocket.connect"}])
async def a_connect_that_wants_the_event() -> Any:
    def connect(self: Any, message: Any) -> Any:
        yield self.accept()
        yield self.send(message["type"])

    async def observe(colour: str) -> Any:
        result = await sent(consumer(colour, connect=connect))
        return result if isinstance(result, list) else result["ended"]["raises"]

    return await both(observe)


# -- send ----------------------------------------------------------------


def sending(*args: Any, **kwargs: Any) -> Any:
    def connect(self: Any) -> Any:
        yield self.send(*args, **kwargs)

    return connect


def message(**payload: Any) -> dict[str, Any]:
    return {"type": "websocket.send", **payload}


@row(
    upstream={
        "text": [message(text="a")],
        "bytes": [message(bytes="b'a'")],
        "bytes by place": [message(bytes="b'a'")],
        "both": [message(text="a")],
        "empty text": [message(text="")],
        "empty bytes": [message(bytes="b''")],
        "empty text and bytes": [message(text="")],
    }
)
async def what_send_sends() -> Any:
    return {
        "text": await sent_in_connect(sending("a")),
        "bytes": await sent_in_connect(sending(bytes_data=b"a")),
        "bytes by place": await sent_in_connect(sending(None, b"a")),
        "both": await sent_in_connect(sending("a", b"b")),
        "empty text": await sent_in_connect(sending("")),
        "empty bytes": await sent_in_connect(sending(bytes_data=b"")),
        "empty text and bytes": await sent_in_connect(sending("", b"a")),
    }


@row(
    upstream={
        "sent": [],
        "ended": {
            "raises": "ValueError",
            "says": "You must pass one of bytes_data or text_data",
        },
    }
)
async def sending_nothing_is_an_error() -> Any:
    return await sent_in_connect(sending())


@row(
    upstream=[
        [message(text="a"), CLOSED],
        [message(text="a"), {**CLOSED, "code": 4001}],
        [message(text="a")],
        [message(text="a"), {**CLOSED, "code": 1}],
    ]
)
async def send_may_close() -> Any:
    return [
        await sent_in_connect(sending("a", close=True)),
        await sent_in_connect(sending("a", None, 4001)),
        await sent_in_connect(sending("a", close=0)),
        await sent_in_connect(sending("a", close=1)),
    ]


@row(upstream=["accept", "close", "send"])
async def accept_and_close_pass_an_overridden_send_by() -> Any:
    """What goes through an overridden `send`: text alone; the rest reaches the server anyway."""

    def send(self: Any, text_data: Any = None, bytes_data: Any = None, close: Any = False) -> Any:
        self.through.append(text_data)
        yield super(type(self), self).send(text_data, bytes_data, close)

    def connect(self: Any) -> Any:
        yield self.accept()
        yield self.close()
        yield self.send("text")

    async def observe(colour: str) -> Any:
        through: list[Any] = []
        events = await sent(consumer(colour, connect=connect, send=send, through=through))
        assert through == ["text"], through
        return [event["type"].removeprefix("websocket.") for event in events]

    return await both(observe)


@row(upstream=[message(text="a"), {**CLOSED, "code": 4002}])
async def send_closes_by_an_overridden_close() -> Any:
    def connect(self: Any) -> Any:
        yield self.send("a", close=True)

    def close(self: Any, code: Any = None, reason: Any = None) -> Any:
        yield super(type(self), self).close(4002)

    return await both(lambda colour: sent(consumer(colour, connect=connect, close=close)))


@row(upstream=["accept", "send", "close"])
async def base_send_may_be_replaced_in_connect() -> Any:
    async def observe(colour: str) -> Any:
        through: list[Any] = []

        def connect(self: Any) -> Any:
            plain = self.base_send

            def noting_sync(event: Any) -> None:
                through.append(event["type"].removeprefix("websocket."))
                plain(event)

            async def noting_async(event: Any) -> None:
                through.append(event["type"].removeprefix("websocket."))
                await plain(event)

            self.base_send = noting_sync if colour == "sync" else noting_async
            yield self.accept()
            yield self.send("a")
            yield self.close()

        await sent(consumer(colour, connect=connect))
        return through

    return await both(observe)


class Between(AsyncConsumer):
    """A mixin behind the generic consumer in the order of bases."""

    async def send(self, message: Any) -> None:
        await super().send({**message, "passed": True})


@row(
    upstream=[{**ACCEPTED, "passed": True}, message(text="a", passed=True)],
    ours=[{**ACCEPTED, "passed": True}, message(text="a")],
)
async def a_send_of_a_mixin_behind_the_generic_consumer() -> Any:
    class Consumer(AsyncWebsocketConsumer, Between):
        async def connect(self) -> None:
            await self.accept()
            await self.send("a")

    return await sent(Consumer)
