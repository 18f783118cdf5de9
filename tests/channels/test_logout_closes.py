"""At a log-out the session's WebSockets close; at a new password all of the user's."""

from __future__ import annotations

import asyncio
import logging
import queue
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from calls import Recorder, acall, websocket_scope
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.core import serializers
from django.db import transaction
from django.http import HttpRequest
from django.test import override_settings
from open_sockets import CLOSED, OpenSocket, Room, key_of, log_in, run, sockets, turns_until

from channels.auth import AuthMiddleware, AuthMiddlewareStack, login, logout
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, MailboxLayer, channel_layers
from channels.layers.local import LocalChannelLayer
from channels.mailbox import DirectReceive, Mailbox
from channels.security import announcements, hearing, watch
from channels.security.announcements import GROUP, LOGGED_OUT, announce_ends
from channels.security.authentication import AuthenticationMiddleware, SubprotocolToken
from channels.security.identity import digest
from channels.sessions import SessionMiddlewareStack

pytestmark = pytest.mark.usefixtures("layer")


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", password="engine")


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password="builder")


class Listening:
    """A layer of another package: it inherits nothing, and is read with receive()."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.members: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self.joined = asyncio.Event()
        self.fail: Exception | None = None

    async def new_channel(self, prefix: str = "foreign") -> str:
        self.calls.append("new_channel")
        return f"{prefix}.{len(self.calls)}!x"

    async def group_add(self, group: str, channel: str) -> None:
        self.calls.append(f"group_add {group}")
        if self.fail is not None:
            raise self.fail
        self.members.setdefault(channel, asyncio.Queue())
        self.joined.set()

    async def group_discard(self, group: str, channel: str) -> None:
        self.calls.append(f"group_discard {group}")
        self.members.pop(channel, None)

    async def receive(self, channel: str) -> dict[str, Any]:
        if channel not in self.members:
            # The consumer's own.
            await asyncio.get_running_loop().create_future()
        message = await self.members[channel].get()
        if isinstance(message, Exception):
            raise message
        return message

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.calls.append(f"group_send {group}")
        for waiting in self.members.values():
            waiting.put_nowait(message)


@pytest.fixture
def foreign() -> Iterator[Listening]:
    made = Listening()
    before = channel_layers.set("default", made)
    yield made
    channel_layers.set("default", before)


async def members_of(layer: InMemoryChannelLayer) -> list[str]:
    """The listeners' channels, once the background has joined."""
    await turns_until(lambda: layer.hub.groups.get(GROUP))
    return list(layer.hub.groups[GROUP])


# -- log-out ---------------------------------------------------------------------


def test_a_log_out_closes_the_sockets_of_that_session(ada: User, bob: User) -> None:
    phone, laptop, other = log_in(ada), log_in(ada), log_in(bob)

    async def scenario() -> None:
        keys = key_of(phone), key_of(phone), key_of(laptop), key_of(other), None
        async with sockets(*keys) as (one, two, elsewhere, another, nobody):
            await sync_to_async(phone.logout)()
            await one.ended()
            await two.ended()
            assert one.sent[-1] == two.sent[-1] == CLOSED
            assert one.ends == [4401]
            for stays in (elsewhere, another, nobody):
                stays.say("still here")
                await stays.until(lambda stays=stays: len(stays.sent) == 3)
                assert not stays.closed

    run(scenario())


def test_an_asynchronous_log_out_closes_them_too(ada: User) -> None:
    key = key_of(log_in(ada))

    async def scenario() -> None:
        request = HttpRequest()
        request.session = SessionStore(key)
        async with sockets(key) as (one,):
            await auth.alogout(request)
            await one.ended()
            assert one.ends == [4401]

    run(scenario())


def test_a_log_out_told_on_the_loop_itself_closes_them_too(ada: User) -> None:
    key = key_of(log_in(ada))

    async def scenario() -> None:
        request = HttpRequest()
        request.session = SessionStore(key)
        async with sockets(key) as (one,):
            user_logged_out.send(sender=User, request=request, user=ada)
            await one.ended()
            assert one.closed

    run(scenario())


