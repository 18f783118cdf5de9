"""Rows: the communicators of any application and of HTTP."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()

from tests.compat.scripted import echo, sending

from channels.testing import ApplicationCommunicator, HttpCommunicator

row = Rows()


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


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
