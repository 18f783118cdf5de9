"""Pools whose threads are told to end: they do, and whatever asks for one still gets one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from asgiref.sync import sync_to_async

from channels import pools
from channels.pools import pools_of_process
from channels.threads import Lane, lane

SECONDS = 10.0


@pytest.fixture(autouse=True)
def fresh_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pools, "_pools", {})
    monkeypatch.setenv("CHANNELS_THREADS", "3")
    before = set(threading.enumerate())
    yield
    pools_of_process().dismiss(SECONDS)
    # Threads of other tests may have ended meanwhile.
    assert set(threading.enumerate()) <= before


def use_all_threads() -> set[str]:
    together = threading.Barrier(3)

    def meet() -> str:
        together.wait(SECONDS)
        return threading.current_thread().name

    async def one() -> str:
        async with lane():
            return await sync_to_async(meet)()

    async def all_of_them() -> list[str]:
        return await asyncio.gather(one(), one(), one())

    return set(asyncio.run(all_of_them()))


def statistics() -> dict[str, int]:
    return pools_of_process().of("sockets").statistics()


def test_dismissed_threads_end_at_once_and_others_take_their_place() -> None:
    first = use_all_threads()
    pools_of_process().dismiss(SECONDS)
    assert statistics() == {"threads": 0, "idle": 0, "waiting": 0}
    second = use_all_threads()
    assert len(first | second) == 6


def test_a_thread_that_is_busy_ends_after_its_lane() -> None:
    go_on = threading.Event()
    busy = Lane()
    call = busy.submit(go_on.wait, SECONDS)
    pools_of_process().dismiss(0)
    assert statistics()["threads"] == 1
    # It is given back only at the end of its event.
    busy.end_event()
    go_on.set()
    assert call.result(SECONDS)
    pools_of_process().dismiss(SECONDS)
    assert statistics()["threads"] == 0


def test_a_call_never_waits_for_a_thread_that_was_dismissed() -> None:
    for _ in range(300):
        calls: list[Future[int]] = []
        for number in range(6):
            one = Lane()
            calls.append(one.submit(int, number))
            one.end_event()
            if number % 2:
                pools_of_process().dismiss(0)
        assert [call.result(SECONDS) for call in calls] == list(range(6))
    pools_of_process().dismiss(SECONDS)
    assert statistics() == {"threads": 0, "idle": 0, "waiting": 0}
