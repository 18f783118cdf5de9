"""Consumers: send, `as_asgi`, instances, and what runs where."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from tests.compat.behaviours import Rows, outcome, set_up_django
from tests.compat.driving import Client, drive, websocket_scope
from tests.waiting import meanwhile

set_up_django()

from tests.compat.consumers import STOP, Stoppable, SyncStoppable, echo  # noqa: E402

from channels.consumer import (  # noqa: E402
    StopConsumer,
    await_many_dispatch,
    get_channel_layer,
)

row = Rows()

# -- send ----------------------------------------------------------------


@row(upstream=[{"type": "any.thing", "of": 1}, {"type": "echo", "of": 2}])
async def send_passes_any_event_as_it_is() -> Any:
    class Consumer(Stoppable):
        async def test_first(self, message: Any) -> None:
            await self.send({"type": "any.thing", "of": 1})

    return (await drive(Consumer.as_asgi(), {"type": "test.first"}, echo(2), STOP))["sent"]


@row(upstream={"send": [1, 101], "base_send": [1, 201], "sync send": [1, 101]})
async def send_and_base_send_may_be_overridden() -> Any:
    class Sending(Stoppable):
        async def send(self, message: Any) -> None:
            await super().send(message)
            await super().send({**message, "of": message["of"] + 100})

    class BaseSending(Stoppable):
        async def test_wrap(self, message: Any) -> None:
            plain = self.base_send

            async def twice(event: Any) -> None:
                await plain(event)
                await plain({**event, "of": event["of"] + 200})

            self.base_send = twice

    class SyncSending(SyncStoppable):
        def send(self, message: Any) -> None:
            super().send(message)
            super().send({**message, "of": message["of"] + 100})

    async def sent(kind: Any, *events: Any) -> Any:
        result = await drive(kind.as_asgi(), *events, echo(1), STOP)
        return [event["of"] for event in result["sent"]]

    return {
        "send": await sent(Sending),
        "base_send": await sent(BaseSending, {"type": "test.wrap"}),
        "sync send": await sent(SyncSending),
    }


@row(upstream=["wrapped 1"])
async def a_call_may_hand_other_callables_on() -> Any:
    class Consumer(Stoppable):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def wrapped(event: Any) -> None:
                await send({**event, "of": f"wrapped {event['of']}"})

            await super().__call__(scope, receive, wrapped)

    result = await drive(Consumer.as_asgi(), echo(1), STOP)
    return [event["of"] for event in result["sent"]]


@row(upstream={"sent": [{"type": "echo", "of": 1}], "ended": "returned"})
async def a_call_may_be_replaced_by_one_that_uses_await_many_dispatch() -> Any:
    class Consumer(Stoppable):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.scope, self.base_send = scope, send
            layer = get_channel_layer()
            name = await layer.new_channel()
            sources = [receive, functools.partial(layer.receive, name)]
            try:
                await await_many_dispatch(sources, self.dispatch)
            except StopConsumer:
                pass

    return await drive(Consumer.as_asgi(), echo(1), STOP)


# -- as_asgi, and instances ----------------------------------------------


class Documented(Stoppable):
    """What it is for."""

    def __init__(self, **given: Any) -> None:
        self.given = given


@row(
    upstream={
        "consumer_class": True,
        "consumer_initkwargs": {"colour": "red"},
        "__name__": "Documented",
        "__qualname__": "Documented",
        "__module__": True,
        "__doc__": "What it is for.",
        "__wrapped__": True,
        "is a coroutine function": True,
    }
)
def an_application_tells_its_class() -> Any:
    app: Any = Documented.as_asgi(colour="red")
    return {
        "consumer_class": app.consumer_class is Documented,
        "consumer_initkwargs": app.consumer_initkwargs,
        "__name__": app.__name__,
        "__qualname__": app.__qualname__,
        "__module__": app.__module__ == __name__ or app.__module__,
        "__doc__": app.__doc__,
        "__wrapped__": app.__wrapped__ is Documented,
        "is a coroutine function": iscoroutinefunction(app),
    }


@row(upstream="TypeError")
def as_asgi_takes_keywords_only() -> Any:
    return outcome(Documented.as_asgi, 5)["raises"]


@row(upstream="TypeError")
async def a_keyword_that_the_class_does_not_take_is_an_error_at_the_call() -> Any:
    return (await drive(Stoppable.as_asgi(colour="red"), STOP))["ended"]["raises"]


@row(upstream={"instances": 2, "given": [{"a": 1}, {"a": 1}]})
async def each_scope_gets_an_instance_made_with_the_keywords() -> Any:
    made: list[Any] = []

    class Consumer(Documented):
        async def test_stop(self, message: Any) -> None:
            made.append(self)
            raise StopConsumer

    app = Consumer.as_asgi(a=1)
    for _ in range(2):
        await drive(app, STOP)
    return {"instances": len(set(map(id, made))), "given": [one.given for one in made]}


@row(upstream="result")
async def an_application_returns_what_the_call_returns() -> Any:
    class Consumer(Stoppable):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            return "result"

    return await Consumer.as_asgi()(websocket_scope(), None, None)  # type: ignore[arg-type]


@row(upstream={"sent": [{"type": "echo", "of": 1}], "ended": "returned"})
async def an_instance_is_an_application_too() -> Any:
    return await drive(Stoppable(), echo(1), STOP)


@row(
    upstream={"its path": "/x", "its list": ["/x"]},
)
async def an_instance_used_as_application_keeps_what_its_connection_left() -> Any:
    class Consumer(Stoppable):
        def __init__(self) -> None:
            self.seen: list[Any] = []
            self.path = None

        async def test_first(self, message: Any) -> None:
            self.path = self.scope["path"]
            self.seen.append(self.path)

    consumer = Consumer()
    await drive(consumer, {"type": "test.first"}, STOP, scope=websocket_scope(path="/x"))
    return {"its path": consumer.path, "its list": consumer.seen}


@row(upstream=["/second", "/second"], ours=["/first", "/second"])
async def an_instance_with_two_connections_at_once() -> Any:
    """Which path each of them believes to be its own."""
    paths: asyncio.Queue[str] = asyncio.Queue()

    class Consumer(Stoppable):
        async def test_path(self, message: Any) -> None:
            paths.put_nowait(self.scope["path"])

    consumer = Consumer()
    async with (
        Client(consumer, websocket_scope(path="/first")) as first,
        Client(consumer, websocket_scope(path="/second")) as second,
    ):
        for client in (first, second):
            client.say({"type": "test.path"})
            await paths.get()
        seen = []
        for client in (first, second):
            client.say({"type": "test.path"})
            seen.append(await paths.get())
    return seen


# -- sync ----------------------------------------------------------------


@row(upstream={"thread of the loop": False, "order": [1, 2, 3]})
async def a_sync_consumer_handles_in_order_beside_the_loop() -> Any:
    threads = set()
    order = []

    class Consumer(SyncStoppable):
        def test_step(self, message: Any) -> None:
            threads.add(threading.current_thread())
            order.append(message["step"])

    await drive(Consumer.as_asgi(), *({"type": "test.step", "step": n} for n in (1, 2, 3)), STOP)
    here = threading.current_thread() in threads
    return {"thread of the loop": here, "order": order}


@row(upstream=["sent", "accepted by the server", "handler goes on"])
async def send_of_a_sync_consumer_returns_when_the_server_has_it() -> Any:
    order: list[str] = []

    class Consumer(SyncStoppable):
        def test_first(self, message: Any) -> None:
            order.append("sent")
            self.send({"type": "any"})
            order.append("handler goes on")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def slow(event: Any) -> None:
            await meanwhile(0.02, "a send that does not wait for the server would be over")
            order.append("accepted by the server")
            await send(event)

        await Consumer.as_asgi()(scope, receive, slow)

    await drive(application, {"type": "test.first"}, STOP)
    return order


@row(upstream=["from inside", "nested"])
async def a_sync_handler_may_call_async_code_and_that_sync_code() -> Any:
    class Consumer(SyncStoppable):
        def test_first(self, message: Any) -> None:
            async_to_sync(self.channel_layer.send)(self.channel_name, echo("from inside"))

            async def outer() -> str:
                return await sync_to_async(lambda: "nested")()

            self.nested = async_to_sync(outer)()

        def test_echo(self, message: Any) -> None:
            self.send({"type": "echo", "of": message["of"]})
            self.send({"type": "echo", "of": self.nested})

    async with Client(Consumer.as_asgi()) as client:
        client.say({"type": "test.first"})
        await client.wait_for(lambda: len(client.sent) == 2)
        return [event["of"] for event in client.sent]


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def an_exception_of_a_sync_handler_comes_out() -> Any:
    class Consumer(SyncStoppable):
        def test_bad(self, message: Any) -> None:
            raise KeyError("x")

    return (await drive(Consumer.as_asgi(), {"type": "test.bad"}))["ended"]


@row(upstream=True)
def the_names_that_packages_take_from_the_module_are_the_things_themselves() -> Any:
    import channels.consumer as consumer
    import channels.db
    import channels.exceptions
    import channels.layers
    import channels.utils

    return (
        consumer.StopConsumer is channels.exceptions.StopConsumer
        and consumer.await_many_dispatch is channels.utils.await_many_dispatch
        and consumer.database_sync_to_async is channels.db.database_sync_to_async
        and consumer.aclose_old_connections is channels.db.aclose_old_connections
        and consumer.get_channel_layer is channels.layers.get_channel_layer
    )