def test_a_log_out_in_a_transaction_closes_nobody_before_the_commit(
    ada: User, layer: InMemoryChannelLayer
) -> None:
    client = log_in(ada)
    sent: list[str] = []
    group_send = layer.group_send

    async def recording(group: str, message: dict[str, Any]) -> None:
        sent.append(message["type"])
        await group_send(group, message)

    layer.group_send = recording  # type: ignore[method-assign]

    def log_out_in_vain() -> None:
        with transaction.atomic():
            client.logout()
            transaction.set_rollback(True)

    def log_out() -> None:
        with transaction.atomic():
            auth.logout(request_of(key))
            assert sent == []
        assert sent == [LOGGED_OUT]

    key = key_of(client)
    log_out_in_vain()
    assert sent == []
    log_out()


def request_of(key: str) -> HttpRequest:
    request = HttpRequest()
    request.session = SessionStore(key)
    return request


def test_the_key_itself_is_never_sent(ada: User, layer: InMemoryChannelLayer) -> None:
    client = log_in(ada)
    key = key_of(client)

    async def scenario() -> dict[str, Any]:
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        await sync_to_async(client.logout)()
        return await layer.receive(channel)

    assert run(scenario()) == {"type": LOGGED_OUT, "session": digest(key)}


def test_a_log_out_without_a_session_announces_nothing(
    ada: User, layer: InMemoryChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[Any] = []
    monkeypatch.setattr(announcements, "_announce", announced.append)
    user_logged_out.send(sender=User, request=None, user=ada)
    user_logged_out.send(sender=User, request=HttpRequest(), user=ada)
    auth.logout(request_of(""))
    assert announced == []


def test_a_layer_that_fails_does_not_break_the_log_out(
    ada: User, foreign: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    client = log_in(ada)
    key = key_of(client)

    async def failing(group: str, message: dict[str, Any]) -> None:
        raise ConnectionError("no engine")

    foreign.group_send = failing  # type: ignore[method-assign]
    client.logout()
    assert not SessionStore().exists(key)
    (record,) = [record for record in caplog.records if record.name == "channels.security"]
    assert "could not be announced" in record.getMessage()
    assert key not in caplog.text


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


def test_two_stacks_around_each_other_close_a_socket_once(ada: User) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        stack = AuthMiddlewareStack(AuthMiddleware(Room))
        async with sockets(key_of(client), application=stack) as (one,):
            await sync_to_async(client.logout)()
            await one.ended()
            assert one.sent.count(CLOSED) == 1

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
    clock = Clock()
    monkeypatch.setattr(announcements.time, "monotonic", clock)
    monkeypatch.setattr(announcements, "_ended", {})
    for number in range(20_000):
        announcements.remember_ended(str(number))
    assert announcements.has_just_ended("19999")
    assert not announcements.has_just_ended("1")
    assert len(announcements._ended) == announcements.REMEMBERED_SESSIONS
    clock.now += announcements.REMEMBERED_SECONDS + 1
    assert not announcements.has_just_ended("19999")
    for number in range(10_000):
        announcements.remember_ended(f"later {number}")
    assert "19999" not in announcements._ended


# -- what a consumer does itself ---------------------------------------------------


class LogsOut(Room):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "log out":
            await logout(self.scope)
        await self.send(text_data=str(self.scope["user"]))


class LogsOutSynchronously(WebsocketConsumer):
    def connect(self) -> None:
        self.accept()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        async_to_sync(logout)(self.scope)
        self.send(text_data=str(self.scope["user"]))

    def disconnect(self, code: int) -> None:
        self.scope["ends"].append(code)


@pytest.mark.parametrize("consumer", [LogsOut, LogsOutSynchronously])
def test_a_socket_that_logs_out_itself_stays_and_others_of_its_session_close(
    ada: User, consumer: Any
) -> None:
    key = key_of(log_in(ada))

    async def scenario() -> None:
        async with sockets(key, key, application=AuthMiddlewareStack(consumer)) as (one, two):
            one.say("log out")
            await two.ended()
            assert two.ends == [4401]
            await one.until(lambda: one.sent[-1].get("text") == "AnonymousUser")
            assert not one.closed
            assert one.ends == []

    run(scenario())


class FailsToLogOut(Room):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        def fail() -> None:
            raise OSError("the store is down")

        self.scope["session"].flush = fail
        with pytest.raises(OSError, match="the store is down"):
            await logout(self.scope)
        await self.send(text_data=str(self.scope["user"]))


def test_a_socket_whose_log_out_fails_is_not_left_open_to_nobodys_end(ada: User) -> None:
    key = key_of(log_in(ada))

    async def scenario() -> None:
        async with sockets(key, application=AuthMiddlewareStack(FailsToLogOut)) as (one,):
            one.say("log out")
            await one.ended()
            # It is its user's still, and their log-out had been announced by then.
            assert one.ends == [4401]
            assert {"type": "websocket.send", "text": "ada"} in one.sent

    run(scenario())


def test_a_token_within_a_session_makes_the_socket_its_users_alone(ada: User, bob: User) -> None:
    async def verify(token: str) -> User:
        return bob

    app = AuthMiddlewareStack(AuthenticationMiddleware(Room, [SubprotocolToken(verify)]))
    session = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(session), application=app, subprotocols=["bearer.x"]) as (one,):
            await sync_to_async(session.logout)()
            await sync_to_async(change_password)(await User.objects.aget(pk=ada.pk))
            one.say("still here")
            await one.until(lambda: one.sent[-1].get("text") == "still here")
            await sync_to_async(change_password)(await User.objects.aget(pk=bob.pk))
            await one.ended()
            assert one.ends == [4401]

    run(scenario())


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


class LogsIn(Room):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await login(self.scope, await User.objects.aget(username=text_data))
        await sync_to_async(self.scope["session"].save)()
        await self.send(text_data=str(self.scope["user"]))


def test_a_socket_that_logs_in_belongs_to_its_new_user(ada: User, bob: User) -> None:
    async def scenario() -> None:
        async with sockets(None, application=AuthMiddlewareStack(LogsIn)) as (one,):
            one.say("ada")
            await one.until(lambda: one.sent[-1].get("text") == "ada")
            one.say("bob")
            await one.until(lambda: one.sent[-1].get("text") == "bob")
            await sync_to_async(change_password)(ada)
            assert not one.closed
            (watched,) = watch.registered()
            whom = watched.whom()
            assert whom is not None
            assert whom.user == str(bob.pk)
            await sync_to_async(lambda: auth.logout(request_of(str(whom.session_key))))()
            await one.ended()
            assert one.ends == [4401]

    run(scenario())


class BecomesBobInConnect(Room):
    async def connect(self) -> None:
        await login(self.scope, await User.objects.aget(username="bob"))
        await self.accept()


def test_a_session_that_is_new_with_the_accept_is_known_by_its_key(ada: User, bob: User) -> None:
    key = key_of(log_in(ada))

    async def scenario() -> None:
        app = AuthMiddlewareStack(BecomesBobInConnect)
        async with sockets(key, application=app) as (one,):
            cookie = dict(one.sent[0]["headers"])[b"Set-Cookie"].decode()
            new = cookie.split(";")[0].split("=")[1]
            (watched,) = watch.registered()
            whom = watched.whom()
            assert whom is not None
            assert whom.session_key == new != key
            await sync_to_async(lambda: auth.logout(request_of(new)))()
            await one.ended()
            assert one.closed

    run(scenario())


# -- passwords ---------------------------------------------------------------------


def change_password(user: User) -> None:
    user.set_password(f"another {time.monotonic_ns()}")
    user.save()


def update_password(user: User) -> None:
    user.set_password("another")
    user.save(update_fields=["password"])


def make_unusable(user: User) -> None:
    user.set_unusable_password()
    user.save()


def change_by_proxy(user: User) -> None:
    class Person(User):
        class Meta:
            proxy = True
            app_label = "tests"

    change_password(Person.objects.get(pk=user.pk))


@pytest.mark.parametrize(
    "change", [change_password, update_password, make_unusable, change_by_proxy]
)
def test_a_new_password_closes_all_sockets_of_its_user(
    ada: User, bob: User, change: Callable[[User], None]
) -> None:
    phone, laptop, other = log_in(ada), log_in(ada), log_in(bob)

    async def scenario() -> None:
        async with sockets(key_of(phone), key_of(laptop), key_of(other)) as (one, two, another):
            await sync_to_async(change)(ada)
            await one.ended()
            await two.ended()
            assert one.ends == two.ends == [4401]
            assert not another.closed

    run(scenario())


def test_a_user_whom_a_token_names_is_closed_by_a_new_password_too(ada: User) -> None:
    class Token(AuthMiddleware):
        def populate_scope(self, scope: Any) -> None:
            scope["user"] = ada

    async def scenario() -> None:
        async with sockets(None, application=Token(Room)) as (one,):
            same = await User.objects.aget(pk=ada.pk)
            await sync_to_async(change_password)(same)
            await one.ended()
            assert one.ends == [4401]

    run(scenario())


def test_what_changes_no_password_is_not_announced(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[Any] = []
    monkeypatch.setattr(
        announcements, "_announce", lambda message, using: announced.append(message)
    )
    ada.refresh_from_db()
    ada.first_name = "Ada"
    ada.save()
    ada.save(update_fields=["first_name"])
    User.objects.create_user("new", password="secret")
    (raw,) = serializers.deserialize("json", serializers.serialize("json", [ada]))
    raw.save()
    SessionStore().save()
    log_in(ada)
    assert announced == []
    change_password(ada)
    (message,) = announced
    assert message["user"] == str(ada.pk)
    assert ada.password not in repr(message)


def test_a_socket_opened_with_the_new_password_stays(ada: User) -> None:
    async def scenario() -> None:
        await sync_to_async(change_password)(ada)
        key = key_of(await sync_to_async(log_in)(ada))
        async with sockets(key) as (one,):
            # Told late: by a process that was slow.
            await sync_to_async(announcements._saved)(
                instance=ada, created=False, raw=False, using="default", update_fields=["password"]
            )
            one.say("still here")
            await one.until(lambda: len(one.sent) == 3)
            assert not one.closed

    run(scenario())


# -- when it is off ------------------------------------------------------------------


@override_settings(CHANNELS_CLOSE_ON_LOGOUT=False)
def test_with_the_setting_off_nobody_is_watched_and_nothing_announced(
    ada: User, foreign: Listening
) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(client)) as (one,):
            assert watch.registered() == []
            await sync_to_async(client.logout)()
            await sync_to_async(change_password)(ada)
            one.say("still here")
            await one.until(lambda: len(one.sent) == 3)
        assert [call for call in foreign.calls if "group" in call] == []

    run(scenario())


def test_without_a_layer_it_is_off_and_nothing_is_said(
    ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(client)) as (one,):
            assert watch.registered() == []
            await sync_to_async(client.logout)()
            assert not one.closed

    channel_layers.set("default", None)
    with override_settings(CHANNEL_LAYERS={}), caplog.at_level(logging.INFO):
        run(scenario())
    assert caplog.records == []


def test_http_and_anonymous_sockets_start_nothing(layer: InMemoryChannelLayer, db: None) -> None:
    async def scenario() -> None:
        async with sockets(None):
            assert watch._registry()._tasks == []
            assert watch.registered() == []
        await acall(AuthMiddlewareStack(Recorder()), {**websocket_scope(), "type": "http"})
        assert watch._registries == {}

    run(scenario())


# -- hearing -------------------------------------------------------------------------


def test_one_member_of_one_group_hears_for_all_and_leaves_with_the_last(
    ada: User, layer: InMemoryChannelLayer
) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(client)):
            first = await members_of(layer)
            async with sockets(*[key_of(client)] * 5):
                assert await members_of(layer) == first
                assert len(first) == 1
            assert await members_of(layer) == first
            assert layer.groups == {}
        assert GROUP not in layer.hub.groups
        assert layer.channels == {}
        assert watch._registries == {}

    run(scenario())


