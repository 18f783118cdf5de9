"""Looking again, in intervals, whether those who have a socket open still may."""

from __future__ import annotations

import asyncio
import logging
import unittest
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import User
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.test import Client, TestCase, override_settings
from open_sockets import OpenSocket, Room, key_of, log_in, run, sockets

from channels.auth import AuthMiddleware, AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.security import watch
from channels.security.identity import Identity, password_digest
from channels.security.revalidation import SIDE_BY_SIDE, Revalidation, Rota, still_valid
from channels.testing import WebsocketCommunicator

SessionStore: Any = import_module(settings.SESSION_ENGINE).SessionStore
BACKENDS = "django.contrib.sessions.backends"


class Quiet(AsyncWebsocketConsumer):
    """Accepts, and says nothing."""


def identity(user: User, key: str | None) -> Identity:
    return Identity(str(user.pk), password_digest(user), key)


def logged_in(user: User) -> Identity:
    return identity(user, key_of(log_in(user)))


# -- one look --------------------------------------------------------------------


def test_a_session_that_names_its_user_is_valid(ada: User) -> None:
    assert still_valid(logged_in(ada))


def test_looking_writes_nothing(ada: User) -> None:
    seen = logged_in(ada)
    before = list(import_module(f"{BACKENDS}.db").SessionStore().model.objects.values())
    assert still_valid(seen)
    assert not still_valid(identity(ada, "n" * 32))
    after = list(import_module(f"{BACKENDS}.db").SessionStore().model.objects.values())
    assert before == after


def ended(user: User, key: str) -> None:
    SessionStore(key).delete()


def emptied(user: User, key: str) -> None:
    session = SessionStore(key)
    session.pop(auth.SESSION_KEY)
    session.save()


def anothers(user: User, key: str) -> None:
    session = SessionStore(key)
    session[auth.SESSION_KEY] = str(User.objects.create_user("bob").pk)
    session.save()


def expired(user: User, key: str) -> None:
    session = SessionStore(key)
    session.set_expiry(-1)
    session.save()


def new_password(user: User, key: str) -> None:
    # As no signal tells it.
    User.objects.update(password="!unusable")


def inactive(user: User, key: str) -> None:
    User.objects.update(is_active=False)


def deleted(user: User, key: str) -> None:
    user.delete()


def removed_backend(user: User, key: str) -> None:
    session = SessionStore(key)
    session[auth.BACKEND_SESSION_KEY] = "of.another.Time"
    session.save()


@pytest.mark.parametrize(
    "change",
    [ended, emptied, anothers, expired, new_password, inactive, deleted, removed_backend],
)
def test_what_ended_a_session_is_found(ada: User, change: Any) -> None:
    seen = logged_in(ada)
    change(ada, seen.session_key)
    assert not still_valid(seen)


