"""database_sync_to_async in each of its forms, and what others replace in it."""

from __future__ import annotations

import threading
from typing import Any

from asgiref.sync import SyncToAsync, iscoroutinefunction
from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, drive

set_up_django()

import channels.db  # noqa: E402
from channels.db import (  # noqa: E402
    DatabaseSyncToAsync,
    aclose_old_connections,
    database_sync_to_async,
)
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402

row = Rows()


def in_thread(*args: Any, **kwargs: Any) -> Any:
    here = threading.current_thread() is threading.main_thread()
    return ["the loop's thread" if here else "a thread", *args, *sorted(kwargs)]


@database_sync_to_async
def decorated(*args: Any, **kwargs: Any) -> Any:
    return in_thread(*args, **kwargs)


class Methods:
    name = "of the instance"

    @database_sync_to_async
    def method(self, one: Any) -> Any:
        return in_thread(self.name, one)

    def wrapped(self, one: Any) -> Any:
        return in_thread(self.name, one)

    @classmethod
    @database_sync_to_async
    def of_class(cls, one: Any) -> Any:
        return in_thread(cls.__name__, one)

    @staticmethod
    @database_sync_to_async
    def static(one: Any) -> Any:
        return in_thread(one)


@row(
    upstream={
        "a call": ["a thread", 1, "two"],
        "a decorated function": ["a thread", 1, "two"],
        "a lambda": ["a thread"],
        "a decorated method": ["a thread", "of the instance", 1],
        "a method, wrapped": ["a thread", "of the instance", 1],
        "a static method": ["a thread", 1],
        "insensitive": ["a thread", 1],
        "decorated with arguments": ["a thread", 1],
    }
)
async def each_form_runs_in_a_thread() -> Any:
    return {
        "a call": await database_sync_to_async(in_thread)(1, two=2),
        "a decorated function": await decorated(1, two=2),
        "a lambda": await database_sync_to_async(lambda: in_thread())(),
        "a decorated method": await Methods().method(1),
        "a method, wrapped": await database_sync_to_async(Methods().wrapped)(1),
        "a static method": await Methods.static(1),
        "insensitive": await database_sync_to_async(in_thread, thread_sensitive=False)(1),
        "decorated with arguments": await database_sync_to_async(
            in_thread, thread_sensitive=True, executor=None, context=None
        )(1),
    }


@row(upstream=[True, True, True, True])
def it_is_a_class_and_what_it_makes_counts_as_coroutine_function() -> Any:
    return [
        database_sync_to_async is DatabaseSyncToAsync,
        issubclass(DatabaseSyncToAsync, SyncToAsync),
        isinstance(decorated, DatabaseSyncToAsync),
        iscoroutinefunction(decorated),
    ]


@row(upstream="decorated")
def a_decorated_function_keeps_its_name() -> Any:
    return decorated.__name__


@row(upstream="TypeError")
def it_needs_the_function_at_once() -> Any:
    return outcome(lambda: database_sync_to_async(thread_sensitive=False))["raises"]  # type: ignore[call-overload]


@row(
    upstream={
        "raises": "TypeError",
        "says": "sync_to_async can only be applied to sync functions.",
    }
)
def a_coroutine_function_is_refused() -> Any:
    async def coroutine() -> None: ...

    return outcome(lambda: database_sync_to_async(coroutine) and None)


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def an_exception_comes_out() -> Any:
    return await async_outcome(database_sync_to_async({}.__getitem__)("x"))


@row(upstream=[["before", "after"], "result"])
async def a_subclass_may_extend_the_thread_handler() -> Any:
    seen = []

    class Traced(DatabaseSyncToAsync):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append("before")
            result = super().thread_handler(loop, *args, **kwargs)
            seen.append("after")
            return result

    result = await Traced(lambda: "result")()
    return [seen, result]


class Replaced:
    """Something with an attribute of it replaced for a while."""

    def __init__(self, place: Any, name: str, value: Any) -> None:
        self.place, self.name, self.value = place, name, value

    def __enter__(self) -> None:
        self.before = getattr(self.place, self.name)
        setattr(self.place, self.name, self.value)

    def __exit__(self, *_: object) -> None:
        setattr(self.place, self.name, self.before)


@row(upstream={"outside": 1, "in an async consumer": True, "in a sync consumer": True})
async def the_thread_handler_may_be_replaced_on_the_class() -> Any:
    """As tracing packages do. How often a sync consumer goes through it is not fixed."""
    calls = []
    plain = DatabaseSyncToAsync.thread_handler

    def traced(self: Any, loop: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return plain(self, loop, *args, **kwargs)

    class Asynchronous(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await database_sync_to_async(in_thread)()

    seen: dict[str, Any] = {}
    with Replaced(DatabaseSyncToAsync, "thread_handler", traced):
        await database_sync_to_async(in_thread)()
        seen["outside"] = len(calls)
        for name, kind in (("an async", Asynchronous), ("a sync", WebsocketConsumer)):
            calls.clear()
            await drive(kind.as_asgi(), CONNECT, DISCONNECT)
            seen[f"in {name} consumer"] = len(calls) > 0
    return seen


@row(upstream={"a call": 2, "a call that raises": 2, "aclose_old_connections": 1})
async def outside_of_scopes_old_connections_are_closed_before_and_after() -> Any:
    """Through the name in channels.db, which tests replace."""
    calls = []
    seen = {}
    with Replaced(channels.db, "close_old_connections", lambda **_: calls.append(None)):
        await database_sync_to_async(in_thread)()
        seen["a call"] = len(calls)
        calls.clear()
        await async_outcome(database_sync_to_async({}.__getitem__)("x"))
        seen["a call that raises"] = len(calls)
        calls.clear()
        await aclose_old_connections()
        seen["aclose_old_connections"] = len(calls)
    return seen


@row(upstream=True, ours=False)
async def in_a_consumer_each_call_closes_old_connections() -> Any:
    """Through the name in channels.db: a call in a handler, and the handlers themselves."""
    calls = []

    class Consumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await database_sync_to_async(in_thread)()
            await self.accept()

    with Replaced(channels.db, "close_old_connections", lambda **_: calls.append(None)):
        await drive(Consumer.as_asgi(), CONNECT, DISCONNECT)
    return len(calls) > 2


@row(upstream="a user")
async def a_query_sees_the_database() -> Any:
    from django.contrib.auth.models import User
    from django.core.management import call_command

    await database_sync_to_async(call_command)("migrate", verbosity=0)
    await database_sync_to_async(User.objects.create_user)("a user")
    seen = []

    class Consumer(WebsocketConsumer):
        def connect(self) -> None:
            seen.append(User.objects.get().username)
            self.accept()

    await drive(Consumer.as_asgi(), CONNECT, DISCONNECT)
    return seen[0]
