"""A database connection that cannot even be closed must not cost a thread of the pool."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels.connections import end_of_event, end_of_thread, start_of_event
from channels.threads import lane


class Broken:
    alias = "broken"
    queries_logged = False

    def close_if_unusable_or_obsolete(self) -> None:
        raise OSError("the server has gone away")

    close = close_if_unusable_or_obsolete


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.connections._opened", lambda: [Broken()])


@pytest.mark.parametrize("moment", [start_of_event, end_of_event, end_of_thread])
def test_a_connection_that_fails_to_close_is_logged(moment: Any, broken: None, caplog: Any) -> None:
    moment()
    assert "Closing the database connection 'broken' failed" in caplog.text


def test_a_lane_goes_on_after_a_connection_failed_to_close(broken: None) -> None:
    async def two_events() -> list[int]:
        answers = []
        async with lane() as active:
            loop = asyncio.get_running_loop()
            for number in (1, 2):
                call = loop.run_in_executor(active, lambda number=number: number)
                answers.append(await asyncio.wait_for(call, 20))
                active.end_event()
        return answers

    assert asyncio.run(two_events()) == [1, 2]
