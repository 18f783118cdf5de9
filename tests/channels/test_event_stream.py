"""Server-sent events: what goes over the wire, and the life of a stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from channels.broadcast import broadcast
from channels.exceptions import InvalidChannelLayerError
from channels.generic.sse import AsyncEventStreamConsumer, comment_bytes, event_bytes
from channels.layers import InMemoryChannelLayer
from channels.testing import ApplicationCommunicator, HttpCommunicator
from channels.types import ClientDisconnected


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


# -- bytes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"data": "hello"}, b"data: hello\n\n"),
        ({"data": ""}, b"data: \n\n"),
        ({"data": "one\ntwo\r\nthree\rfour"}, b"data: one\ndata: two\ndata: three\ndata: four\n\n"),
        ({"data": " led by a space"}, b"data:  led by a space\n\n"),
        # Other libraries' lines end here too; those of event streams do not.
        ({"data": "a\u2028b\x0bc\x85d"}, "data: a\u2028b\x0bc\x85d\n\n".encode()),
        ({"data": "x", "event": "news", "id": "7"}, b"event: news\nid: 7\ndata: x\n\n"),
        ({"data": "x", "id": ""}, b"id: \ndata: x\n\n"),
        ({"data": None, "retry": 2500}, b"retry: 2500\n\n"),
    ],
)
def test_an_event_on_the_wire(arguments: Any, expected: bytes) -> None:
    assert event_bytes(**arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"event": "a\nb"}, "The event of an event is one line"),
        ({"id": "a\rdata: forged"}, "The id of an event is one line"),
        ({"id": "a\0b"}, "without NULL"),
        ({"retry": -1}, "whole milliseconds"),
        ({"retry": 1.5}, "whole milliseconds"),
    ],
)
def test_what_would_break_the_stream_is_refused(arguments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        event_bytes("x", **arguments)


def test_data_is_text() -> None:
    with pytest.raises(TypeError, match=r"See send_json\(\)"):
        event_bytes({"a": 1})  # type: ignore[arg-type]


def test_a_comment_cannot_become_an_event() -> None:
    assert comment_bytes() == b":\n\n"
    assert comment_bytes("a\ndata: b") == b":a\n:data: b\n\n"


# -- streams -----------------------------------------------------------------


class News(AsyncEventStreamConsumer):
    groups = ("news",)
    keep_alive = None
    ended = 0

    async def news_item(self, message: Any) -> None:
        await self.send_json({"text": message["text"]}, event="item", id=str(message["id"]))

    async def news_end(self, message: Any) -> None:
        await self.close()

    async def disconnect(self) -> None:
        type(self).ended += 1


@pytest.fixture
def news() -> type[News]:
    return type("FreshNews", (News,), {"ended": 0})


class Stream(ApplicationCommunicator):
    """A client that reads a stream."""

    def __init__(self, consumer: Any, headers: Any = (), method: str = "GET") -> None:
        scope = {"type": "http", "path": "/", "method": method, "headers": list(headers)}
        super().__init__(consumer, scope)

    async def open(self) -> Any:
        await self.send_input({"type": "http.request", "body": b""})
        return await self.receive_output()

    async def read(self) -> bytes:
        part = await self.receive_output()
        assert part["type"] == "http.response.body"
        assert part["more_body"]
        return bytes(part["body"])

    async def leave(self) -> None:
        await self.send_input({"type": "http.disconnect"})
        await self.wait()


def test_messages_of_a_group_become_events_until_the_client_leaves(
    news: type[News], layer: InMemoryChannelLayer
) -> None:
    async def test() -> None:
        client = Stream(news)
        start = await client.open()
        assert start["status"] == 200
        headers = dict(start["headers"])
        assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert headers[b"cache-control"] == b"no-cache"
        assert await client.read() == b""
        for number in (1, 2):
            await layer.group_send("news", {"type": "news.item", "text": "é", "id": number})
        expected = 'event: item\nid: {}\ndata: {{"text": "é"}}\n\n'
        assert await client.read() == expected.format(1).encode()
        assert await client.read() == expected.format(2).encode()
        await client.leave()
        assert news.ended == 1
        assert layer.groups == {}

    run(test)


def test_a_consumer_may_end_its_stream(news: type[News], layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        client = Stream(news)
        await client.open()
        await client.read()
        await layer.group_send("news", {"type": "news.end"})
        assert await client.receive_output() == {
            "type": "http.response.body",
            "body": b"",
            "more_body": False,
        }
        await client.wait()
        assert news.ended == 1
        assert layer.groups == {}

    run(test)


def test_closing_a_stream_again_changes_nothing(news: type[News], layer: Any) -> None:
    class Twice(news):  # type: ignore[valid-type, misc]
        async def connect(self) -> None:
            await self.accept()
            await self.close()
            await self.close()

    async def test() -> None:
        response = await HttpCommunicator(Twice, "GET", "/").get_response()
        assert response["status"] == 200

    run(test)


def test_a_client_that_comes_back_tells_what_it_saw_last(news: type[News], layer: Any) -> None:
    class Resuming(news):  # type: ignore[misc,valid-type]
        retry = 1500

        async def connect(self) -> None:
            await self.accept(headers=[(b"x-own", b"1")])
            await self.send_event(f"after {self.last_event_id}")

    async def test() -> None:
        client = Stream(Resuming, [(b"Last-Event-ID", "sieben é".encode())])
        assert (b"x-own", b"1") in (await client.open())["headers"]
        assert await client.read() == b"retry: 1500\n\n"
        assert await client.read() == "data: after sieben é\n\n".encode()
        await client.leave()
        fresh = Stream(Resuming)
        await fresh.open()
        await fresh.read()
        assert await fresh.read() == b"data: after None\n\n"
        await fresh.leave()

    run(test)


def test_a_broadcast_handler_works_as_for_websockets(
    news: type[News], layer: InMemoryChannelLayer
) -> None:
    class Shared(news):  # type: ignore[misc,valid-type]
        @broadcast
        def news_item(cls, event: Any) -> Any:
            return {"text": event["text"]}

    async def test() -> None:
        client = Stream(Shared)
        await client.open()
        await client.read()
        await layer.group_send("news", {"type": "news.item", "text": "a"})
        assert await client.read() == b'data: {"text": "a"}\n\n'
        await client.leave()

    run(test)


def test_a_client_may_be_denied(news: type[News], layer: InMemoryChannelLayer) -> None:
    class Closed(news):  # type: ignore[misc,valid-type]
        async def connect(self) -> None:
            await self.deny(403, b"members only", headers=[(b"content-type", b"text/plain")])

    async def test() -> None:
        client = Stream(Closed)
        start = await client.open()
        assert (start["status"], start["headers"]) == (403, [(b"content-type", b"text/plain")])
        assert (await client.receive_output())["body"] == b"members only"
        await client.wait()
        assert Closed.ended == 1
        assert layer.groups == {}

    run(test)


def test_a_head_request_gets_the_head_alone(news: type[News], layer: Any) -> None:
    async def test() -> None:
        client = Stream(news, method="HEAD")
        assert (await client.open())["status"] == 200
        assert not (await client.receive_output())["more_body"]
        await client.wait()
        assert news.ended == 1

    run(test)


def test_silence_is_broken_by_comments(news: type[News], layer: InMemoryChannelLayer) -> None:
    class Lively(news):  # type: ignore[misc,valid-type]
        keep_alive = 0.01

    async def test() -> None:
        client = Stream(Lively)
        await client.open()
        await client.read()
        assert [await client.read() for _ in range(2)] == [b":\n\n", b":\n\n"]
        await layer.group_send("news", {"type": "news.item", "text": "a", "id": 1})
        while (part := await client.read()) == b":\n\n":
            pass
        assert part.startswith(b"event: item")
        await client.leave()
        assert len(asyncio.all_tasks()) == 1

    run(test)


def test_a_stream_in_connect_is_cancelled_when_the_client_leaves(
    news: type[News], layer: Any
) -> None:
    cleaned = []

    class Endless(news):  # type: ignore[misc,valid-type]
        keep_alive = 0.01

        async def connect(self) -> None:
            await self.accept()
            await self.send_event("first")
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cleaned.append(True)

    async def test() -> None:
        client = Stream(Endless)
        await client.open()
        await client.read()
        assert await client.read() == b"data: first\n\n"
        assert await client.read() == b":\n\n"
        await client.leave()
        assert cleaned == [True]
        assert Endless.ended == 1

    run(test)


def test_a_stream_that_cannot_be_kept_alive_says_so_once(
    news: type[News], layer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(news):  # type: ignore[misc,valid-type]
        keep_alive = 0.01

        async def send_comment(self, text: str = "") -> None:
            failed.set()
            raise RuntimeError("on purpose")

    async def test() -> None:
        client = Stream(Broken)
        await client.open()
        await failed.wait()
        await client.leave()

    failed = asyncio.Event()
    run(test)
    (record,) = caplog.records
    assert record.getMessage() == "Keeping a stream alive failed"
    assert record.levelno == logging.ERROR


def test_groups_without_a_layer_are_an_error_that_tells_what_to_set() -> None:
    class Lost(News):
        channel_layer_alias = "missing"

    async def test() -> None:
        with pytest.raises(InvalidChannelLayerError, match="BACKEND is unconfigured"):
            await Stream(Lost).open()

    run(test)


def test_sending_to_a_client_that_has_left_ends_the_handler(news: type[News], layer: Any) -> None:
    told = []

    class Late(news):  # type: ignore[misc,valid-type]
        async def connect(self) -> None:
            await gate.wait()
            try:
                await self.accept()
            except ClientDisconnected as error:
                told.append(str(error))
                raise

    async def test() -> None:
        client = Stream(Late)
        await client.send_input({"type": "http.request", "body": b""})
        await client.send_input({"type": "http.disconnect"})
        assert await client.receive_nothing(0.02)
        gate.set()
        await client.wait()

    gate = asyncio.Event()
    run(test)
    assert told == ["The client has left."]
    assert Late.ended == 1
