"""Users of a scope: finding them, logging in and out."""

from __future__ import annotations

import asyncio
import copy
import pickle
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from calls import CONNECT, DISCONNECT, Recorder, acall, call, websocket_scope
from django.conf import settings
from django.contrib import auth
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.test import Client, override_settings

from channels.auth import (
    AuthMiddleware,
    AuthMiddlewareStack,
    UserLazyObject,
    get_user,
    login,
    logout,
)
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

SessionStore: Any = import_module(settings.SESSION_ENGINE).SessionStore
NAME = settings.SESSION_COOKIE_NAME


def logged_in(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies[NAME].value


def scope_of(key: str | None) -> dict[str, Any]:
    headers = [(b"cookie", f"{NAME}={key}".encode())] if key else []
    return websocket_scope("/chat/", headers=headers)


def user_in_stack(key: str | None) -> Any:
    app = Recorder()
    call(AuthMiddlewareStack(app), scope_of(key))
    return app.scope["user"]


# -- who it is -----------------------------------------------------------------


def test_the_sessions_user_is_in_the_scope(ada: User) -> None:
    user = user_in_stack(logged_in(ada))
    assert user == ada
    assert isinstance(user, User)
    assert user.is_authenticated


def test_without_a_session_it_is_the_anonymous_user(db: None) -> None:
    assert isinstance(user_in_stack(None), AnonymousUser)
    assert isinstance(user_in_stack("nowhere" * 4), AnonymousUser)


def test_nobody_costs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> Any:
        from channels.threads import current_lane

        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            lane: Any = current_lane()
            seen.append((scope["user"].is_anonymous, lane.open))

        await acall(AuthMiddlewareStack(app), scope_of(None))
        return seen

    assert asyncio.run(run()) == [(True, False)]


def test_the_session_can_be_read_synchronously_behind_auth(ada: User) -> None:
    read: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        read.append(scope["session"].get("colour"))
        read.append(SESSION_KEY in scope["session"])

    key = logged_in(ada)
    call(AuthMiddlewareStack(app), scope_of(key))
    call(AuthMiddlewareStack(app), scope_of(None))
    assert read == [None, True, None, False]


def test_a_user_that_is_there_already_stays(ada: User) -> None:
    app = Recorder()
    call(AuthMiddlewareStack(app), {**scope_of(None), "user": ada})
    assert app.scope["user"] is ada


def test_a_subclass_can_find_the_user_in_its_own_way(ada: User) -> None:
    class Tokens(AuthMiddleware):
        def populate_scope(self, scope: Any) -> None:
            scope["user"] = UserLazyObject()

        async def resolve_scope(self, scope: Any) -> None:
            scope["user"]._wrapped = ada

    app = Recorder()
    call(Tokens(app), websocket_scope())
    assert app.scope["user"] == ada


def test_the_user_in_the_scope_is_the_lazy_object_that_projects_know(ada: User) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(copy.deepcopy(dict(scope)))
        scopes.append(scope)

    call(AuthMiddlewareStack(app), scope_of(logged_in(ada)))
    assert type(scopes[1]["user"]) is UserLazyObject
    assert type(scopes[1]["user"]._wrapped) is User
    for scope in scopes:
        user = scope["user"]
        assert user == ada
        assert ada == user
        assert pickle.loads(pickle.dumps(user)) == ada
        assert set(scope) == {*websocket_scope(), "cookies", "session", "user"}


def test_the_user_cannot_be_used_before_it_is_known() -> None:
    with pytest.raises(ValueError, match="Accessing scope user before it is ready"):
        UserLazyObject().username  # noqa: B018


def test_a_missing_session_is_told() -> None:
    with pytest.raises(ValueError, match="SessionMiddleware must be above it"):
        call(AuthMiddleware(Recorder()), websocket_scope())
    for function in (get_user({}), login({}, None), logout({})):
        with pytest.raises(ValueError, match="Cannot find session in scope"):
            asyncio.run(function)


def test_a_changed_password_ends_the_session(ada: User) -> None:
    key = logged_in(ada)
    ada.set_password("difference")
    ada.save()
    assert user_in_stack(key).is_anonymous
    assert not SessionStore().exists(key)


def test_a_session_signed_with_an_older_key_stays_and_gets_a_new_hash(ada: User) -> None:
    key = logged_in(ada)
    old_hash = SessionStore(key)[HASH_SESSION_KEY]
    rotated = {"SECRET_KEY": "a newer one", "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY]}
    app = Recorder({"type": "websocket.accept"})
    with override_settings(**rotated):
        (accept,) = call(AuthMiddlewareStack(app), scope_of(key), [CONNECT])
        assert app.scope["user"] == ada
        assert SessionStore(key)[HASH_SESSION_KEY] != old_hash
    assert f"{NAME}={key};".encode() in accept["headers"][0][1]


def test_a_denied_handshake_does_not_cost_the_session_signed_with_an_older_key(ada: User) -> None:
    key = logged_in(ada)
    rotated = {"SECRET_KEY": "a newer one", "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY]}
    with override_settings(**rotated):
        call(AuthMiddlewareStack(Recorder({"type": "websocket.close"})), scope_of(key), [CONNECT])
        assert user_in_stack(key) == ada


# -- logging in and out --------------------------------------------------------


class Signals:
    def __init__(self, signal: Any) -> None:
        self.received: list[Any] = []
        self._signal = signal

    def __enter__(self) -> list[Any]:
        self._signal.connect(self._receive)
        return self.received

    def __exit__(self, *_: object) -> None:
        self._signal.disconnect(self._receive)

    def _receive(self, sender: Any, request: Any, user: Any, **_: Any) -> None:
        self.received.append((request, user))


class LoggingIn(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await login(self.scope, await User.objects.aget())
        await self.accept()


class LoggingInSynchronously(WebsocketConsumer):
    def connect(self) -> None:
        async_to_sync(login)(self.scope, User.objects.get())
        self.accept()


@pytest.mark.parametrize("consumer", [LoggingIn, LoggingInSynchronously])
def test_login_in_connect_sends_the_cookie_with_accept(ada: User, consumer: Any) -> None:
    sent = call(AuthMiddlewareStack(consumer), scope_of(None), [CONNECT, DISCONNECT])
    (name, value), *_ = sent[0]["headers"]
    assert name == b"Set-Cookie"
    key = value.decode().split(";")[0].split("=")[1]
    assert user_in_stack(key) == ada


def test_login_puts_the_user_into_scope_and_session_and_tells_receivers(ada: User) -> None:
    scope: dict[str, Any] = {
        **websocket_scope("/chat/", client=("10.1.2.3", 5)),
        "session": SessionStore(),
        "user": AnonymousUser(),
    }
    with Signals(user_logged_in) as received:
        asyncio.run(login(scope, ada))
    assert scope["user"] is ada
    assert scope["session"][SESSION_KEY] == str(ada.pk)
    ((request, user),) = received
    assert user == ada
    assert request.META["REMOTE_ADDR"] == "10.1.2.3"
    assert request.path == "/chat/"


def test_login_takes_the_scopes_user_when_none_is_given(ada: User) -> None:
    scope: dict[str, Any] = {"session": SessionStore(), "user": ada}
    asyncio.run(login(scope, None))
    assert asyncio.run(get_user(scope)) == ada
    with pytest.raises(ValueError, match="must be passed as an argument or must be present"):
        asyncio.run(login({"session": SessionStore()}, None))


def test_login_as_somebody_else_does_not_inherit_the_session(ada: User) -> None:
    bob = User.objects.create_user("bob")
    scope: dict[str, Any] = {"session": SessionStore()}
    asyncio.run(login(scope, ada))
    scope["session"]["secret"] = 1
    asyncio.run(login(scope, bob))
    assert "secret" not in scope["session"]
    assert asyncio.run(get_user(scope)) == bob


BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "django.contrib.auth.backends.RemoteUserBackend",
]


@override_settings(AUTHENTICATION_BACKENDS=BACKENDS)
def test_login_wants_to_know_the_backend_when_there_are_several(ada: User) -> None:
    scope: dict[str, Any] = {"session": SessionStore()}
    with pytest.raises(ValueError, match="multiple authentication backends configured"):
        asyncio.run(login(scope, ada))
    asyncio.run(login(scope, ada, backend=BACKENDS[1]))
    assert scope["session"][auth.BACKEND_SESSION_KEY] == BACKENDS[1]


def test_logout_deletes_the_session_and_tells_receivers(ada: User) -> None:
    key = logged_in(ada)
    scope: dict[str, Any] = {"session": SessionStore(key), "user": ada}
    with Signals(user_logged_out) as received:
        asyncio.run(logout(scope))
    assert isinstance(scope["user"], AnonymousUser)
    assert not SessionStore().exists(key)
    assert [user for _, user in received] == [ada]


def test_logging_nobody_out_tells_nobody(db: None) -> None:
    scope: dict[str, Any] = {"session": SessionStore()}
    with Signals(user_logged_out) as received:
        asyncio.run(logout(scope))
    assert received == []
    assert "user" not in scope