def test_a_session_signed_with_an_older_key_stays_valid_and_as_it_is(ada: User) -> None:
    seen = logged_in(ada)
    before = dict(SessionStore(seen.session_key).items())
    rotated = {"SECRET_KEY": "a newer one", "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY]}
    with override_settings(**rotated):
        assert still_valid(seen)
        assert dict(SessionStore(seen.session_key).items()) == before
    with override_settings(SECRET_KEY="one that knows nothing of the old"):
        assert not still_valid(seen)


@override_settings(
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"]
)
def test_a_backend_that_lets_inactive_users_in_keeps_them(ada: User) -> None:
    seen = logged_in(ada)
    User.objects.update(is_active=False)
    assert still_valid(seen)


@pytest.mark.parametrize(
    ("change", "valid"), [(None, True), (inactive, False), (deleted, False), (new_password, True)]
)
def test_a_user_named_by_a_token_has_to_exist_and_be_active(
    ada: User, change: Any, valid: bool
) -> None:
    seen = identity(ada, None)
    if change is not None:
        change(ada, "")
    assert still_valid(seen) is valid


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file", "signed_cookies"])
def test_every_kind_of_store_is_read_and_not_written(ada: User, engine: str, tmp_path: Any) -> None:
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.{engine}", SESSION_FILE_PATH=str(tmp_path)):
        client = Client()
        client.force_login(ada)
        files = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert still_valid(identity(ada, key_of(client)))
        assert not still_valid(identity(ada, "n" * 32))
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


class DownCache(LocMemCache):
    """A cache that cannot be reached, now and then."""

    failures = 0

    def get(self, *args: Any, **kwargs: Any) -> Any:
        if DownCache.failures:
            DownCache.failures -= 1
            raise ConnectionError("no cache")
        return super().get(*args, **kwargs)

    def has_key(self, key: str, version: int | None = None) -> bool:
        return self.get(key, version=version) is not None


def test_a_cache_that_is_down_has_ended_no_session(ada: User) -> None:
    # Sessions of the cache take one that fails for empty.
    cache = {"BACKEND": f"{__name__}.DownCache", "LOCATION": "down"}
    with override_settings(CACHES={"default": cache}, SESSION_ENGINE=f"{BACKENDS}.cache"):
        client = log_in(ada)
        seen = identity(ada, key_of(client))
        DownCache.failures = 2
        with pytest.raises(ConnectionError):
            still_valid(seen)
        # One that comes back in the midst of it.
        DownCache.failures = 1
        assert still_valid(seen)
        client.logout()
        assert not still_valid(seen)


def test_an_expired_file_stays_what_it_is(ada: User, tmp_path: Any) -> None:
    with override_settings(SESSION_ENGINE=f"{BACKENDS}.file", SESSION_FILE_PATH=str(tmp_path)):
        key = key_of(log_in(ada))
        session = import_module(f"{BACKENDS}.file").SessionStore(key)
        session.set_expiry(-1)
        session.save()
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert not still_valid(identity(ada, key))
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# -- when ------------------------------------------------------------------------


class One:
    """Something to look at."""

    def __init__(self, user: str = "1") -> None:
        self.identity: Identity | None = Identity(user, "", None)
        self.context = None
        self.slot: int | None = None

    def whom(self) -> Identity | None:
        return self.identity


def test_looks_are_spread_over_the_interval() -> None:
    chances = iter(number / 100 for number in range(100))
    rota = Rota(64.0, lambda: next(chances))
    for _ in range(100):
        rota.add(One(), 1000.0)
    assert rota.take_due(1031.9) == []
    counts = [len(rota.take_due(1000.0 + second)) for second in range(32, 66)]
    assert sum(counts) == 100
    assert max(counts) <= 4


def test_after_the_first_look_each_is_due_once_an_interval() -> None:
    rota = Rota(64.0, lambda: 0.0)
    one = One()
    rota.add(one, 1000.0)
    assert rota.take_due(1032.0) == [one]
    rota.add_again(one, 1032.0)
    assert rota.take_due(1095.0) == []
    assert rota.take_due(1096.0) == [one]


def test_who_leaves_is_forgotten() -> None:
    rota = Rota(64.0)
    one, two = One(), One()
    rota.add(one, 0.0)
    rota.add(two, 0.0)
    rota.remove(one)
    rota.remove(one)
    assert rota.take_due(1000.0) == [two]
    assert rota._slots == {}


def test_nobody_becomes_due_while_the_sweep_waits() -> None:
    rota = Rota(64.0, lambda: 0.0)
    assert rota.wait(0.0) == 32.0
    rota.add(One(), 10.0)
    assert rota.wait(40.0) == 2.0
    assert rota.wait(50.0) == 0.0


class Clock:
    """Time that passes when the sweep sleeps, until `end`."""

    def __init__(self, end: float) -> None:
        self.now = 1000.0
        self.end = end
        self.over = asyncio.Event()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.end:
            self.over.set()
            await asyncio.get_running_loop().create_future()


async def sweep(revalidation: Revalidation, clock: Clock) -> None:
    task = asyncio.create_task(revalidation.run())
    await clock.over.wait()
    task.cancel()
    await asyncio.wait([task])


def test_each_is_looked_at_once_an_interval_and_refused_when_it_ended() -> None:
    looks: list[str] = []
    refused: list[One] = []

    def look(identity: Identity) -> bool:
        looks.append(identity.user)
        return identity.user != "bad"

    async def scenario() -> None:
        clock = Clock(1000.0 + 64.0 * 10)
        revalidation = Revalidation(refused.append, 64.0, look, clock, clock.sleep)
        good, bad, gone = One("good"), One("bad"), One("gone")
        for one in (good, bad, gone):
            revalidation.add(one)
        gone.identity = None
        await sweep(revalidation, clock)
        assert looks.count("good") in (9, 10)
        assert "gone" not in looks
        assert refused[0] is bad

    run(scenario())


def test_a_few_are_looked_at_side_by_side() -> None:
    running: list[int] = []
    lock = __import__("threading").Lock()
    now = [0]

    def look(identity: Identity) -> bool:
        with lock:
            now[0] += 1
            running.append(now[0])
        with lock:
            now[0] -= 1
        return True

    async def scenario() -> None:
        await Revalidation(lambda one: None, None, look).look_at([One() for _ in range(50)])

    run(scenario())
    assert len(running) == 50
    assert max(running) <= SIDE_BY_SIDE


def test_a_database_that_is_down_closes_nobody_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    down = [True]
    refused: list[Any] = []

    def look(identity: Identity) -> bool:
        if down[0]:
            raise OperationalError("no database")
        return False

    async def scenario() -> None:
        revalidation = Revalidation(refused.append, None, look)
        those = [One() for _ in range(10)]
        await revalidation.look_at(those)
        await revalidation.look_at(those)
        assert refused == []
        assert len(caplog.records) == 1
        down[0] = False
        await revalidation.look_at(those)
        assert len(refused) == 10
        down[0] = True
        await revalidation.look_at(those)
        assert len(caplog.records) == 2

    run(scenario())


# -- sockets ---------------------------------------------------------------------


@override_settings(CHANNELS_REVALIDATE_SECONDS=0.05)
@pytest.mark.parametrize("change", [ended, inactive, new_password])
def test_a_socket_whose_session_ended_unannounced_closes(ada: User, change: Any) -> None:
    client = log_in(ada)
    other = log_in(User.objects.create_user("carol", is_superuser=True))
    key = key_of(client)

    def change_ada() -> None:
        if change is ended:
            ended(ada, key)
        else:
            User.objects.filter(pk=ada.pk).update(
                **({"is_active": False} if change is inactive else {"password": "!"})
            )

    async def scenario() -> None:
        async with sockets(key, key_of(other), None) as (one, another, nobody):
            await sync_to_async(change_ada)()
            await one.ended()
            assert one.ends == [4401]
            assert not another.closed
            assert not nobody.closed

    run(scenario())


@override_settings(CHANNELS_REVALIDATE_SECONDS=0.05, CHANNELS_CLOSE_ON_LOGOUT=False)
def test_it_needs_no_layer_and_no_other_setting(ada: User) -> None:
    client = log_in(ada)
    before = channel_layers.set("default", None)

    async def scenario() -> None:
        async with sockets(key_of(client)) as (one,):
            await sync_to_async(SessionStore(key_of(client)).delete)()
            await one.ended()
            assert one.closed

    with override_settings(CHANNEL_LAYERS={}):
        run(scenario())
    channel_layers.set("default", before)


@override_settings(CHANNELS_REVALIDATE_SECONDS=0.05)
def test_the_socket_of_a_token_closes_when_its_user_is_deleted(ada: User) -> None:
    class Token(AuthMiddleware):
        def populate_scope(self, scope: Any) -> None:
            scope["user"] = ada

    async def scenario() -> None:
        async with sockets(None, application=Token(Room)) as (one,):
            await sync_to_async(User.objects.filter(pk=ada.pk).delete)()
            await one.ended()
            assert one.closed

    run(scenario())


@override_settings(CHANNELS_REVALIDATE_SECONDS=0.05)
def test_inside_a_tests_transaction_what_the_test_sees_counts(db: None) -> None:
    class Inside(TestCase):
        def test_it(self) -> None:
            client = log_in(User.objects.create_user("bob"))
            async_to_sync(self.scenario)(key_of(client))

        async def scenario(self, key: str) -> None:
            headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode())]
            app = AuthMiddlewareStack(Quiet)
            async with WebsocketCommunicator(app, "/room/", headers) as client:
                assert await client.connect() == (True, None)
                # Several looks.
                assert await client.receive_nothing(0.3)
                await User.objects.filter(username="bob").aupdate(is_active=False)
                closed = {"type": "websocket.close", "code": 4401}
                assert await client.receive_output(10) == closed

    result = unittest.TestResult()
    Inside("test_it").run(result)
    assert result.testsRun == 1
    assert result.errors + result.failures == []


def test_after_a_gap_everybody_is_looked_at_once(ada: User) -> None:
    client, other = log_in(ada), log_in(ada)
    layer = InMemoryChannelLayer()
    before = channel_layers.set("default", layer)

    async def scenario() -> None:
        async with sockets(key_of(client), key_of(other)) as (one, another):
            # While nobody heard.
            await SessionStore(key_of(client)).adelete()
            watch._registry().may_have_missed()
            await one.ended()
            assert one.closed
            catching_up = watch._registry()._catching_up
            assert catching_up is not None
            await catching_up
            assert not another.closed

    run(scenario())
    channel_layers.set("default", before)


@pytest.mark.parametrize("value", ["60", 0, -1, True, float("inf"), float("nan")])
def test_a_wrong_interval_is_told_before_anything_has_begun(
    ada: User, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        socket = OpenSocket(AuthMiddlewareStack(Room), key_of(client))
        with pytest.raises(ImproperlyConfigured, match="is a number of seconds, or None"):
            await socket.open()

    client = log_in(ada)
    with override_settings(CHANNELS_REVALIDATE_SECONDS=value), caplog.at_level(logging.INFO):
        run(scenario())
    assert watch._registries == {}
