"""A log-out while a socket opens or leaves, or that many sockets hear at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from calls import websocket_scope
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from foreign_layer import Listening
from open_sockets import CLOSED, OpenSocket, Room, key_of, log_in, run, sockets
from tests.waiting import turns_until

from channels.auth import AuthMiddleware, AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.security import announcements, watch
from channels.security.identity import digest
from channels.sessions import SessionMiddlewareStack

pytestmark = pytest.mark.usefixtures("layer")


# -- opening and leaving -----------------------------------------------------------


def test_a_socket_that_is_not_accepted_yet_is_denied(ada: User) -> None:
    client = log_in(ada)
    reached = asyncio.Event()

    class Hesitating(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            reached.set()

    async def scenario() -> None:
        socket = OpenSocket(AuthMiddlewareStack(Hesitating), key_of(client))
        opening = asyncio.create_task(socket.open())
        await reached.wait()
        await sync_to_async(client.logout)()
        await opening
        await socket.ended()
        assert socket.sent == [CLOSED]

    run(scenario())


def test_a_socket_whose_session_ended_while_it_was_opening_closes(ada: User) -> None:
    client = log_in(ada)

    class LateToTheParty(AuthMiddleware):
        """Has read the session when somebody logs out, and is registered after that."""

        async def resolve_scope(self, scope: Any) -> None:
            await super().resolve_scope(scope)
            await sync_to_async(client.logout)()

    async def scenario() -> None:
        app = SessionMiddlewareStack(LateToTheParty(Room))
        async with sockets(key_of(client), application=app) as (late,):
            await late.ended()
            assert late.closed

    run(scenario())


def test_an_ended_session_is_remembered_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(announcements.time, "monotonic", lambda: now)
    monkeypatch.setattr(announcements, "_ended", {})
    for number in range(20_000):
        announcements.remember_ended(str(number))
    assert announcements.has_just_ended("19999")
    assert not announcements.has_just_ended("1")
    assert len(announcements._ended) == announcements.REMEMBERED_SESSIONS
    now += announcements.REMEMBERED_SECONDS + 1
    assert not announcements.has_just_ended("19999")
    for number in range(10_000):
        announcements.remember_ended(f"later {number}")
    assert "19999" not in announcements._ended


def test_who_is_cancelled_while_leaving_leaves_no_tasks(ada: User, foreign: Listening) -> None:
    async def scenario() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        async def stubborn() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                leaving.set()
                await go_on.wait()

        leaving, go_on = asyncio.Event(), asyncio.Event()
        one = OpenSocket(AuthMiddlewareStack(app), key_of(await sync_to_async(log_in)(ada)))
        begun = asyncio.get_running_loop().create_task(
            one._application(one.scope, one._events.get, one.send)
        )
        await turns_until(watch.registered)
        watched = watch.registered()[0]
        watched.closing = asyncio.get_running_loop().create_task(stubborn())
        await foreign.joined.wait()
        one.leave()
        await leaving.wait()
        begun.cancel()
        await asyncio.wait([begun])
        go_on.set()
        await watched.closing

    run(scenario())


def test_a_foreign_layer_that_hangs_holds_nobody_up(ada: User, foreign: Listening) -> None:
    client = log_in(ada)

    async def hanging(*args: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def scenario() -> None:
        foreign.group_add = hanging  # type: ignore[method-assign]
        began = time.monotonic()
        async with sockets(key_of(client)):
            assert len(watch.registered()) == 1
        assert time.monotonic() - began < 2

    run(scenario())


# -- closing many ------------------------------------------------------------------


class Door:
    """A connection's `send` that may stick."""

    def __init__(self, error: Exception | None = None, stuck: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self.error, self.stuck = error, stuck

    async def __call__(self, message: dict[str, Any]) -> None:
        if self.stuck:
            await asyncio.get_running_loop().create_future()
        if self.error is not None:
            raise self.error
        self.sent.append(message)


def scope_for(user: User, session: SessionStore) -> dict[str, Any]:
    return websocket_scope("/room/", user=user, session=session)


def test_a_slow_client_holds_up_nobody_and_no_error_stays_silent_but_a_gone_client(
    ada: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CLOSE_SECONDS", 0.05)
    session = SessionStore(key_of(log_in(ada)))
    session.load()
    session.get("_auth_user_id")
    doors = [Door(stuck=True), Door(BrokenPipeError()), Door(ValueError("strange")), Door()]

    async def scenario() -> None:
        registry = watch._registry()
        those = [watch.Watched(scope_for(ada, session), door) for door in doors]
        for one in those:
            registry.add(one)
            registry.identify(one, watch.identity_of(scope_for(ada, session)))
        await registry.logged_out(digest(str(session.session_key)))
        await asyncio.wait([one.closing for one in those if one.closing is not None])
        for one in those:
            await registry.leave(one)

    run(scenario())
    assert doors[-1].sent == [CLOSED]
    messages = [r.getMessage() for r in caplog.records if r.name == "channels.security"]
    assert len(messages) == 2
    assert "could not be closed" in messages[0]
    assert "does not take its close" in messages[1]


def closing_time(user: User, session: SessionStore, count: int) -> tuple[float, float]:
    """The seconds it takes to close `count` sockets, and the longest that nothing else ran."""
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            ticks.append(time.perf_counter())
            await asyncio.sleep(0)

    async def scenario() -> float:
        registry = watch._registry()
        door = Door()
        scope = scope_for(user, session)
        those = [watch.Watched(scope, door) for _ in range(count)]
        for one in those:
            registry.add(one)
            registry.identify(one, watch.identity_of(scope))
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        began = time.perf_counter()
        await registry.logged_out(digest(str(session.session_key)))
        await asyncio.wait([one.closing for one in those if one.closing is not None])
        spent = time.perf_counter() - began
        ticking.cancel()
        await asyncio.wait([ticking])
        assert len(door.sent) == count
        for one in those:
            await registry.leave(one)
        return spent

    spent = run(scenario())
    return spent, max(b - a for a, b in zip(ticks, ticks[1:], strict=False))


def test_closing_takes_time_in_proportion_and_lets_others_run(ada: User) -> None:
    session = SessionStore(key_of(log_in(ada)))
    session.get("_auth_user_id")
    few = min(closing_time(ada, session, 500)[0] for _ in range(3))
    many, pause = min(closing_time(ada, session, 4000) for _ in range(3))
    # Eight times as many; a quadratic loop would take 64 times as long.
    assert many < 24 * few
    assert pause < 0.1
