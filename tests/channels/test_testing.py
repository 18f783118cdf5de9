"""The communicators: what a test sends, what it gets, and how it hears of failures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import transaction

from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.testing import ApplicationCommunicator, HttpCommunicator, WebsocketCommunicator


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what it gets until it is told "stop" or "fail"."""
    while True:
        message = await receive()
        if message["type"] == "stop":
            return
        if message["type"] == "fail":
            raise ValueError("as it was told")
        await send(message)


async def fails(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("at once")


class EchoConsumer(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


# -- any application -----------------------------------------------------------------


def test_what_goes_in_comes_out() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(echo, {"type": "test"})
        await communicator.send_input({"type": "a"})
        assert await communicator.receive_output() == {"type": "a"}
        await communicator.send_input({"type": "stop"})
        await communicator.wait()

    run(test)


def test_it_is_made_outside_a_loop_and_starts_when_first_used() -> None:
    async def tell_user(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "user", "user": scope["user"]})

    communicator = ApplicationCommunicator(tell_user, {"type": "test"})
    communicator.scope["user"] = "late"

    async def test() -> None:
        assert await communicator.receive_output() == {"type": "user", "user": "late"}

    run(test)


def test_context_variables_of_the_test_stay_with_the_test() -> None:
    variable = ContextVar("variable", default="nothing")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "seen", "of": variable.get()})

    async def test() -> Any:
        variable.set("the test's own")
        return await ApplicationCommunicator(application, {"type": "test"}).receive_output()

    assert run(test)["of"] == "nothing"


def test_a_timeout_leaves_the_application_running() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(echo, {"type": "test"})
        with pytest.raises(TimeoutError, match="still running"):
            await communicator.receive_output(timeout=0.01)
        with pytest.raises(TimeoutError, match="has not ended"):
            await communicator.wait(timeout=0.01)
        await communicator.send_input({"type": "a"})
        assert await communicator.receive_output() == {"type": "a"}
        communicator.stop()

    run(test)


def test_an_exception_of_the_application_comes_at_once_instead_of_a_timeout() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(echo, {"type": "test"})
        await communicator.send_input({"type": "fail"})
        began = time.monotonic()
        with pytest.raises(ValueError, match="as it was told"):
            await communicator.receive_output(timeout=10)
        assert time.monotonic() - began < 5
        for later in (communicator.send_input({"type": "a"}), communicator.wait()):
            with pytest.raises(ValueError, match="as it was told"):
                await later

    run(test)


def test_what_was_sent_before_a_failure_can_still_be_received() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(echo, {"type": "test"})
        await communicator.send_input({"type": "a"})
        await communicator.send_input({"type": "fail"})
        assert await communicator.receive_output() == {"type": "a"}
        with pytest.raises(ValueError, match="as it was told"):
            await communicator.receive_output()

    run(test)


def test_waiting_for_an_application_that_has_returned_ends_at_once() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(echo, {"type": "test"})
        await communicator.send_input({"type": "stop"})
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="has returned"):
            await communicator.receive_output(timeout=10)
        assert await communicator.receive_nothing(timeout=10)
        assert time.monotonic() - began < 5

    run(test)


def test_receive_nothing_tells_and_takes_nothing() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(echo, {"type": "test"})
        assert await communicator.receive_nothing(timeout=0.01, interval=0.01) is True
        await communicator.send_input({"type": "a"})
        assert await communicator.receive_nothing(timeout=10) is False
        assert await communicator.receive_output() == {"type": "a"}
        communicator.stop()

    run(test)


def test_receive_nothing_does_not_hide_a_failure_but_tells_it_only_once() -> None:
    async def test() -> None:
        communicator = ApplicationCommunicator(fails, {"type": "test"})
        with pytest.raises(ValueError, match="at once"):
            await communicator.receive_nothing(timeout=10)
        assert await communicator.receive_nothing(timeout=10)

    run(test)


def test_stop_ends_it_and_raises_what_it_failed_with() -> None:
    async def test() -> None:
        running = ApplicationCommunicator(echo, {"type": "test"})
        running.stop()
        assert await running.receive_nothing(timeout=0.01)
        running.stop()
        await running.wait()
        assert running.future.cancelled()

        failed = ApplicationCommunicator(fails, {"type": "test"})
        await asyncio.wait([failed.future])
        failed.stop(exceptions=False)
        with pytest.raises(ValueError, match="at once"):
            failed.stop()

    run(test)


def test_async_with_ends_the_application() -> None:
    async def test() -> None:
        async with ApplicationCommunicator(echo, {"type": "test"}) as communicator:
            await communicator.send_input({"type": "a"})
        assert communicator.future.cancelled()
        async with ApplicationCommunicator(echo, {"type": "test"}):
            pass  # never used, never started

    run(test)


