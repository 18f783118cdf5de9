"""The WebSocket consumers: connect, accept, receive, send, close, disconnect; in both colours."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import async_to_sync
from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, drive, text

set_up_django()

from tests.compat.colours import BASES, both, consumer, sent, sent_in_connect  # noqa: E402

from channels.exceptions import AcceptConnection, DenyConnection, StopConsumer  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)

row = Rows()

ACCEPTED = {"type": "websocket.accept", "subprotocol": None}
CLOSED = {"type": "websocket.close"}


# -- connect and accept --------------------------------------------------


@row(upstream=[ACCEPTED])
async def connect_accepts_by_default() -> Any:
    return await both(lambda colour: sent(consumer(colour)))


@row(upstream=[{"type": "websocket.accept", "subprotocol": "chat"}])
async def accept_may_name_a_subprotocol() -> Any:
    def connect(self: Any) -> Any:
        yield self.accept("chat")

    return await sent_in_connect(connect)


@row(upstream=[{**ACCEPTED, "headers": [["b'a'", "b'b'"]]}])
async def accept_may_have_headers_of_any_iterable() -> Any:
    def connect(self: Any) -> Any:
        yield self.accept(headers=iter([(b"a", b"b")]))

    return await sent_in_connect(connect)


@row(upstream=[ACCEPTED])
async def accept_with_no_headers_says_none() -> Any:
    def connect(self: Any) -> Any:
        yield self.accept(None, [])

    return await sent_in_connect(connect)


@row(upstream=[ACCEPTED, ACCEPTED])
async def a_second_accept_goes_to_the_server_too() -> Any:
    def connect(self: Any) -> Any:
        yield self.accept()
        yield self.accept()

    return await sent_in_connect(connect)


@row(upstream=[{"type": "websocket.send", "text": "early"}, ACCEPTED])
async def a_message_before_the_accept_goes_to_the_server_too() -> Any:
    def connect(self: Any) -> Any:
        yield self.send("early")
        yield self.accept()

    return await sent_in_connect(connect)


def raising(error: Exception) -> Any:
    def connect(self: Any) -> Any:
        raise error
        yield

    return connect


@row(upstream=[ACCEPTED])
async def connect_may_raise_accept_connection() -> Any:
    return await sent_in_connect(raising(AcceptConnection()))


@row(upstream=[CLOSED])
async def connect_may_raise_deny_connection() -> Any:
    return await sent_in_connect(raising(DenyConnection()))


@row(upstream=[])
async def connect_may_raise_stop_consumer() -> Any:
    return await sent_in_connect(raising(StopConsumer()))


@row(upstream={"sent": [], "ended": {"raises": "KeyError", "says": "'x'"}})
async def connect_may_raise_anything_else() -> Any:
    return await sent_in_connect(raising(KeyError("x")))


@row(upstream=[CLOSED])
async def deny_connection_may_come_out_of_nested_async_code() -> Any:
    class Consumer(WebsocketConsumer):
        def connect(self) -> None:
            async def deny() -> None:
                raise DenyConnection

            async_to_sync(deny)()

    return await sent(Consumer)


@row(
    upstream={"sent": [ACCEPTED], "ended": {"raises": "AcceptConnection", "says": ""}},
)
async def accept_connection_outside_connect_is_an_error() -> Any:
    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        raise AcceptConnection
        yield

    return await both(lambda colour: sent(consumer(colour, receive=receive), text("x")))


# -- close ---------------------------------------------------------------


def closing(*args: Any, **kwargs: Any) -> Any:
    def connect(self: Any) -> Any:
        yield self.close(*args, **kwargs)

    return connect


@row(
    upstream=[
        [CLOSED],
        [CLOSED],
        [CLOSED],
        [{**CLOSED, "code": 4001}],
        [{**CLOSED, "code": 0}],
        [{**CLOSED, "code": False}],
    ]
)
async def the_code_of_a_close() -> Any:
    codes = (None, True)
    return [await sent_in_connect(closing())] + [
        await sent_in_connect(closing(code)) for code in (*codes, 4001, 0, False)
    ]


@row(upstream=[[{**CLOSED, "code": 4001, "reason": "no"}], [{**CLOSED, "reason": "no"}], [CLOSED]])
async def the_reason_of_a_close() -> Any:
    return [
        await sent_in_connect(closing(4001, "no")),
        await sent_in_connect(closing(reason="no")),
        await sent_in_connect(closing(None, "")),
    ]


@row(upstream=[CLOSED, {"type": "websocket.send", "text": "still here"}, CLOSED])
async def a_close_does_not_end_the_consumer() -> Any:
    def connect(self: Any) -> Any:
        yield self.close()

    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        yield self.send("still here")
        yield self.close()

    return await both(
        lambda colour: sent(consumer(colour, connect=connect, receive=receive), text("x"))
    )


# -- disconnect ----------------------------------------------------------


def noting_code(codes: list[Any]) -> Any:
    def disconnect(self: Any, code: Any) -> Any:
        codes.append(code)
        return
        yield

    return disconnect


async def codes_heard(*events: Any, **members: Any) -> Any:
    async def observe(colour: str) -> Any:
        codes: list[Any] = []
        kind = consumer(colour, disconnect=noting_code(codes), **members)
        ended = (await drive(kind.as_asgi(), CONNECT, *events))["ended"]
        return {"codes": codes, "ended": ended}

    return await both(observe)


@row(upstream={"codes": [1001], "ended": "returned"})
async def disconnect_gets_the_code() -> Any:
    return await codes_heard(DISCONNECT)


@row(upstream={"codes": [1001], "ended": "returned"})
async def disconnect_runs_for_a_client_that_was_refused() -> Any:
    return await codes_heard(DISCONNECT, connect=closing())


@row(upstream={"codes": [], "ended": {"raises": "KeyError", "says": "'code'"}})
async def a_disconnect_event_without_a_code_is_an_error() -> Any:
    return await codes_heard({"type": "websocket.disconnect"})


@row(
    upstream={"codes": [], "ended": {"raises": "KeyError", "says": "'x'"}},
    ours={"codes": [1011], "ended": {"raises": "KeyError", "says": "'x'"}},
)
async def disconnect_after_a_handler_raised() -> Any:
    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        raise KeyError("x")
        yield

    return await codes_heard(text("a"), receive=receive)


@row(upstream={"codes": [], "ended": "returned"}, ours={"codes": [1006], "ended": "returned"})
async def disconnect_after_stop_consumer() -> Any:
    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        raise StopConsumer
        yield

    return await codes_heard(text("a"), receive=receive)


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def an_exception_of_disconnect_comes_out() -> Any:
    def disconnect(self: Any, code: Any) -> Any:
        raise KeyError("x")
        yield

    async def observe(colour: str) -> Any:
        kind = consumer(colour, disconnect=disconnect)
        return (await drive(kind.as_asgi(), CONNECT, DISCONNECT))["ended"]

    return await both(observe)


@row(upstream={"raises": "StopConsumer", "says": ""})
async def websocket_disconnect_itself_raises_stop_consumer() -> Any:
    event = {"type": "websocket.disconnect", "code": 1000}
    plain = outcome(WebsocketConsumer().websocket_disconnect, event)
    awaited = await async_outcome(AsyncWebsocketConsumer().websocket_disconnect(event))
    return plain if plain == awaited else [plain, awaited]


@row(upstream=["websocket.connect", "websocket.receive", "websocket.disconnect"])
async def the_three_events_may_be_overridden() -> Any:
    async def observe(colour: str) -> Any:
        seen: list[Any] = []

        def around(name: str) -> Any:
            def method(self: Any, message: Any) -> Any:
                seen.append(message["type"])
                yield getattr(BASES["plain"][colour], name)(self, message)

            return method

        names = ("websocket_connect", "websocket_receive", "websocket_disconnect")
        kind = consumer(colour, **{name: around(name) for name in names})
        await sent(kind, text("x"))
        return seen

    return await both(observe)


# -- what it is made of --------------------------------------------------


@row(upstream=[[], []])
def the_constructor_of_a_websocket_consumer_takes_anything() -> Any:
    return [
        WebsocketConsumer(1, 2, a=3).groups,
        AsyncWebsocketConsumer(1, 2, a=3).groups,
    ]


@row(upstream=[ACCEPTED])
async def a_constructor_may_be_left_out() -> Any:
    """A subclass whose `__init__` never calls that of the base."""

    def initial(self: Any) -> None:
        self.groups = []

    return await both(lambda colour: sent(consumer(colour, __init__=initial)))


@row(upstream=["a", "b", "c"])
async def messages_and_replies_keep_their_order() -> Any:
    def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
        yield asyncio.sleep(0)
        yield self.send(text_data)

    async def observe(colour: str) -> Any:
        events = await sent(consumer(colour, receive=receive), *map(text, "abc"))
        return [event["text"] for event in events[1:]]

    return await both(observe)
