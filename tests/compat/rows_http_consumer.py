"""AsyncHttpConsumer."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, set_up_django
from tests.compat.driving import Client, drive
from tests.waiting import meanwhile

set_up_django()

from channels.generic.http import AsyncHttpConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402

row = Rows()

SCOPE = {"type": "http", "path": "/", "method": "GET", "headers": []}
LEAVES = {"type": "http.disconnect"}


def request(body: bytes = b"", **more: Any) -> dict[str, Any]:
    return {"type": "http.request", "body": body, **more}


class Noting(AsyncHttpConsumer):
    """Notes what it hears."""

    heard: list[Any]

    async def handle(self, body: bytes) -> None:
        self.heard.append(body)
        await self.send_response(200, b"answer")

    async def disconnect(self) -> None:
        self.heard.append("disconnect")


async def answer(kind: Any, *events: Any) -> Any:
    """What a consumer heard, sent, and how it ended."""
    heard: list[Any] = []
    made = type("Made", (kind,), {"heard": heard})
    result = await drive(made.as_asgi(), *events, scope=SCOPE)
    return {"heard": heard, **result}


START = {"type": "http.response.start", "status": 200, "headers": []}
WHOLE = {"type": "http.response.body", "body": b"answer", "more_body": False}


@row(upstream={"heard": [b"abc", "disconnect"], "sent": [START, WHOLE], "ended": "returned"})
async def a_body_in_pieces_is_handled_whole() -> Any:
    return await answer(Noting, request(b"a", more_body=True), request(b"bc"))


@row(upstream=[b"", "disconnect"])
async def a_request_without_a_body() -> Any:
    return (await answer(Noting, {"type": "http.request"}))["heard"]


@row(upstream=[START, WHOLE])
async def the_end_comes_after_the_answer_without_an_event() -> Any:
    return (await answer(Noting, request()))["sent"]


@row(upstream={"heard": ["disconnect"], "sent": [], "ended": "returned"})
async def a_client_that_leaves_in_its_request() -> Any:
    return await answer(Noting, request(b"a", more_body=True), LEAVES)


@row(upstream={"heard": ["disconnect"], "ended": {"raises": "KeyError", "says": "'x'"}})
async def disconnect_runs_if_handle_raises() -> Any:
    class Consumer(Noting):
        async def handle(self, body: bytes) -> None:
            raise KeyError("x")

    seen = await answer(Consumer, request())
    return {"heard": seen["heard"], "ended": seen["ended"]}


@row(
    upstream={
        "raises": "NotImplementedError",
        "says": "Subclasses of AsyncHttpConsumer must provide a handle() method.",
    }
)
async def handle_has_to_be_there() -> Any:
    return (await answer(AsyncHttpConsumer, request()))["ended"]


async def sends(send: Any) -> Any:
    class Consumer(Noting):
        async def handle(self, body: bytes) -> None:
            await send(self)

    seen = await answer(Consumer, request())
    return seen["sent"] if seen["ended"] == "returned" else seen["ended"]


@row(
    upstream={
        "pairs": [[b"a", b"b"]],
        "a dict": [[b"a", b"b"]],
        "none": [],
        "a tuple": [[b"a", b"b"]],
    }
)
async def headers_in_each_form() -> Any:
    forms: dict[str, Any] = {
        "pairs": [(b"a", b"b")],
        "a dict": {b"a": b"b"},
        "none": None,
        "a tuple": ((b"a", b"b"),),
    }
    seen = {}
    for name, headers in forms.items():

        async def send(consumer: Any, headers: Any = headers) -> None:
            await consumer.send_headers(headers=headers)
            await consumer.send_body(b"")

        seen[name] = (await sends(send))[0]["headers"]
    return seen


@row(
    upstream=[
        {"type": "http.response.start", "status": 404, "headers": [[b"a", b"b"]]},
        {"type": "http.response.body", "body": b"no", "more_body": False},
    ]
)
async def send_response_takes_headers() -> Any:
    return await sends(lambda self: self.send_response(404, b"no", headers=[(b"a", b"b")]))


@row(
    upstream=[
        START,
        {"type": "http.response.body", "body": b"1", "more_body": True},
        {"type": "http.response.body", "body": b"2", "more_body": False},
    ]
)
async def a_body_may_be_sent_in_pieces() -> Any:
    async def send(consumer: Any) -> None:
        await consumer.send_headers()
        await consumer.send_body(b"1", more_body=True)
        await consumer.send_body(b"2")

    return await sends(send)


@row(upstream=["TypeError", "TypeError"])
async def status_headers_and_more_body_are_keywords() -> Any:
    consumer: Any = AsyncHttpConsumer()
    return [type_error(consumer.send_headers, 200), type_error(consumer.send_body, b"", True)]


def type_error(function: Any, *args: Any) -> Any:
    try:
        function(*args).close()
    except TypeError as error:
        return type(error).__name__
    return None


@row(
    upstream={"raises": "AssertionError", "says": "Body is not bytes"},
    ours={"raises": "TypeError", "says": "Body is not bytes: str 'text'"},
)
async def a_body_that_is_no_bytes() -> Any:
    return await async_outcome(AsyncHttpConsumer().send_body("text"))  # type: ignore[arg-type]


@row(upstream=[b"abc", "disconnect"])
async def a_constructor_of_ones_own_has_to_make_the_body_only() -> Any:
    class Consumer(Noting):
        def __init__(self) -> None:
            self.body = []

    return (await answer(Consumer, request(b"abc")))["heard"]


@row(upstream=[])
def the_constructor_of_an_http_consumer_takes_anything() -> Any:
    return AsyncHttpConsumer(1, a=2).body


@row(upstream=[b"", "disconnect", "http_request"])
async def http_request_may_be_overridden() -> Any:
    class Consumer(Noting):
        async def http_request(self, message: Any) -> None:
            try:
                await super().http_request(message)
            finally:
                self.heard.append("http_request")

    return (await answer(Consumer, request()))["heard"]


@row(upstream=[START])
async def headers_alone_are_sent_at_once() -> Any:
    """They do not wait for the first piece of the body."""

    class Consumer(Noting):
        async def handle(self, body: bytes) -> None:
            await self.send_headers()
            self.heard.append("sent")
            await asyncio.Event().wait()

    heard: list[Any] = []
    made = type("Made", (Consumer,), {"heard": heard})
    async with Client(made.as_asgi(), SCOPE) as client:
        client.say(request())
        await client.wait_for(lambda: client.sent)
        return list(client.sent)


class LongPoll(AsyncHttpConsumer):
    """Answers when a message of the layer comes."""

    async def handle(self, body: bytes) -> None:
        await self.send_headers()
        await self.send_body(b"", more_body=True)
        await self.channel_layer.group_add("row-poll", self.channel_name)
        await self.send_body(b"waiting", more_body=True)

    async def poll_news(self, message: Any) -> None:
        await self.send_body(message["text"].encode())


@row(
    upstream={"bodies": [b"", b"waiting"], "ended": "returned"},
    ours={"bodies": [b"", b"waiting", b"news"], "ended": "returned"},
)
async def a_response_left_open_by_handle() -> Any:
    async with Client(LongPoll.as_asgi(), SCOPE) as client:
        client.say(request())
        await client.wait_for(lambda: len(client.sent) >= 3)
        await client.ending(0.05)
        await get_channel_layer().group_send("row-poll", {"type": "poll.news", "text": "news"})
        ended = await client.ending()
        bodies = [event["body"] for event in client.sent[1:]]
        return {"bodies": bodies, "ended": ended}


@row(upstream=["goes on", "goes on"], ours=["goes on", "cancelled"])
async def a_client_that_leaves_while_handle_runs() -> Any:
    """Before the answer has begun, and in the midst of it."""
    seen = []
    for begun in (False, True):
        heard: list[Any] = []

        class Consumer(AsyncHttpConsumer):
            async def handle(self, body: bytes, begun: bool = begun, heard: Any = heard) -> None:
                if begun:
                    await self.send_headers()
                    await self.send_body(b"1", more_body=True)
                try:
                    await meanwhile(0.4, "the news that the client left arrives")
                except asyncio.CancelledError:
                    heard.append("cancelled")
                    raise
                heard.append("goes on")

        async with Client(Consumer.as_asgi(), SCOPE) as client:
            client.say(request())
            await client.wait_for(lambda client=client, begun=begun: client.sent or not begun)
            client.say(LEAVES)
            await client.ending()
        seen += heard
    return seen
