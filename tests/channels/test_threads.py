"""Lanes: order within a scope, side by side across scopes, one thread per event."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from channels import pools
from channels.db import database_sync_to_async
from channels.mailbox import Mailbox
from channels.pools import pools_of_process
from channels.threads import current_lane, in_lane, lane, test_lane


@pytest.fixture(autouse=True)
def fresh_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pools of this test alone; their threads end as soon as they are idle."""
    monkeypatch.setattr(pools, "_pools", {})
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.05)
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("channels-"):
            thread.join(timeout=5)
            assert not thread.is_alive(), f"{thread.name} did not end"


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


def test_calls_of_one_lane_run_in_order_on_one_thread() -> None:
    seen: list[tuple[int, str]] = []

    async def scope() -> None:
        async with lane():
            calls = [
                sync_to_async(lambda n=n: seen.append((n, threading.current_thread().name)))()
                for n in range(20)
            ]
            await asyncio.gather(*calls)

    run(scope)
    assert [number for number, _ in seen] == list(range(20))
    assert len({name for _, name in seen}) == 1


def test_lanes_run_side_by_side_up_to_the_size_of_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHANNELS_THREADS", "4")
    together = threading.Barrier(4, timeout=10)

    async def scope() -> None:
        async with lane():
            await sync_to_async(together.wait)()

    async def test() -> dict[str, int]:
        # Eight lanes, four at a time: the barrier opens twice, or times out.
        await asyncio.gather(*(scope() for _ in range(8)))
        return pools_of_process().of("sockets").statistics()

    assert run(test)["threads"] <= 4


def test_an_event_keeps_its_thread_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNELS_THREADS", "1")
    order: list[str] = []

    async def test() -> None:
        held = asyncio.Event()

        async def first() -> None:
            async with lane():
                await sync_to_async(order.append)("first 1")
                held.set()
                await asyncio.sleep(0)
                await sync_to_async(order.append)("first 2")

        async def second() -> None:
            await held.wait()
            async with lane():
                await sync_to_async(order.append)("second")

        await asyncio.gather(first(), second())

    run(test)
    assert order == ["first 1", "first 2", "second"]


def test_between_events_a_lane_holds_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNELS_THREADS", "1")

    async def test() -> None:
        async with lane() as outer:
            await sync_to_async(lambda: None)()
            assert outer.open
            outer.end_event()
            other = contextvars.Context()
            # Would wait for ever if the only thread were still held.
            await asyncio.get_running_loop().create_task(one_call(), context=other)

    async def one_call() -> None:
        async with lane():
            await sync_to_async(lambda: None)()

    run(test)


def test_the_calls_of_the_next_event_wait_for_those_of_the_last() -> None:
    gate = threading.Event()
    order: list[str] = []

    def slow() -> None:
        gate.wait(10)
        order.append("slow")

    async def test() -> None:
        async with lane() as active:
            first = asyncio.ensure_future(sync_to_async(slow)())
            await asyncio.sleep(0)
            active.end_event()
            second = asyncio.ensure_future(sync_to_async(order.append)("next"))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(first, second)

    run(test)
    assert order == ["slow", "next"]


def test_a_cancelled_call_keeps_the_lane_busy_until_its_thread_is_done() -> None:
    gate, started = threading.Event(), threading.Event()
    order: list[str] = []

    def slow() -> None:
        started.set()
        gate.wait(10)
        order.append("slow")

    async def test() -> None:
        async with lane():
            call = asyncio.ensure_future(sync_to_async(slow)())
            await asyncio.to_thread(started.wait, 10)
            call.cancel()
            behind = asyncio.ensure_future(sync_to_async(order.append)("behind"))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(call, behind, return_exceptions=True)

    run(test)
    assert order == ["slow", "behind"]


def test_nested_sync_and_async_calls_come_back_to_the_same_thread() -> None:
    names: list[str] = []

    def note() -> None:
        names.append(threading.current_thread().name)

    async def middle() -> None:
        await sync_to_async(note)()

    def outer() -> None:
        note()
        async_to_sync(middle)()
        note()

    async def test() -> None:
        async with lane():
            await sync_to_async(outer)()

    run(test)
    assert len(names) == 3
    assert len(set(names)) == 1


def test_entering_a_lane_again_changes_nothing() -> None:
    async def test() -> bool:
        async with lane() as outer, lane() as inner:
            return outer is inner is current_lane()

    assert run(test)
    assert current_lane() is None


def test_a_view_inside_a_socket_router_uses_the_pool_of_the_views() -> None:
    async def test() -> tuple[str, str]:
        async with lane("sockets"):
            async with lane("views"):
                inside = await sync_to_async(lambda: threading.current_thread().name)()
            outside = await sync_to_async(lambda: threading.current_thread().name)()
        return inside, outside

    inside, outside = run(test)
    assert inside.startswith("channels-views-")
    assert outside.startswith("channels-sockets-")


