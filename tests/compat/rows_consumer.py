"""Consumers: the names of handlers, the order of what a call does, dispatch, the end."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from typing import Any

from django.test.utils import override_settings
from tests.compat.behaviours import Rows, outcome, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, Client, drive, websocket_scope

set_up_django()

from tests.compat.consumers import STOP, Stoppable, SyncStoppable, echo  # noqa: E402

from channels.consumer import (  # noqa: E402
    StopConsumer,
    get_channel_layer,
    get_handler_name,
)
from channels.layers import InMemoryChannelLayer, channel_layers  # noqa: E402

row = Rows()

OWN_NAMES = {"scope", "channel_layer", "channel_name", "channel_receive", "base_send"}


# -- get_handler_name ----------------------------------------------------


@row(upstream=["chat_message", "a_b_c", "a_b", "", "chat_", "UPPER", "a-b"])
def a_type_names_its_handler() -> Any:
    types = ("chat.message", "a.b.c", "a_b", "", "chat.", "UPPER", "a-b")
    return [get_handler_name({"type": type_}) for type_ in types]


@row(upstream={"raises": "ValueError", "says": "Incoming message has no 'type' attribute"})
def a_message_without_a_type() -> Any:
    return outcome(get_handler_name, {})


MALFORMED = {"raises": "ValueError", "says": "Malformed type in message (leading underscore)"}


@row(upstream=[MALFORMED, MALFORMED])
def a_type_with_a_leading_underscore_or_dot() -> Any:
    return [outcome(get_handler_name, {"type": type_}) for type_ in ("_private", ".private")]


@row(upstream="AttributeError", ours="ValueError")
def a_type_that_is_no_text() -> Any:
    return outcome(get_handler_name, {"type": 5})["raises"]


@row(
    upstream="layer_reconnected",
    ours={
        "raises": "ValueError",
        "says": "'layer.reconnected' is no type to send: the layer calls layer_reconnected()",
    },
)
def a_type_named_layer_reconnected() -> Any:
    return outcome(get_handler_name, {"type": "layer.reconnected"})


# -- the call ------------------------------------------------------------


@row(
    upstream={
        "before": [],
        "in the handler": [
            "base_send",
            "channel_layer",
            "channel_name",
            "channel_receive",
            "scope",
        ],
    }
)
async def what_a_consumer_has_when_its_first_handler_runs() -> Any:
    seen: dict[str, Any] = {}

    class Consumer(Stoppable):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen["before"] = [name for name in OWN_NAMES if hasattr(self, name)]
            await super().__call__(scope, receive, send)

        async def test_first(self, message: Any) -> None:
            seen["in the handler"] = {name for name in OWN_NAMES if hasattr(self, name)}

    await drive(Consumer.as_asgi(), {"type": "test.first"}, STOP)
    return seen


@row(upstream={"the scope": True, "the layer": True, "receives from": True, "its name": True})
async def what_a_consumer_has_is_the_very_thing() -> Any:
    seen = {}
    scope = websocket_scope()

    class Consumer(Stoppable):
        async def test_first(self, message: Any) -> None:
            receive = self.channel_receive
            seen["the scope"] = self.scope is scope
            seen["the layer"] = self.channel_layer is get_channel_layer()
            seen["receives from"] = receive.func == self.channel_layer.receive
            seen["its name"] = receive.args == (self.channel_name,)

    await drive(Consumer.as_asgi(), {"type": "test.first"}, STOP, scope=scope)
    return seen


@row(upstream=["channel_layer"])
async def without_a_layer_there_is_no_channel_name_and_no_channel_receive() -> Any:
    seen = []

    class Consumer(Stoppable):
        async def test_first(self, message: Any) -> None:
            names = ("channel_layer", "channel_name", "channel_receive")
            seen.extend(name for name in names if hasattr(self, name))
            assert self.channel_layer is None

    with override_settings(CHANNEL_LAYERS={}):
        await drive(Consumer.as_asgi(), {"type": "test.first"}, STOP)
    return seen


@row(upstream=True)
async def an_alias_names_the_layer_of_a_class() -> Any:
    other = InMemoryChannelLayer()
    seen = []

    class Consumer(Stoppable):
        channel_layer_alias = "other"

        async def test_first(self, message: Any) -> None:
            seen.append(self.channel_layer is other)

    channel_layers.set("other", other)
    await drive(Consumer.as_asgi(), {"type": "test.first"}, STOP)
    return seen[0]


@row(upstream=None)
async def an_alias_that_no_layer_has_means_none() -> Any:
    seen = []

    class Consumer(Stoppable):
        channel_layer_alias = "nobody"

        async def test_first(self, message: Any) -> None:
            seen.append(self.channel_layer)

    await drive(Consumer.as_asgi(), {"type": "test.first"}, STOP)
    return seen[0]


@row(upstream=["start 1", "end 1", "start 2", "end 2", "start 3", "end 3"])
async def events_are_handled_one_at_a_time_and_in_order() -> Any:
    seen = []

    class Consumer(Stoppable):
        async def test_step(self, message: Any) -> None:
            seen.append(f"start {message['step']}")
            for _ in range(3):
                await asyncio.sleep(0)
            seen.append(f"end {message['step']}")

    await drive(Consumer.as_asgi(), *({"type": "test.step", "step": n} for n in (1, 2, 3)), STOP)
    return seen


@row(upstream=["set in connect", None])
async def context_variables_last_from_handler_to_handler_and_stay_inside() -> Any:
    variable = contextvars.ContextVar[Any]("variable", default=None)
    seen = []

    class Consumer(Stoppable):
        async def test_set(self, message: Any) -> None:
            variable.set("set in connect")

        async def test_get(self, message: Any) -> None:
            seen.append(variable.get())

    await drive(Consumer.as_asgi(), {"type": "test.set"}, {"type": "test.get"}, STOP)
    return [*seen, variable.get()]


@row(upstream={"sent": [], "ended": {"raises": "OSError", "says": "the socket broke"}})
async def an_exception_of_receive_comes_out() -> Any:
    async def receive() -> Any:
        raise OSError("the socket broke")

    async def application(scope: Any, _: Any, send: Any) -> Any:
        return await Stoppable.as_asgi()(scope, receive, send)

    return await drive(application)


def receive_as_partial(events: Any) -> Any:
    async def receive(queue: Any) -> Any:
        return await queue.get()

    return functools.partial(receive, events)


def receive_as_future(events: Any) -> Any:
    return lambda: asyncio.ensure_future(events.get())


@row(
    upstream={
        "async partial": ["a"],
        "async future": ["a"],
        "sync partial": ["a"],
        "sync future": ["a"],
    }
)
async def receive_may_be_any_callable_that_returns_an_awaitable() -> Any:
    seen = {}
    for colour, kind in (("async", Stoppable), ("sync", SyncStoppable)):
        for name, made in (("partial", receive_as_partial), ("future", receive_as_future)):
            events: Any = asyncio.Queue()
            sent: list[Any] = []
            for event in (echo("a"), STOP):
                events.put_nowait(event)

            async def send(event: Any, sent: Any = sent) -> None:
                sent.append(event["of"])

            await kind()(websocket_scope(), made(events), send)
            seen[f"{colour} {name}"] = sent
    return seen


@row(upstream=["a"])
async def send_may_be_a_callable_that_returns_a_future() -> Any:
    events: Any = asyncio.Queue()
    sent: list[Any] = []

    def send(event: Any) -> Any:
        sent.append(event["of"])
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    for event in (echo("a"), STOP):
        events.put_nowait(event)
    await Stoppable()(websocket_scope(), events.get, send)
    return sent


# -- how it ends ---------------------------------------------------------


class Telling(Stoppable):
    """Tells of its end, in a group that outlives it."""

    told: list[Any] = []

    async def websocket_connect(self, message: Any) -> None:
        await self.channel_layer.group_add("row-told", self.channel_name)

    async def test_bad(self, message: Any) -> None:
        raise KeyError("x")

    async def websocket_disconnect(self, message: Any) -> None:
        type(self).told.append(message["code"])
        raise StopConsumer


async def told(*events: Any) -> Any:
    Telling.told = []
    ended = (await drive(Telling.as_asgi(), CONNECT, *events))["ended"]
    left = "row-told" not in get_channel_layer().groups
    return {"ended": ended, "told": Telling.told, "left the group": left}


KEY_ERROR = {"raises": "KeyError", "says": "'x'"}


@row(
    upstream={"ended": KEY_ERROR, "told": [], "left the group": False},
    ours={"ended": KEY_ERROR, "told": [1011], "left the group": True},
)
async def a_handler_that_raises_ends_the_consumer() -> Any:
    return await told({"type": "test.bad"})


@row(
    upstream={"ended": "returned", "told": [], "left the group": False},
    ours={"ended": "returned", "told": [1006], "left the group": True},
)
async def a_consumer_that_stops_by_itself() -> Any:
    return await told(STOP)


@row(
    upstream={"ended": "returned", "told": [1001], "left the group": False},
    ours={"ended": "returned", "told": [1001], "left the group": True},
)
async def a_consumer_whose_client_leaves() -> Any:
    """What the base class does not leave, and the handler forgot."""
    return await told(DISCONNECT)


@row(upstream={"async": "cancelled, 0 tasks left", "sync": "cancelled, 0 tasks left"})
async def a_cancelled_consumer_ends_as_cancelled_and_leaves_no_task() -> Any:
    seen = {}
    for colour, kind in (("async", Stoppable), ("sync", SyncStoppable)):
        before = asyncio.all_tasks()
        async with Client(kind.as_asgi()) as client:
            client.say(echo(1))
            await client.wait_for(lambda client=client: client.sent)
            task = client.task
            task.cancel()
            await asyncio.wait([task])
            left = len(asyncio.all_tasks() - before)
            ended = "cancelled" if task.cancelled() else "not cancelled"
            seen[colour] = f"{ended}, {left} tasks left"
    return seen


@row(upstream=[1, 2])
async def what_came_before_a_disconnect_is_handled_and_what_follows_a_stop_is_not() -> Any:
    class Consumer(Stoppable):
        async def websocket_disconnect(self, message: Any) -> None:
            raise StopConsumer

    first = await drive(Consumer.as_asgi(), echo(1), DISCONNECT)
    second = await drive(Consumer.as_asgi(), echo(2), STOP, echo("lost"))
    return [event["of"] for event in (*first["sent"], *second["sent"])]
