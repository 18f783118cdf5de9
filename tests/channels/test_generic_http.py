"""The HTTP consumer: whole requests in, responses in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.waiting import turns_until

from channels.generic.http import AsyncHttpConsumer
from channels.layers import InMemoryChannelLayer
from channels.mailbox import DirectReceive, Mailbox
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


# -- streams and long polls --------------------------------------------------


REQUEST = {"type": "http.request", "body": b""}
SCOPE = {"type": "http", "path": "/", "headers": []}


class Streamer(AsyncHttpConsumer):
    """Sends a first piece, then waits for ever; tells what became of it."""

    async def handle(self, body: bytes) -> None:
        await self.send_headers()
        await self.send_body(b"first", more_body=True)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def disconnect(self) -> None:
        log.append("disconnect")


log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    log.clear()


def test_a_client_that_leaves_in_the_middle_of_a_stream_ends_it() -> None:
    async def test() -> None:
        client = ApplicationCommunicator(Streamer, SCOPE)
        await client.send_input(REQUEST)
        await client.receive_output()
        await client.receive_output()
        await client.send_input({"type": "http.disconnect"})
        await client.wait()

    run(test)
    assert log == ["cancelled", "disconnect"]


def test_a_client_that_leaves_before_the_answer_lets_the_work_finish() -> None:
    class Writer(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await gate.wait()
            log.append("written")
            await self.send_response(200, b"done")
            log.append("never")

        async def disconnect(self) -> None:
            log.append("disconnect")

    async def test() -> None:
        client = ApplicationCommunicator(Writer, SCOPE)
        await client.send_input(REQUEST)
        await client.send_input({"type": "http.disconnect"})
        assert await client.receive_nothing(0.02)
        gate.set()
        await client.wait()

    gate = asyncio.Event()
    run(test)
    assert log == ["written", "disconnect"]


def test_a_timeout_of_the_handlers_own_is_still_an_error() -> None:
    class Slow(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_headers()
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()

    async def test() -> None:
        client = ApplicationCommunicator(Slow, SCOPE)
        await client.send_input(REQUEST)
        await client.receive_output()
        with pytest.raises(TimeoutError):
            await client.wait()

    run(test)


class LongPoll(AsyncHttpConsumer):
    """As Channels 2.1 documented it: the answer comes from a message of the layer."""

    async def handle(self, body: bytes) -> None:
        await self.channel_layer.group_add("poll", self.channel_name)
        await self.send_headers(headers=[(b"content-type", b"application/json")])
        await self.send_body(b"", more_body=True)

    async def poll_message(self, event: Any) -> None:
        await self.send_body(event["text"].encode(), more_body=event.get("more", False))

    async def disconnect(self) -> None:
        log.append("disconnect")


def test_a_long_poll_is_answered_by_a_layer_message(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        client = HttpCommunicator(LongPoll, "GET", "/")
        await client.send_input(REQUEST)
        assert (await client.receive_output())["status"] == 200
        assert (await client.receive_output())["more_body"]
        assert await client.receive_nothing(0.02)
        assert log == []
        await layer.group_send("poll", {"type": "poll.message", "text": "a", "more": True})
        await layer.group_send("poll", {"type": "poll.message", "text": "b"})
        assert [(await client.receive_output())["body"] for _ in range(2)] == [b"a", b"b"]
        await client.wait()
        assert layer.groups == {}

    run(test)
    assert log == ["disconnect"]


def test_a_long_poll_ends_with_its_client(layer: InMemoryChannelLayer) -> None:
    async def test() -> None:
        client = HttpCommunicator(LongPoll, "GET", "/")
        await client.send_input(REQUEST)
        await client.receive_output()
        await client.receive_output()
        await client.send_input({"type": "http.disconnect"})
        await client.wait()
        assert layer.groups == {}

    run(test)
    assert log == ["disconnect"]


def test_a_handle_that_answers_nothing_ends_the_consumer() -> None:
    class Silent(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            pass

    async def test() -> None:
        client = ApplicationCommunicator(Silent, SCOPE)
        await client.send_input(REQUEST)
        await client.wait()
        assert await client.receive_nothing(0)

    run(test)


async def from_a_server_that_tells_of_the_end_at_once(app: Any, body: bytes = b"") -> bytes:
    """Serve one request as our server does: the disconnect comes within the last `send`."""
    mailbox = Mailbox(asyncio.get_running_loop())
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            mailbox.put_disconnect({"type": "http.disconnect"})

    mailbox.put_client({"type": "http.request", "body": body}, len(body))
    await app(SCOPE, DirectReceive(mailbox, send), send)
    return b"".join(sent)


def test_work_after_the_response_is_not_cancelled() -> None:
    class Worker(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"accepted")
            # A timer that was set by then, to cancel this, has run out before this one.
            later = asyncio.Event()
            asyncio.get_running_loop().call_later(0, later.set)
            await later.wait()
            log.append("worked")

        async def disconnect(self) -> None:
            log.append("disconnect")

    run(lambda: from_a_server_that_tells_of_the_end_at_once(Worker.as_asgi()))
    assert log == ["worked", "disconnect"]


def test_a_last_piece_that_was_refused_leaves_the_response_open() -> None:
    class Hasty(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            try:
                await self.send_body(b"too early")
            except RuntimeError:
                await self.send_headers()
                await self.send_body(b"open", more_body=True)

    async def send(message: Any) -> None:
        if not log and message["type"] == "http.response.body":
            log.append("refused")
            raise RuntimeError("no response was started")

    async def test() -> None:
        mailbox = Mailbox(asyncio.get_running_loop())
        mailbox.put_client(REQUEST, 0)
        serving = asyncio.create_task(Hasty.as_asgi()(SCOPE, DirectReceive(mailbox, send), send))
        await turns_until(lambda: (log and mailbox.reader_waits) or serving.done())
        assert not serving.done(), "it lives on, for a message that ends the response"
        mailbox.put_disconnect({"type": "http.disconnect"})
        await serving

    run(test)


class OfItsOwn(AsyncHttpConsumer):
    def __init__(self) -> None:
        """Calls no other `__init__`."""

    async def handle(self, body: bytes) -> None:
        await self.send_response(200, body)

    async def disconnect(self) -> None:
        log.append("disconnect")


@pytest.mark.parametrize("app", [OfItsOwn.as_asgi(), OfItsOwn(), Echo()])
def test_each_request_has_a_body_of_its_own(app: Any) -> None:
    async def answer(body: bytes) -> Any:
        return (await HttpCommunicator(app, "POST", "/", body=body).get_response())["body"]

    async def test() -> list[Any]:
        one_by_one = [await answer(b"1"), await answer(b"2")]
        return one_by_one + await asyncio.gather(answer(b"3"), answer(b"4"), answer(b"5"))

    bodies = [body.strip(b"<>") for body in run(test)]
    assert bodies == [b"1", b"2", b"3", b"4", b"5"]
    assert log.count("disconnect") == (5 if not isinstance(app, Echo) else 0)
