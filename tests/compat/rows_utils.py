"""The two functions of channels.utils, which other packages import."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, set_up_django
from tests.waiting import meanwhile

set_up_django()

from channels.consumer import StopConsumer  # noqa: E402
from channels.utils import await_many_dispatch, name_that_thing  # noqa: E402

row = Rows()


class Outer:
    class Inner:
        pass

    def method(self) -> None: ...

    @classmethod
    def of_class(cls) -> None: ...

    def __call__(self) -> None: ...


def function() -> None: ...


def named(thing: Any) -> str:
    """Without the name of this module, which is not always the same."""
    return name_that_thing(thing).replace(f"{__name__}.", "here ")


@row(upstream=["here function", "here Outer", "here Outer", "builtins.int", "functools.partial"])
def functions_classes_and_instances_have_names() -> Any:
    return [named(thing) for thing in (function, Outer, Outer(), 5, functools.partial(function))]


@row(upstream="here Inner", ours="here Outer.Inner")
def a_class_inside_another_is_named() -> Any:
    return named(Outer.Inner)


@row(upstream="here Outer", ours="here Outer.of_class")
def a_method_of_a_class_is_named() -> Any:
    return named(Outer.of_class)


@row(upstream="AttributeError", ours="here Outer.method")
def a_method_of_an_instance_is_named() -> Any:
    try:
        return named(Outer().method)
    except AttributeError as error:
        return type(error).__name__


# -- await_many_dispatch ---------------------------------------------------


def source(*items: Any) -> Any:
    """A callable whose calls return the items, one by one, and then nothing any more."""
    rest = list(items)

    async def receive() -> Any:
        if not rest:
            await asyncio.Event().wait()
        return rest.pop(0)

    return receive


def collecting(seen: list[Any], last: Any) -> Any:
    async def dispatch(message: Any) -> None:
        seen.append(message)
        if message == last:
            raise StopConsumer

    return dispatch


@row(upstream=[1, "a", 2, "b", 3])
async def what_is_ready_is_dispatched_in_the_order_of_the_sources() -> Any:
    seen: list[Any] = []
    await async_outcome(
        await_many_dispatch([source(1, 2, 3), source("a", "b")], collecting(seen, 3))
    )
    return seen


@row(upstream=[1, 2])
async def sources_may_return_futures() -> Any:
    items = [1, 2]

    def receive() -> Any:
        future = asyncio.get_running_loop().create_future()
        if items:
            future.set_result(items.pop(0))
        return future

    seen: list[Any] = []
    await async_outcome(await_many_dispatch([receive], collecting(seen, 2)))
    return seen


@row(upstream=["start 1", "end 1", "start 2", "end 2"])
async def one_dispatch_ends_before_the_next_begins() -> Any:
    seen = []

    async def dispatch(message: Any) -> None:
        seen.append(f"start {message}")
        await asyncio.sleep(0)
        seen.append(f"end {message}")
        if message == 2:
            raise StopConsumer

    await async_outcome(await_many_dispatch([source(1), source(2)], dispatch))
    return seen


@row(upstream={"raises": "StopConsumer", "says": ""})
async def an_exception_of_dispatch_comes_out() -> Any:
    return await async_outcome(await_many_dispatch([source(1)], collecting([], 1)))


@row(upstream={"raises": "KeyError", "says": "'x'"})
async def an_exception_of_a_source_comes_out() -> Any:
    async def broken() -> Any:
        raise KeyError("x")

    return await async_outcome(await_many_dispatch([broken, source()], collecting([], 1)))


async def ended_sources(end: Any, cancels: bool) -> Any:
    """Which of two waiting sources were cancelled, and had ended, when the call returned."""
    both = asyncio.Event()
    started: list[str] = []
    ended: list[str] = []

    def waiting(name: str) -> Any:
        async def receive() -> Any:
            started.append(name)
            if len(started) == 2:
                both.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        return receive

    task = asyncio.ensure_future(
        await_many_dispatch([waiting("a"), waiting("b"), end], collecting([], 1))
    )
    await both.wait()
    if cancels:
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return ended


@row(upstream=["a", "b"])
async def the_sources_are_cancelled_and_awaited_when_it_fails() -> Any:
    return await ended_sources(source(1), cancels=False)


@row(upstream=["a", "b"])
async def the_sources_are_cancelled_and_awaited_when_it_is_cancelled() -> Any:
    return await ended_sources(source(), cancels=True)


@row(upstream="StopConsumer", ours="CancelledError")
async def a_cancellation_while_it_cleans_up() -> Any:
    """Whether it is taken for that of a source, and lost."""
    cleaning = asyncio.Event()

    async def slow_to_end() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await meanwhile(0.05, "the cancellation comes while this cleans up")

    task = asyncio.ensure_future(await_many_dispatch([slow_to_end, source(1)], collecting([], 1)))
    await cleaning.wait()
    task.cancel()
    ended = (await asyncio.gather(task, return_exceptions=True))[0]
    return type(ended).__name__
