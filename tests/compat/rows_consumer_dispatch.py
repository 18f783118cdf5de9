"""Consumers: how events and messages of the layer find their handlers."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any

from tests.compat.behaviours import Rows, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, Client, drive

set_up_django()

from tests.compat.consumers import STOP, Stoppable, SyncStoppable, echo, no_handler  # noqa: E402

from channels.consumer import (  # noqa: E402
    StopConsumer,
    SyncConsumer,
    database_sync_to_async,
    get_channel_layer,
    get_handler_name,
)
from channels.db import DatabaseSyncToAsync  # noqa: E402

row = Rows()

# -- dispatch ------------------------------------------------------------


@row(upstream={"async": no_handler("test.unknown"), "sync": no_handler("test.unknown")})
async def an_event_of_the_client_without_a_handler() -> Any:
    unknown = {"type": "test.unknown"}
    return {
        "async": (await drive(Stoppable.as_asgi(), unknown))["ended"],
        "sync": (await drive(SyncStoppable.as_asgi(), unknown))["ended"],
    }


@row(upstream=no_handler(""))
async def an_empty_type_has_no_handler() -> Any:
    return (await drive(Stoppable.as_asgi(), {"type": ""}))["ended"]


@row(upstream="TypeError", ours="ValueError")
async def an_event_of_the_client_that_names_what_is_no_method() -> Any:
    return (await drive(Stoppable.as_asgi(), {"type": "scope"}))["ended"]["raises"]


@row(upstream=no_handler("test.nothing"))
async def a_handler_set_to_none_is_none() -> Any:
    class Consumer(Stoppable):
        test_nothing = None

    return (await drive(Consumer.as_asgi(), {"type": "test.nothing"}))["ended"]


@row(upstream=no_handler("websocket.disconnect"), ours="returned")
async def a_disconnect_without_a_handler() -> Any:
    return (await drive(Stoppable.as_asgi(), DISCONNECT))["ended"]


@row(upstream="ValueError")
async def a_scope_of_lifespan() -> Any:
    seen = await drive(
        Stoppable.as_asgi(), {"type": "lifespan.startup"}, scope={"type": "lifespan"}
    )
    return seen["ended"]["raises"]


class Bound:
    """Binds a handler as a function does, by hand."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        async def handler(message: Any) -> None:
            self.log.append(f"{type(instance).__name__} {message['type']}")

        return handler


@row(upstream=["Consumer test.bound", "partial 5 test.partial", "own test.own", "any test_any"])
async def handlers_may_be_bound_in_any_way() -> Any:
    """By a descriptor, as partialmethod, as an attribute of the instance, by __getattr__."""
    seen: list[str] = []

    class Consumer(Stoppable):
        test_bound = Bound(seen)

        def __init__(self) -> None:
            async def own(message: Any) -> None:
                seen.append(f"own {message['type']}")

            self.test_own = own

        async def number(self, number: int, message: Any) -> None:
            seen.append(f"partial {number} {message['type']}")

        test_partial = functools.partialmethod(number, 5)

        def __getattr__(self, name: str) -> Any:
            if name != "test_any":
                raise AttributeError(name)

            async def handler(message: Any) -> None:
                seen.append(f"any {name}")

            return handler

    events = ({"type": f"test.{name}"} for name in ("bound", "partial", "own", "any"))
    await drive(Consumer.as_asgi(), *events, STOP)
    return seen


@row(upstream=["bound", "static", "class"])
async def handlers_of_a_sync_consumer_may_be_bound_in_any_way() -> Any:
    seen: list[str] = []

    class Sign:
        def __get__(self, instance: Any, owner: Any = None) -> Any:
            return lambda message: seen.append("bound")

    class Consumer(SyncStoppable):
        test_bound = Sign()

        @staticmethod
        def test_static(message: Any) -> None:
            seen.append("static")

        @classmethod
        def test_class(cls, message: Any) -> None:
            seen.append("class")

    events = ({"type": f"test.{name}"} for name in ("bound", "static", "class"))
    await drive(Consumer.as_asgi(), *events, STOP)
    return seen


