"""At a new password all of its user's WebSockets close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core import serializers
from open_sockets import Room, change_password, key_of, log_in, run, sockets

from channels.auth import AuthMiddleware, AuthMiddlewareStack
from channels.security import announcements
from channels.security.authentication import AuthenticationMiddleware, SubprotocolToken

pytestmark = pytest.mark.usefixtures("layer")


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