def test_async_with_raises_a_failure_that_nobody_saw() -> None:
    async def unseen() -> None:
        async with ApplicationCommunicator(fails, {"type": "test"}) as communicator:
            await asyncio.wait([communicator.future])

    async def seen() -> None:
        async with ApplicationCommunicator(fails, {"type": "test"}) as communicator:
            with pytest.raises(ValueError, match="at once"):
                await communicator.receive_output()

    async def own_error() -> None:
        async with ApplicationCommunicator(fails, {"type": "test"}) as communicator:
            await asyncio.wait([communicator.future])
            raise KeyError("the test's own")

    with pytest.raises(ValueError, match="at once"):
        run(unseen)
    run(seen)
    with pytest.raises(KeyError):
        run(own_error)


def test_a_consumer_class_is_an_application_here() -> None:
    class Consumer(AsyncConsumer):
        async def test_event(self, message: Any) -> None:
            await self.send({"type": "answer"})

    async def test() -> None:
        async with ApplicationCommunicator(Consumer, {"type": "test"}) as communicator:
            await communicator.send_input({"type": "test.event"})
            assert await communicator.receive_output() == {"type": "answer"}

    run(test)


def test_an_application_of_the_old_two_step_kind_works() -> None:
    class Old:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Any, send: Any) -> None:
            await send({"type": self.scope["type"]})

    async def test() -> None:
        assert await ApplicationCommunicator(Old, {"type": "x"}).receive_output() == {"type": "x"}

    run(test)


# -- HTTP ----------------------------------------------------------------------------


def test_a_response_is_put_together() -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"got ", "more_body": True})
        await send({"type": "http.response.body", "body": body})

    async def test() -> None:
        communicator = HttpCommunicator(
            application, "post", "/a%20b/?q=1&r=%20", body=b"data", headers=[(b"h", b"v")]
        )
        response = await communicator.get_response()
        assert response == {"status": 201, "headers": [(b"a", b"b")], "body": b"got data"}

    run(test)
    assert scopes == [
        {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/a b/",
            "query_string": b"q=1&r=%20",
            "headers": [(b"h", b"v")],
        }
    ]


def test_something_else_than_a_response_is_an_assertion_error() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def test() -> None:
        with pytest.raises(AssertionError, match="Expected type 'http.response.start', but was"):
            await HttpCommunicator(application, "GET", "/").get_response()

    run(test)


def test_arguments_of_a_wrong_type_are_refused() -> None:
    for method, path, body in ((1, "/", b""), ("GET", b"/", b""), ("GET", "/", "text")):
        with pytest.raises(TypeError):
            HttpCommunicator(echo, method, path, body)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Expected str, got"):
        WebsocketCommunicator(echo, b"/")  # type: ignore[arg-type]


# -- WebSockets ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["hello", ""])
def test_text_goes_there_and_back(text: str) -> None:
    async def test() -> None:
        async with WebsocketCommunicator(EchoConsumer, "/") as socket:
            assert await socket.connect() == (True, None)
            await socket.send_to(text_data=text)
            assert await socket.receive_from() == text

    run(test)


@pytest.mark.parametrize("data", [b"hello", b""])
def test_binary_goes_there_and_back(data: bytes) -> None:
    async def test() -> None:
        async with WebsocketCommunicator(EchoConsumer, "/") as socket:
            await socket.connect()
            await socket.send_to(bytes_data=data)
            assert await socket.receive_from() == data

    run(test)


def test_json_goes_there_and_back() -> None:
    class Json(AsyncJsonWebsocketConsumer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json({"got": content})

    async def test() -> None:
        communicator = WebsocketCommunicator(Json.as_asgi(), "/")
        connected, _ = await communicator.connect()
        assert connected
        await communicator.send_json_to({"a": [1]})
        assert await communicator.receive_json_from() == {"got": {"a": [1]}}
        await communicator.disconnect()

    run(test)


def test_the_scope_is_made_from_the_url() -> None:
    scopes: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x", b"y")]})

    async def test() -> None:
        communicator = WebsocketCommunicator(
            application,
            "ws://user:password@example.com/a%20b/?q=1",
            headers=[(b"h", b"v")],
            subprotocols=["a", "b"],
            spec_version="2.5",
        )
        assert await communicator.connect() == (True, "b")
        assert communicator.response_headers == [(b"x", b"y")]

    run(test)
    assert scopes == [
        {
            "type": "websocket",
            "path": "/a b/",
            "query_string": b"q=1",
            "headers": [(b"h", b"v")],
            "subprotocols": ["a", "b"],
            "spec_version": "2.5",
        }
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"type": "websocket.close"}, (False, 1000)),
        ({"type": "websocket.close", "code": 4001}, (False, 4001)),
        ({"type": "websocket.http.response.start", "status": 404}, (False, 404)),
        ({"type": "websocket.accept"}, (True, None)),
    ],
)
def test_connect_tells_whether_it_was_accepted(answer: Any, expected: Any) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(answer)

    async def test() -> None:
        assert await WebsocketCommunicator(application, "/").connect() == expected

    run(test)


