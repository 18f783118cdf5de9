"""At a log-out the session's WebSockets close, wherever it is told and whatever fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from calls import Recorder, acall, websocket_scope
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.http import HttpRequest
from django.test import override_settings
from foreign_layer import Listening
from open_sockets import (
    CLOSED,
    OpenSocket,
    Room,
    change_password,
    key_of,
    log_in,
    request_of,
    run,
    sockets,
)

from channels.auth import AuthMiddleware, AuthMiddlewareStack
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, MailboxLayer, channel_layers
from channels.mailbox import DirectReceive, Mailbox
from channels.security import announcements, watch
from channels.security.announcements import GROUP, LOGGED_OUT, announce_ends
from channels.security.identity import digest

pytestmark = pytest.mark.usefixtures("layer")


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


async def told_asynchronously(request: HttpRequest, user: User) -> None:
    await auth.alogout(request)


async def told_on_the_loop_itself(request: HttpRequest, user: User) -> None:
    user_logged_out.send(sender=User, request=request, user=user)


@pytest.mark.parametrize("log_out", [told_asynchronously, told_on_the_loop_itself])
def test_an_asynchronous_log_out_closes_them_too(
    ada: User, log_out: Callable[[HttpRequest, User], Awaitable[None]]
) -> None:
    key = key_of(log_in(ada))

    async def scenario() -> None:
        async with sockets(key) as (one,):
            await log_out(request_of(key), ada)
            await one.ended()
            assert one.ends == [4401]

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


def test_two_stacks_around_each_other_close_a_socket_once(ada: User) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        stack = AuthMiddlewareStack(AuthMiddleware(Room))
        async with sockets(key_of(client), application=stack) as (one,):
            await sync_to_async(client.logout)()
            await one.ended()
            assert one.sent.count(CLOSED) == 1

    run(scenario())


# -- when it is off ----------------------------------------------------------------


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


# -- what is connected to what -----------------------------------------------------


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
