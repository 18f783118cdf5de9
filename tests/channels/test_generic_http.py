"""The HTTP consumer: whole requests in, responses in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from channels.generic.http import AsyncHttpConsumer
from channels.testing import ApplicationCommunicator, HttpCommunicator


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


class Echo(AsyncHttpConsumer):
    ended = 0

    async def handle(self, body: bytes) -> None:
        if body == b"fail":
            raise RuntimeError("on purpose")
        await self.send_headers(status=201, headers={b"content-type": b"text/plain"})
        await self.send_body(b"<", more_body=True)
        await self.send_body(body, more_body=True)
        await self.send_body(b">")

    async def disconnect(self) -> None:
        type(self).ended += 1


@pytest.fixture
def echo() -> type[Echo]:
    return type("FreshEcho", (Echo,), {"ended": 0})


def test_a_body_in_pieces_is_handled_whole_and_answered_in_pieces(echo: type[Echo]) -> None:
    async def test() -> list[Any]:
        client = ApplicationCommunicator(echo, {"type": "http", "path": "/", "headers": []})
        await client.send_input({"type": "http.request", "body": b"he", "more_body": True})
        await client.send_input({"type": "http.request", "body": b"llo"})
        sent = [await client.receive_output() for _ in range(4)]
        await client.wait()
        return sent

    start, *body = run(test)
    assert start == {
        "type": "http.response.start",
        "status": 201,
        "headers": [(b"content-type", b"text/plain")],
    }
    assert b"".join(message["body"] for message in body) == b"<hello>"
    assert echo.ended == 1


def test_send_response_sends_all_at_once() -> None:
    class Hello(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"hello", headers=[(b"a", b"b")])

    async def test() -> dict[str, Any]:
        return await HttpCommunicator(Hello, "GET", "/").get_response()

    assert run(test) == {"status": 200, "body": b"hello", "headers": [(b"a", b"b")]}


def test_a_handler_that_fails_still_hears_of_the_end_once(echo: type[Echo]) -> None:
    async def test() -> None:
        with pytest.raises(RuntimeError, match="on purpose"):
            await HttpCommunicator(echo, "POST", "/", body=b"fail").get_response()

    run(test)
    assert echo.ended == 1


def test_a_client_that_leaves_before_its_request_is_whole_ends_it(echo: type[Echo]) -> None:
    async def test() -> None:
        client = ApplicationCommunicator(echo, {"type": "http", "path": "/", "headers": []})
        await client.send_input({"type": "http.request", "body": b"he", "more_body": True})
        await client.send_input({"type": "http.disconnect"})
        await client.wait()

    run(test)
    assert echo.ended == 1


def test_a_consumer_without_handle_says_so() -> None:
    async def test() -> None:
        with pytest.raises(NotImplementedError, match=r"must provide a handle\(\) method"):
            await HttpCommunicator(AsyncHttpConsumer, "GET", "/").get_response()

    run(test)


def test_a_body_that_is_no_bytes_is_an_error() -> None:
    class Text(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, "text")  # type: ignore[arg-type]

    async def test() -> None:
        with pytest.raises(TypeError, match="Body is not bytes: str 'text'"):
            await HttpCommunicator(Text, "GET", "/").get_response()

    run(test)