def test_connections_on_several_loops_hear_each_for_themselves(ada: User) -> None:
    client = log_in(ada)

    async def elsewhere() -> list[int]:
        async with sockets(key_of(client)) as (one,):
            opened.put_nowait(None)
            await one.ended()
            return one.ends

    async def scenario() -> None:
        async with sockets(key_of(client)) as (here,):
            there = asyncio.create_task(asyncio.to_thread(run, elsewhere()))
            await asyncio.to_thread(opened.get, timeout=10)
            await sync_to_async(client.logout)()
            assert await there == [4401]
            await here.ended()
            assert here.ends == [4401]

    opened: queue.Queue[None] = queue.Queue()
    run(scenario())


def test_a_layer_that_has_only_receive_is_heard_too(ada: User, foreign: Listening) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(client)) as (one,):
            await foreign.joined.wait()
            await sync_to_async(client.logout)()
            await one.ended()
            assert one.ends == [4401]
        assert foreign.members == {}
        assert foreign.calls[-1] == f"group_discard {GROUP}"

    run(scenario())


def test_processes_that_share_a_local_layer_hear_each_other(ada: User) -> None:
    client = log_in(ada)
    # Below /tmp: the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="channels-") as folder:
        here, there = (LocalChannelLayer(directory=folder, name="site") for _ in range(2))
        before = channel_layers.set("default", here)

        def log_out_there() -> None:
            channel_layers.set("default", there)
            client.logout()

        async def scenario() -> None:
            async with sockets(key_of(client)) as (one,):
                await turns_until(lambda: here.hub.groups.get(GROUP))
                # The other one hears when it has joined.
                await there.group_add("any", await there.new_channel())
                await here.group_add(GROUP, next(iter(here.hub.groups[GROUP])))
                await sync_to_async(log_out_there)()
                await one.ended()
                assert one.ends == [4401]
            assert GROUP not in here.hub.groups

        try:
            run(scenario())
        finally:
            channel_layers.set("default", before)
            here.leave()
            there.leave()