def test_exactly_one_of_text_and_bytes_is_sent() -> None:
    async def test() -> None:
        async with WebsocketCommunicator(EchoConsumer, "/") as socket:
            await socket.connect()
            for wrong in ({}, {"text_data": "a", "bytes_data": b"b"}, {"text_data": b"a"}):
                with pytest.raises(AssertionError):
                    await socket.send_to(**wrong)  # type: ignore[arg-type]

    run(test)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"type": "websocket.close"}, "Expected type 'websocket.send', but was 'websocket.close'"),
        ({"type": "websocket.send"}, "exactly one"),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, "exactly one"),
        ({"type": "websocket.send", "text": b"a"}, "Text frame payload is not str"),
    ],
)
def test_receiving_something_else_is_an_assertion_error(event: Any, text: str) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(event)

    async def test() -> None:
        with pytest.raises(AssertionError, match=text):
            await WebsocketCommunicator(application, "/").receive_from()

    run(test)


def test_both_keys_may_be_there_if_one_is_none() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": None, "bytes": b""})
        await send({"type": "websocket.send", "text": "", "bytes": None})

    async def test() -> None:
        communicator = WebsocketCommunicator(application, "/")
        assert [await communicator.receive_from() for _ in range(2)] == [b"", ""]

    run(test)


def test_leaving_the_block_disconnects_and_the_consumer_ends() -> None:
    codes: list[Any] = []

    class Leaving(AsyncWebsocketConsumer):
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    async def test() -> None:
        async with WebsocketCommunicator(Leaving, "/") as socket:
            await socket.connect()
        assert socket.future.done()
        assert not socket.future.cancelled()
        async with WebsocketCommunicator(Leaving, "/") as socket:
            await socket.connect()
            await socket.disconnect(code=4000)

    run(test)
    assert codes == [1000, 4000]


def test_an_error_in_a_consumer_reaches_the_test(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(AsyncWebsocketConsumer):
        async def receive(self, **kwargs: Any) -> None:
            raise ValueError("in the handler")

    async def test() -> None:
        communicator = WebsocketCommunicator(Failing, "/")
        await communicator.connect()
        await communicator.send_to(text_data="x")
        with pytest.raises(ValueError, match="in the handler"):
            await communicator.receive_from(timeout=10)

    run(test)


# -- the database --------------------------------------------------------------------


class CountUsers(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=json.dumps(list(User.objects.values_list("username", flat=True))))


class CountUsersAsync(AsyncWebsocketConsumer):
    async def receive(self, **kwargs: Any) -> None:
        await self.send(text_data=json.dumps(await self.names()))

    @database_sync_to_async
    def names(self) -> list[str]:
        return list(User.objects.values_list("username", flat=True))


async def names_seen_by(consumer: Any) -> Any:
    async with WebsocketCommunicator(consumer, "/") as socket:
        await socket.connect()
        await socket.send_to(text_data="?")
        return await socket.receive_json_from()


@pytest.mark.parametrize("consumer", [CountUsers, CountUsersAsync])
def test_a_consumer_sees_the_transaction_of_a_synchronous_test(consumer: Any, db: None) -> None:
    class Undo(Exception):
        pass

    with contextlib.suppress(Undo), transaction.atomic():
        User.objects.create(username="uncommitted")
        assert async_to_sync(names_seen_by)(consumer) == ["uncommitted"]
        raise Undo
    assert not User.objects.exists()


@pytest.mark.parametrize("consumer", [CountUsers, CountUsersAsync])
def test_a_consumer_runs_where_the_blocking_calls_of_an_async_test_run(
    consumer: Any, db: None
) -> None:
    async def test() -> None:
        await sync_to_async(User.objects.create)(username="theirs")
        assert await names_seen_by(consumer) == ["theirs"]

    run(test)


def test_importing_needs_no_server() -> None:
    program = (
        "import sys, channels.testing\n"
        "loaded = [n for n in sys.modules if n.split('.')[0] in ('daphne', 'twisted')\n"
        "          or n.startswith('channels.server')]\n"
        "print(loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
    )
    assert done.stdout == "[]\n", done.stderr
