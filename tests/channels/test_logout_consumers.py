"""Consumers that log in and out themselves: whose end is theirs, and whose is not."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import auth
from django.contrib.auth.models import User
from open_sockets import Room, change_password, key_of, log_in, request_of, run, sockets

from channels.auth import AuthMiddlewareStack, login, logout
from channels.generic.websocket import WebsocketConsumer
from channels.security import watch

pytestmark = pytest.mark.usefixtures("layer")


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
