"""The communicators: their scopes, what they answer, and what their assertions say."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.testing import (  # noqa: E402
    ApplicationCommunicator,
    HttpCommunicator,
    WebsocketCommunicator,
)

row = Rows()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        if event["type"] == "end":
            return
        if event["type"] == "fail":
            raise KeyError("x")
        await send(event)


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def sending(*events: Any) -> Any:
    """An application that sends these, whatever it hears, and returns at a disconnect."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in events:
            await send(dict(event))
        while not (await receive())["type"].endswith(".disconnect"):
            pass

    return application


# -- ApplicationCommunicator -----------------------------------------------


@row(upstream={"type": "test", "text": "a"})
async def what_goes_in_comes_out() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    await client.send_input({"type": "test", "text": "a"})
    seen = await client.receive_output()
    client.stop()
    return seen


@row(upstream={"before": True, "a task": True, "then": False})
async def the_application_starts_at_the_first_use() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    seen: dict[str, Any] = {"before": client._future is None}
    await client.send_input({"type": "a"})
    seen["a task"] = isinstance(client.future, asyncio.Task)
    seen["then"] = client._future is None
    client.stop()
    return seen


@row(upstream=[True, True, True])
async def the_queues_and_the_application_can_be_looked_at() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    return [
        isinstance(client.input_queue, asyncio.Queue),
        client.output_queue.empty(),
        client.application is echo,
    ]


@row(upstream="changed before the start")
async def the_scope_may_be_changed_before_the_start() -> Any:
    async def tell(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "test", "of": scope["of"]})

    client = ApplicationCommunicator(tell, {"type": "test"})
    client.scope["of"] = "changed before the start"
    return (await client.receive_output())["of"]


@row(upstream={"the application sees": None, "the test sees": None})
async def context_variables_of_the_test_and_the_application_stay_apart() -> Any:
    variable = contextvars.ContextVar[Any]("variable", default=None)
    variable.set("of the test")

    async def tell(scope: Any, receive: Any, send: Any) -> None:
        seen = variable.get()
        inside.set("of the application")
        await send({"type": "test", "of": seen})

    inside = contextvars.ContextVar[Any]("inside", default=None)
    client = ApplicationCommunicator(tell, {"type": "test"})
    seen = (await client.receive_output())["of"]
    return {"the application sees": seen, "the test sees": inside.get()}


@row(
    upstream={"waited": "TimeoutError", "cancelled": True, "afterwards": "CancelledError"},
    ours={"waited": "TimeoutError", "cancelled": False, "afterwards": "goes on"},
)
async def a_timeout_of_receive_output() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    waited = (await async_outcome(client.receive_output(0.01)))["raises"]
    cancelled = client.future.cancelled()
    try:
        await client.send_input({"type": "again"})
        afterwards = "goes on" if await client.receive_output() else ""
    except asyncio.CancelledError as error:
        afterwards = type(error).__name__
    return {"waited": waited, "cancelled": cancelled, "afterwards": afterwards}


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def a_failure_comes_out_of_receive_output() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    await client.send_input({"type": "fail"})
    return await async_outcome(client.receive_output(0.05))


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def a_failure_comes_out_of_wait() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    await client.send_input({"type": "fail"})
    return await async_outcome(client.wait())


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def a_failure_comes_out_of_the_next_send_input() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    await client.send_input({"type": "fail"})
    await asyncio.wait([client.future])
    return await async_outcome(client.send_input({"type": "a"}))


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def a_failure_comes_out_of_stop() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    await client.send_input({"type": "fail"})
    await asyncio.wait([client.future])
    assert outcome(client.stop, exceptions=False) is None
    return outcome(client.stop)


@row(upstream=[True, False, "a"])
async def receive_nothing_takes_nothing() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    quiet = await client.receive_nothing(0.02)
    await client.send_input({"type": "a"})
    loud = await client.receive_nothing()
    seen = [quiet, loud, (await client.receive_output())["type"]]
    client.stop()
    return seen


@row(
    upstream={"ended": None, "waited": None, "cancelled": True},
    ours={"ended": None, "waited": "TimeoutError", "cancelled": False},
)
async def wait_returns_at_the_end_of_the_application() -> Any:
    client = ApplicationCommunicator(echo, {"type": "test"})
    await client.send_input({"type": "end"})
    ended = await client.wait()
    other = ApplicationCommunicator(silent, {"type": "test"})
    waited = await async_outcome(other.wait(0.01))
    seen = {
        "ended": ended,
        "waited": waited and waited["raises"],
        "cancelled": other.future.cancelled(),
    }
    other.stop(exceptions=False)
    return seen


@row(upstream=None)
def stop_before_the_start_does_nothing() -> Any:
    return ApplicationCommunicator(echo, {"type": "test"}).stop()


# -- HttpCommunicator ------------------------------------------------------


@row(
    upstream={
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/a b/",
        "query_string": b"c=%20d",
        "headers": [[b"e", b"f"]],
    }
)
def the_scope_of_a_request() -> Any:
    client = HttpCommunicator(echo, "post", "/a%20b/?c=%20d", headers=[(b"e", b"f")])
    return client.scope


HEAD = {"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]}


def body(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, **more}


@row(upstream={"status": 201, "headers": [[b"a", b"b"]], "body": b"12"})
async def a_response_is_put_together() -> Any:
    application = sending(HEAD, body(b"1", more_body=True), body(b"2"))
    return await HttpCommunicator(application, "GET", "/").get_response()


@row(upstream={"status": 200, "headers": [], "body": b""})
async def a_response_without_headers() -> Any:
    application = sending({"type": "http.response.start", "status": 200}, body(b""))
    return await HttpCommunicator(application, "GET", "/").get_response()


@row(upstream={"type": "http.request", "body": b"content"})
async def the_request_is_sent_whole() -> Any:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        await send(dict(HEAD))
        await send(body(b""))

    await HttpCommunicator(application, "POST", "/", b"content").get_response()
    return seen[0]


@row(upstream=["AssertionError", "AssertionError"])
async def what_is_no_response_is_an_assertion_error() -> Any:
    applications = (sending(body(b"")), sending(HEAD, body("text")))
    clients = [HttpCommunicator(application, "GET", "/") for application in applications]
    return [(await async_outcome(client.get_response()))["raises"] for client in clients]


@row(upstream="AssertionError", ours="TypeError")
def a_body_of_a_request_that_is_no_bytes() -> Any:
    return outcome(HttpCommunicator, echo, "POST", "/", "text")["raises"]


# -- WebsocketCommunicator -------------------------------------------------

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