def test_context_variables_set_in_a_thread_are_seen_by_the_scope_and_no_other() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def scope(value: str) -> str:
        async with lane():
            await sync_to_async(variable.set)(value)
            await asyncio.sleep(0)
            return variable.get()

    async def test() -> list[str]:
        values = await asyncio.gather(*(scope(str(number)) for number in range(10)))
        assert variable.get() == "unset"
        return list(values)

    assert run(test) == [str(number) for number in range(10)]


def test_a_call_that_waits_long_is_reported_with_what_the_threads_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CHANNELS_THREADS", "1")
    monkeypatch.setattr(pools, "SLOW_WAIT_SECONDS", 0.01)
    gate = threading.Event()

    def a_slow_query() -> None:
        gate.wait(10)

    async def scope(label: str, call: Callable[[], None]) -> None:
        async with lane(label=label):
            await sync_to_async(call)()

    async def test() -> None:
        logged = asyncio.Event()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(
            pools.logger,
            "warning",
            lambda *args: (lines.append(args[0] % args[1:]), logged.set()),
        )
        holder = loop.create_task(scope("the holder", a_slow_query))
        waiter = loop.create_task(scope("the one who waits", lambda: None))
        await logged.wait()
        gate.set()
        await asyncio.gather(holder, waiter)

    lines: list[str] = []
    run(test)
    assert len(lines) == 1
    assert lines[0].startswith("the one who waits has waited")
    assert "1 threads of the sockets pool (CHANNELS_THREADS" in lines[0]
    assert "the holder" in lines[0]
    assert "a_slow_query" in lines[0]


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_a_wrong_pool_size_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CHANNELS_THREADS", text)
    with pytest.raises(ValueError, match=f"CHANNELS_THREADS must be .* it is '{text}'"):
        pools.pool_size("sockets")


def test_idle_threads_end_and_new_ones_take_their_place() -> None:
    async def one_call() -> str:
        async with lane():
            return await sync_to_async(lambda: threading.current_thread().name)()

    # Pools of other tests have threads of the same names.
    before = set(threading.enumerate())
    first = run(one_call)
    for thread in set(threading.enumerate()) - before:
        if thread.name == first:
            thread.join(timeout=5)
    assert pools_of_process().of("sockets").statistics()["threads"] == 0
    assert run(one_call) != first


def test_an_application_called_by_sync_code_uses_the_thread_of_its_caller() -> None:
    async def application() -> str:
        async with lane():
            return await sync_to_async(lambda: threading.current_thread().name)()

    assert async_to_sync(application)() == threading.current_thread().name


def test_in_a_test_lane_an_application_shares_the_thread_of_the_tests_own_calls() -> None:
    async def application() -> str:
        async with lane():
            return await sync_to_async(lambda: threading.current_thread().name)()

    async def test() -> tuple[str, str]:
        own = await sync_to_async(lambda: threading.current_thread().name)()
        with test_lane():
            task = asyncio.get_running_loop().create_task(application())
        return own, await task

    own, applications = run(test)
    assert own == applications


def test_database_calls_in_a_lane_are_looked_after_at_the_end_of_the_event_only(
    db: None,
) -> None:
    from django.db import connection

    def query() -> tuple[int, bool]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return id(connection.connection), in_lane()

    async def test() -> None:
        async with lane() as active:
            first, inside = await database_sync_to_async(query)()
            second, _ = await database_sync_to_async(query)()
            assert inside
            assert first == second
            active.end_event()
            # CONN_MAX_AGE is 0 in the settings: the next event finds it closed.
            closed = await sync_to_async(lambda: connection.connection is None)()
            assert closed

    run(test)


def test_a_consumer_within_a_handler_gets_a_thread_when_the_handlers_have_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHANNELS_THREADS", "2")
    all_have_one = asyncio.Barrier(2)

    async def inner() -> str:
        async with lane(alone=True):
            return await database_sync_to_async(lambda: threading.current_thread().name)()

    async def outer() -> tuple[str, str]:
        async with lane(alone=True) as active:
            active.reader = Mailbox(asyncio.get_running_loop())
            own = await database_sync_to_async(lambda: threading.current_thread().name)()
            await all_have_one.wait()
            inners = await inner()
            again = await database_sync_to_async(lambda: threading.current_thread().name)()
            assert again == own
            return own, inners

    async def test() -> list[tuple[str, str]]:
        return await asyncio.gather(outer(), outer())

    names = [name for pair in run(test) for name in pair]
    assert len(set(names)) == 4 or names[1] == names[3] == "channels-within"
    assert pools_of_process().of("sockets").statistics()["threads"] <= 2


def test_a_stop_iteration_of_blocking_code_is_an_error_and_not_a_wait_for_ever() -> None:
    def find() -> str:
        return next(name for name in ("ada",) if name == "grace")

    async def test() -> None:
        for in_a_lane in (True, False):
            async with lane() if in_a_lane else contextlib.nullcontext():
                with pytest.raises(RuntimeError, match="raised StopIteration") as caught:
                    await database_sync_to_async(find)()
                assert isinstance(caught.value.__cause__, StopIteration)

    run(test)
