"""Rows: the communicator of WebSockets: its scope, what it answers, and what its assertions say."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()

from tests.compat.scripted import echo, sending

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.testing import WebsocketCommunicator

row = Rows()


SCOPE = {"type": "websocket", "path": "/", "query_string": b"", "headers": [], "subprotocols": []}


@row(
    upstream=[
        SCOPE,
        {**SCOPE, "path": "/a b", "query_string": b"c=d"},
        {**SCOPE, "path": "/p", "query_string": b"q"},
        {
            **SCOPE,
            "headers": [[b"a", b"b"]],
            "subprotocols": ["chat"],
            "spec_version": "2.3",
        },
    ]
)
def the_scope_of_a_websocket() -> Any:
    clients = (
        WebsocketCommunicator(echo, "/"),
        WebsocketCommunicator(echo, "/a%20b?c=d"),
        WebsocketCommunicator(echo, "ws://user:word@host/p?q"),
        WebsocketCommunicator(echo, "/", [(b"a", b"b")], ["chat"], "2.3"),
    )
    return [client.scope for client in clients]


@row(upstream={"raises": "TypeError", "says": "Expected str, got <class 'bytes'>"})
def the_path_is_text() -> Any:
    return outcome(WebsocketCommunicator, echo, b"/")


async def connected(*answers: Any) -> Any:
    client = WebsocketCommunicator(sending(*answers), "/")
    result = await async_outcome(client.connect())
    client.stop()
    return [result, client.response_headers]


ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


@row(
    upstream=[
        [[True, None], []],
        [[True, "chat"], [[b"a", b"b"]]],
        [[False, 1000], None],
        [[False, 4001], None],
    ]
)
async def what_connect_answers() -> Any:
    return [
        await connected(ACCEPT),
        await connected({**ACCEPT, "subprotocol": "chat", "headers": [(b"a", b"b")]}),
        await connected(CLOSE),
        await connected({**CLOSE, "code": 4001}),
    ]


@row(upstream="AssertionError")
async def connecting_to_something_else_is_an_assertion_error() -> Any:
    return (await connected({"type": "websocket.send", "text": "early"}))[0]["raises"]


async def talking() -> Any:
    client = WebsocketCommunicator(echo, "/")
    await client.send_input({"type": "websocket.accept"})
    await client.receive_output()
    return client


@row(
    upstream=[
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"a"},
        {"type": "websocket.receive", "text": '{"a": 1}'},
    ]
)
async def what_is_sent() -> Any:
    client = await talking()
    await client.send_to("a")
    await client.send_to(bytes_data=b"a")
    await client.send_json_to({"a": 1})
    seen = [await client.receive_output() for _ in range(3)]
    client.stop()
    return seen


EXACTLY_ONE = {
    "raises": "AssertionError",
    "says": "You must supply exactly one of text_data or bytes_data",
}


@row(
    upstream={
        "neither": EXACTLY_ONE,
        "both": EXACTLY_ONE,
        "text of bytes": {
            "raises": "AssertionError",
            "says": "The text_data argument must be a str",
        },
        "bytes of text": {
            "raises": "AssertionError",
            "says": "The bytes_data argument must be bytes",
        },
    }
)
async def what_cannot_be_sent() -> Any:
    client = await talking()
    seen = {
        "neither": await async_outcome(client.send_to()),
        "both": await async_outcome(client.send_to("a", b"a")),
        "text of bytes": await async_outcome(client.send_to(b"a")),
        "bytes of text": await async_outcome(client.send_to(bytes_data="a")),
    }
    client.stop()
    return seen


@row(upstream=[EXACTLY_ONE, EXACTLY_ONE], ours=[None, None])
async def an_empty_message_may_be_sent() -> Any:
    client = await talking()
    seen = [
        await async_outcome(client.send_to("")),
        await async_outcome(client.send_to(bytes_data=b"")),
    ]
    client.stop()
    return seen


async def received(event: Any, method: str = "receive_from") -> Any:
    client = await talking()
    await client.send_input(event)
    seen = await async_outcome(getattr(client, method)())
    client.stop()
    return seen


def assertion(says: str) -> dict[str, str]:
    return {"raises": "AssertionError", "says": says}


SEND = {"type": "websocket.send"}


@row(
    upstream={
        "text": "a",
        "empty text": "",
        "bytes": b"a",
        "a close": assertion("Expected type 'websocket.send', but was 'websocket.close'"),
        "neither": assertion("The response needs exactly one of 'text' or 'bytes'"),
        "both": assertion("The response needs exactly one of 'text' or 'bytes'"),
        "text of bytes": assertion("Text frame payload is not str, it is <class 'bytes'>"),
        "bytes of text": assertion("Binary frame payload is not bytes, it is <class 'str'>"),
        "json": {"a": 1},
        "json of bytes": assertion("JSON data is not a text frame, it is <class 'bytes'>"),
    }
)
async def what_is_received() -> Any:
    return {
        "text": await received({**SEND, "text": "a"}),
        "empty text": await received({**SEND, "text": ""}),
        "bytes": await received({**SEND, "bytes": b"a"}),
        "a close": await received(CLOSE),
        "neither": await received(SEND),
        "both": await received({**SEND, "text": "a", "bytes": b"a"}),
        "text of bytes": await received({**SEND, "text": b"a"}),
        "bytes of text": await received({**SEND, "bytes": "a"}),
        "json": await received({**SEND, "text": '{"a": 1}'}, "receive_json_from"),
        "json of bytes": await received({**SEND, "bytes": b"1"}, "receive_json_from"),
    }


@row(
    upstream=assertion("The response needs exactly one of 'text' or 'bytes'"),
    ours="a",
)
async def a_message_with_both_keys_of_which_one_is_none() -> Any:
    return await received({**SEND, "text": "a", "bytes": None})


@row(upstream=[1000, 4001])
async def disconnect_tells_the_code_and_waits() -> Any:
    codes = []

    class Consumer(AsyncWebsocketConsumer):
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    for arguments in ((), (4001,)):
        client = WebsocketCommunicator(Consumer.as_asgi(), "/")
        await client.connect()
        await client.disconnect(*arguments)
    return codes


@row(upstream=[[True, None], "a", "b"])
async def a_whole_conversation() -> Any:
    class Echo(WebsocketConsumer):
        def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            self.send(text_data)

    client = WebsocketCommunicator(Echo.as_asgi(), "/")
    seen: list[Any] = [await client.connect()]
    for text in "ab":
        await client.send_to(text_data=text)
        seen.append(await client.receive_from())
    await client.disconnect()
    return seen


@row(upstream=["a", "GraphQL"])
async def communicators_may_be_subclassed() -> Any:
    """As packages do: with a constructor of their own, and methods on the inherited ones."""

    class Protocol(WebsocketCommunicator):
        def __init__(self, application: Any, path: str, **more: Any) -> None:
            self.protocol = "GraphQL"
            super().__init__(application, path, **more)

        async def say(self, text: str) -> Any:
            await self.send_to(text)
            return (await self.receive_output())["text"]

    client = Protocol(echo, "/", subprotocols=["graphql-ws"])
    seen = [await client.say("a"), client.protocol]
    client.stop()
    return seen