@row(upstream=["handled in a thread", "wrapped"])
async def handlers_may_be_decorated_with_database_sync_to_async_or_wrapped() -> Any:
    seen = []

    def noted(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(self: Any, message: Any) -> Any:
            seen.append("wrapped")
            return await function(self, message)

        return wrapper

    class Consumer(Stoppable):
        @database_sync_to_async
        def test_blocking(self, message: Any) -> None:
            here = threading.current_thread() is not threading.main_thread()
            seen.append("handled in a thread" if here else "handled in the loop's")

        @noted
        async def test_wrapped(self, message: Any) -> None:
            pass

    await drive(Consumer.as_asgi(), {"type": "test.blocking"}, {"type": "test.wrapped"}, STOP)
    return seen


@row(upstream={"ended": "returned", "seen": ["test.echo", "test.stop"], "sent": [1]})
async def dispatch_may_be_overridden() -> Any:
    seen = []

    class Consumer(Stoppable):
        async def dispatch(self, message: Any) -> None:
            seen.append(message["type"])
            await super().dispatch(message)

    result = await drive(Consumer.as_asgi(), echo(1), STOP)
    return {"seen": seen, "ended": result["ended"], "sent": [e["of"] for e in result["sent"]]}


@row(upstream={"seen": ["KeyError", "test.stop"], "ended": "returned"})
async def a_dispatch_that_catches_exceptions_keeps_the_consumer_going() -> Any:
    seen = []

    class Consumer(Stoppable):
        async def dispatch(self, message: Any) -> None:
            try:
                await super().dispatch(message)
            except KeyError:
                seen.append("KeyError")

        async def test_bad(self, message: Any) -> None:
            raise KeyError

        async def test_stop(self, message: Any) -> None:
            seen.append("test.stop")
            raise StopConsumer

    ended = (await drive(Consumer.as_asgi(), {"type": "test.bad"}, STOP))["ended"]
    return {"seen": seen, "ended": ended}


@row(
    upstream={
        "a coroutine function": ["before test.echo", "before test.stop"],
        "decorated": ["inside test.echo", "inside test.stop"],
    }
)
async def dispatch_of_a_sync_consumer_may_be_overridden() -> Any:
    seen: dict[str, list[str]] = {"a coroutine function": [], "decorated": []}

    class Around(SyncStoppable):
        async def dispatch(self, message: Any) -> None:
            seen["a coroutine function"].append(f"before {message['type']}")
            await super().dispatch(message)

    class Inside(SyncStoppable):
        @database_sync_to_async
        def dispatch(self, message: Any) -> None:
            seen["decorated"].append(f"inside {message['type']}")
            getattr(self, get_handler_name(message))(message)

    await drive(Around.as_asgi(), echo(1), STOP)
    await drive(Inside.as_asgi(), echo(1), STOP)
    return seen


@row(upstream=True)
def dispatch_of_a_sync_consumer_is_a_descriptor() -> Any:
    return isinstance(inspect.getattr_static(SyncConsumer, "dispatch"), DatabaseSyncToAsync)


@row(upstream=2, ours=0)
async def old_connections_are_looked_after_before_each_event() -> Any:
    """How often, for two events that have nothing to do with the database."""
    import channels.consumer as module

    calls = []
    before = module.aclose_old_connections

    async def noted() -> None:
        calls.append(None)

    module.aclose_old_connections = noted
    try:
        await drive(Stoppable.as_asgi(), echo(1), STOP)
    finally:
        module.aclose_old_connections = before
    return len(calls)


# -- messages of the layer -----------------------------------------------


async def hearing_from_the_layer(kind: Any, *messages: Any) -> Any:
    """What becomes of a consumer of which the layer wants something; then it hears `echo`."""
    names: list[str] = []

    class Consumer(kind):
        async def websocket_connect(self, message: Any) -> None:
            names.append(self.channel_name)
            await self.base_send({"type": "connected"})

    async with Client(Consumer.as_asgi()) as client:
        client.say(CONNECT)
        await client.wait_for(lambda: client.sent)
        for message in (*messages, echo("after")):
            await get_channel_layer().send(names[0], message)
        await client.wait_for(lambda: client.sent[-1].get("of") == "after")
        ended = await client.ending(0.05)
        return {"sent": client.sent[1:], "ended": ended}


AFTER = {"type": "echo", "of": "after"}


@row(
    upstream={
        "sent": [{"type": "echo", "of": 1}, {"type": "echo", "of": 2}, AFTER],
        "ended": "goes on",
    }
)
async def messages_of_the_layer_come_in_order() -> Any:
    return await hearing_from_the_layer(Stoppable, echo(1), echo(2))


@row(
    upstream={"sent": [], "ended": no_handler("room.unknown")},
    ours={"sent": [AFTER], "ended": "goes on"},
)
async def a_layer_message_of_an_unknown_type() -> Any:
    return await hearing_from_the_layer(Stoppable, {"type": "room.unknown"})


@row(upstream="TypeError", ours="goes on")
async def a_layer_message_that_names_the_scope() -> Any:
    seen = await hearing_from_the_layer(Stoppable, {"type": "scope"})
    return seen["ended"] if isinstance(seen["ended"], str) else seen["ended"]["raises"]


@row(
    upstream={"sent": [{"type": "send", "text": "x"}, AFTER], "ended": "goes on"},
    ours={"sent": [AFTER], "ended": "goes on"},
)
async def a_layer_message_that_names_send() -> Any:
    return await hearing_from_the_layer(Stoppable, {"type": "send", "text": "x"})


@row(
    upstream={"sent": [], "ended": "returned"},
    ours={"sent": [AFTER], "ended": "goes on"},
)
async def a_layer_message_that_speaks_for_the_client() -> Any:
    class Consumer(Stoppable):
        async def websocket_disconnect(self, message: Any) -> None:
            raise StopConsumer

    return await hearing_from_the_layer(Consumer, DISCONNECT)


@row(upstream={"sent": [], "ended": {"raises": "KeyError", "says": "'x'"}})
async def a_handler_of_a_layer_message_that_raises() -> Any:
    class Consumer(Stoppable):
        async def room_bad(self, message: Any) -> None:
            raise KeyError("x")

    return await hearing_from_the_layer(Consumer, {"type": "room.bad"})


@row(upstream={"sent": [], "ended": "returned"})
async def a_handler_of_a_layer_message_may_stop_the_consumer() -> Any:
    return await hearing_from_the_layer(Stoppable, STOP)


@row(upstream=["from myself"])
async def a_consumer_hears_what_it_sends_to_itself() -> Any:
    class Consumer(Stoppable):
        async def websocket_connect(self, message: Any) -> None:
            await self.channel_layer.group_add("row-self", self.channel_name)
            await self.channel_layer.group_send("row-self", echo("from myself"))

    async with Client(Consumer.as_asgi()) as client:
        client.say(CONNECT)
        await client.wait_for(lambda: client.sent)
        return [event["of"] for event in client.sent]