class Ears:
    """Listeners that record."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()

    async def logged_out(self, session: str) -> None:
        self.heard.put_nowait(session)

    async def password_changed(self, user: str, password: str) -> None:
        self.heard.put_nowait((user, password))

    def may_have_missed(self) -> None:
        self.heard.put_nowait("missed")


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def hear(ears: Ears, clock: Clock) -> asyncio.Task[None]:
    return asyncio.create_task(hearing.Hearing(ears, clock, clock.sleep).run())


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_a_layer_that_fails_is_joined_again_and_everybody_looked_at(
    foreign: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        ears, clock = Ears(), Clock()
        foreign.fail = ConnectionError("no engine")
        with caplog.at_level(logging.INFO, "channels.security"):
            task = await hear(ears, clock)
            await turns_until(lambda: len(clock.slept) == 12)
            assert clock.slept[-1] <= hearing.LONGEST_RETRY_SECONDS
            foreign.fail = None
            assert await ears.heard.get() == "missed"
            await foreign.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
            assert await ears.heard.get() == "s"
            warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
            assert len(warnings) == 1
            assert "no engine" in warnings[0].getMessage()
            # An engine that breaks later: whoever joins again may have missed something.
            clock.now += hearing.STEADY_SECONDS * 2
            for waiting in list(foreign.members.values()):
                waiting.put_nowait(ConnectionError("gone"))  # type: ignore[arg-type]
            assert await ears.heard.get() == "missed"
        await stop(task)

    run(scenario())


def test_a_layer_joined_at_once_is_no_reason_to_look_at_anybody(foreign: Listening) -> None:
    async def scenario() -> None:
        ears = Ears()
        task = await hear(ears, Clock())
        await foreign.joined.wait()
        await foreign.group_send(GROUP, {"type": "channels.auth.of_the_future"})
        await foreign.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        assert await ears.heard.get() == "s"
        await stop(task)

    run(scenario())


def test_membership_in_a_foreign_layer_is_renewed_hourly(foreign: Listening) -> None:
    async def scenario() -> None:
        ears, clock = Ears(), Clock()
        task = await hear(ears, clock)
        await foreign.joined.wait()
        foreign.joined.clear()
        # Also where there is always something to hear.
        clock.now += hearing.RENEW_SECONDS
        await foreign.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        await foreign.joined.wait()
        assert foreign.calls.count(f"group_add {GROUP}") == 2
        await stop(task)

    run(scenario())


def test_membership_is_renewed_before_a_layer_forgets_it(foreign: Listening) -> None:
    foreign.group_expiry = 60  # type: ignore[attr-defined]

    async def scenario() -> None:
        ears, clock = Ears(), Clock()
        task = await hear(ears, clock)
        await foreign.joined.wait()
        foreign.joined.clear()
        clock.now += 30
        await foreign.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        await foreign.joined.wait()
        await stop(task)

    run(scenario())


def test_after_a_flush_our_own_layer_is_joined_again(layer: InMemoryChannelLayer) -> None:
    layer.group_expiry = 0.002

    async def scenario() -> None:
        ears = Ears()
        # By the clock itself: nothing else happens that would wake it.
        task = asyncio.create_task(hearing.Hearing(ears).run())
        await members_of(layer)
        await layer.flush()
        assert not layer.hub.groups
        await members_of(layer)
        await layer.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        assert await ears.heard.get() == "s"
        await stop(task)

    run(scenario())


class FromOutside(InMemoryChannelLayer):
    """A layer of ours whose mailbox the test holds in its hand."""

    def attach(self, channel: str, mailbox: Any) -> None:
        self.mailbox = mailbox
        super().attach(channel, mailbox)


def test_what_our_own_layers_tell_of_gaps_is_heard() -> None:
    layer = FromOutside(capacity=1)
    before = channel_layers.set("default", layer)

    async def scenario() -> None:
        ears = Ears()
        task = await hear(ears, Clock())
        await members_of(layer)
        layer.mailbox.put_notice(False)
        layer.mailbox.put_notice(True)
        assert await ears.heard.get() == "missed"
        # More at once than the project lets wait.
        announcement = {"type": LOGGED_OUT, "session": "s"}
        await asyncio.gather(*(layer.group_send(GROUP, announcement) for _ in range(50)))
        assert [await ears.heard.get() for _ in range(50)] == ["s"] * 50
        await stop(task)
        assert layer.channels == {}

    try:
        run(scenario())
    finally:
        channel_layers.set("default", before)


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


# -- closing many --------------------------------------------------------------------


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
        await stop(ticking)
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


# -- who may connect the receivers ---------------------------------------------------


def test_receivers_are_connected_once_however_often_it_is_asked() -> None:
    before = len(user_logged_out.receivers)
    announce_ends()
    AuthMiddleware(Recorder())
    assert len(user_logged_out.receivers) == before


def test_a_consumer_behind_auth_still_stands_directly_on_the_server(ada: User) -> None:
    key = key_of(log_in(ada))
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((receive, send))

    async def scenario() -> None:
        socket = OpenSocket(app, key)
        send = socket.send
        receive = DirectReceive(Mailbox(asyncio.get_running_loop()), send)
        await AuthMiddlewareStack(app)(socket.scope, receive, send)

    run(scenario())
    ((receive, send),) = seen
    assert receive.send is send


def test_an_anonymous_user_object_is_nobody() -> None:
    assert watch.identity_of({"user": AnonymousUser()}) is None
    assert watch.identity_of({}) is None
    assert watch.identity_of({"user": User()}) is None


def test_base_layers_of_other_packages_are_foreign() -> None:
    assert not isinstance(BaseChannelLayer(), MailboxLayer)
