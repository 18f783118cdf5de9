"""Cookies and sessions around an application, with the database as session store."""

from __future__ import annotations

import asyncio
import datetime
import logging
from importlib import import_module
from typing import Any

import pytest
from calls import CONNECT, DISCONNECT, Recorder, acall, call, http_scope, websocket_scope
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.test import override_settings

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.mailbox import DirectReceive, Mailbox
from channels.sessions import (
    CookieMiddleware,
    InstanceSessionWrapper,
    SessionMiddleware,
    SessionMiddlewareStack,
)

SessionStore: Any = import_module(settings.SESSION_ENGINE).SessionStore
OK = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]}
ACCEPT = {"type": "websocket.accept"}


def cookie(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"cookie", value.encode()) for value in values]


def saved_session(**content: Any) -> str:
    session = SessionStore()
    session.update(content)
    session.save()
    return str(session.session_key)


def with_session(key: str | None) -> list[tuple[bytes, bytes]]:
    return cookie(f"{settings.SESSION_COOKIE_NAME}={key}") if key else []


def set_cookies(message: dict[str, Any]) -> list[str]:
    headers = message.get("headers", [])
    return [value.decode() for name, value in headers if name.lower() == b"set-cookie"]


class Changing(Recorder):
    """Sets `visits` in the session, then answers."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await scope["session"].aset("visits", 1)
        await super().__call__(scope, receive, send)


# -- cookies -------------------------------------------------------------------


def test_cookies_are_in_the_scope() -> None:
    app = Recorder()
    call(CookieMiddleware(app), websocket_scope(headers=cookie("a=1; b=two")))
    assert app.scope["cookies"] == {"a": "1", "b": "two"}


def test_several_cookie_headers_are_one() -> None:
    app = Recorder()
    call(CookieMiddleware(app), websocket_scope(headers=cookie("a=1", "b=2; c=3")))
    assert app.scope["cookies"] == {"a": "1", "b": "2", "c": "3"}


def test_without_cookies_there_is_an_empty_dict() -> None:
    app = Recorder()
    call(CookieMiddleware(app), websocket_scope())
    assert app.scope["cookies"] == {}


def test_a_scope_without_headers_is_an_error() -> None:
    with pytest.raises(ValueError, match="a scope that did not have a headers key"):
        call(CookieMiddleware(Recorder()), {"type": "channel"})


def test_a_cookie_is_set_with_a_header_of_the_message() -> None:
    message: dict[str, Any] = {"type": "http.response.start"}
    CookieMiddleware.set_cookie(message, "key", "value")
    assert message["headers"] == [(b"Set-Cookie", b"key=value; Path=/; SameSite=lax")]


def test_the_callers_list_of_headers_is_not_changed() -> None:
    headers = [(b"x-a", b"b")]
    message: dict[str, Any] = {"type": "http.response.start", "headers": headers}
    CookieMiddleware.set_cookie(message, "key", "value")
    assert headers == [(b"x-a", b"b")]
    assert message["headers"][0] == (b"x-a", b"b")


@pytest.mark.parametrize(
    "zone", [None, datetime.UTC, datetime.timezone(datetime.timedelta(hours=5))]
)
def test_a_cookie_expires_at_a_datetime_of_any_zone(zone: datetime.tzinfo | None) -> None:
    moment = datetime.datetime.now(zone or datetime.UTC) + datetime.timedelta(hours=1)
    message: dict[str, Any] = {"type": "http.response.start"}
    CookieMiddleware.set_cookie(
        message, "key", "value", expires=moment if zone else moment.replace(tzinfo=None)
    )
    (header,) = set_cookies(message)
    assert "Max-Age=3600" in header


def test_a_cookie_can_have_every_attribute() -> None:
    message: dict[str, Any] = {"type": "http.response.start"}
    CookieMiddleware.set_cookie(
        message, "k", "v", 60, None, "/p", "x.org", secure=True, httponly=True, samesite="none"
    )
    (header,) = set_cookies(message)
    for part in ("Max-Age=60", "Path=/p", "Domain=x.org", "Secure", "HttpOnly", "SameSite=none"):
        assert part in header


def test_a_wrong_samesite_is_refused() -> None:
    with pytest.raises(ValueError, match="samesite must be"):
        CookieMiddleware.set_cookie({"type": "http.response.start"}, "k", "v", samesite="often")


def test_a_deleted_cookie_expired_long_ago() -> None:
    message: dict[str, Any] = {"type": "http.response.start"}
    CookieMiddleware.delete_cookie(message, "key")
    (header,) = set_cookies(message)
    assert "Max-Age=0" in header
    assert "1970" in header


# -- sessions ------------------------------------------------------------------


def test_session_middleware_says_that_it_needs_cookies() -> None:
    with pytest.raises(ValueError, match="needs to run inside of CookieMiddleware"):
        call(SessionMiddleware(Recorder()), websocket_scope())


def test_the_session_of_the_cookie_is_in_the_scope(db: None) -> None:
    key = saved_session(colour="green")
    read: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        read.append(await scope["session"].aget("colour"))

    call(SessionMiddlewareStack(app), websocket_scope(headers=with_session(key)))
    assert read == ["green"]


def test_a_session_that_is_there_already_stays(db: None) -> None:
    app = Recorder(OK)
    given = SessionStore()
    (start,) = call(SessionMiddlewareStack(app), http_scope(session=given))
    assert app.scope["session"] is given
    assert set_cookies(start) == []


def test_an_untouched_session_is_neither_read_nor_written(db: None) -> None:
    app = Recorder(OK)
    (start,) = call(SessionMiddlewareStack(app), http_scope(headers=with_session("k" * 32)))
    assert start == OK
    assert not hasattr(app.scope["session"], "_session_cache")


def test_a_changed_session_is_saved_and_its_cookie_sent_with_the_http_head(db: None) -> None:
    app = Changing(OK, {"type": "http.response.body"})
    start, _body = call(SessionMiddlewareStack(app), http_scope())
    (header,) = set_cookies(start)
    key = app.scope["session"].session_key
    assert header.startswith(f"{settings.SESSION_COOKIE_NAME}={key};")
    assert "HttpOnly" in header
    assert SessionStore(key)["visits"] == 1


def test_a_session_is_not_saved_when_the_answer_is_an_error_of_the_server(db: None) -> None:
    app = Changing({"type": "http.response.start", "status": 500})
    (start,) = call(SessionMiddlewareStack(app), http_scope())
    assert set_cookies(start) == []
    assert app.scope["session"].session_key is None


def test_a_session_changed_before_accept_is_saved_with_it(db: None) -> None:
    app = Changing(ACCEPT)
    (accept,) = call(SessionMiddlewareStack(app), websocket_scope(), [CONNECT])
    assert len(set_cookies(accept)) == 1
    assert SessionStore(app.scope["session"].session_key)["visits"] == 1


def test_accept_without_a_changed_session_is_sent_as_it_is(db: None) -> None:
    (accept,) = call(SessionMiddlewareStack(Recorder(ACCEPT)), websocket_scope(), [CONNECT])
    assert accept == ACCEPT


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_every_http_request_can_renew_the_cookie(db: None) -> None:
    headers = with_session(saved_session(a=1))
    (start,) = call(SessionMiddlewareStack(Recorder(OK)), http_scope(headers=headers))
    assert len(set_cookies(start)) == 1


@override_settings(SESSION_SAVE_EVERY_REQUEST=True)
def test_a_cookie_that_leads_nowhere_is_deleted(db: None) -> None:
    headers = with_session("nowhere" * 4)
    (start,) = call(SessionMiddlewareStack(Recorder(OK)), http_scope(headers=headers))
    assert "Max-Age=0" in set_cookies(start)[0]


def test_an_emptied_session_takes_its_cookie_along(db: None) -> None:
    class Flushing(Recorder):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await scope["session"].aflush()
            await super().__call__(scope, receive, send)

    key = saved_session(a=1)
    (start,) = call(SessionMiddlewareStack(Flushing(OK)), http_scope(headers=with_session(key)))
    assert "Max-Age=0" in set_cookies(start)[0]
    assert not SessionStore().exists(key)


class LosingItsSession(Recorder):
    """Changes a session that is deleted meanwhile by somebody else."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await scope["session"].aset("visits", 1)
        await SessionStore(scope["session"].session_key).adelete()
        await super().__call__(scope, receive, send)


def test_a_session_deleted_meanwhile_is_not_written_again_but_answered_400(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    key = saved_session(a=1)
    app = LosingItsSession(OK, {"type": "http.response.body", "body": b"secret"})
    with caplog.at_level(logging.WARNING):
        start, body = call(SessionMiddlewareStack(app), http_scope(headers=with_session(key)))
    assert start["status"] == 400
    assert b"session was deleted" in body["body"]
    assert not SessionStore().exists(key)
    assert [record.name for record in caplog.records] == ["channels.security"]


@pytest.mark.usefixtures("caplog")
def test_a_websocket_whose_session_was_deleted_meanwhile_is_refused(db: None) -> None:
    key = saved_session(a=1)
    app = LosingItsSession(ACCEPT, {"type": "websocket.send", "text": "secret"})
    sent = call(SessionMiddlewareStack(app), websocket_scope(headers=with_session(key)), [CONNECT])
    assert sent == [{"type": "websocket.close"}]
    assert not SessionStore().exists(key)


@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_an_open_socket_that_saves_an_ended_session_does_not_bring_it_back(
    db: None, engine: str, tmp_path: Any
) -> None:
    class Saving(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.scope["session"].aset("visits", 1)
            # Somebody logs out over HTTP meanwhile.
            await Store(self.scope["session"].session_key).aflush()
            with pytest.raises(UpdateError):
                await database_sync_to_async(self.scope["session"].save)()
            refused.append(self.scope["session"].session_key)

    refused: list[str] = []
    path = f"django.contrib.sessions.backends.{engine}"
    with override_settings(SESSION_ENGINE=path, SESSION_FILE_PATH=str(tmp_path)):
        Store = import_module(path).SessionStore
        session = Store()
        session["a"] = 1
        session.save()
        key = session.session_key
        app = SessionMiddlewareStack(Saving)
        call(app, websocket_scope(headers=with_session(key)), [CONNECT, DISCONNECT])
        assert refused == [key]
        assert not Store().exists(key)


def test_a_session_whose_key_changed_sends_the_new_one(db: None) -> None:
    class Cycling(Recorder):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await scope["session"].acycle_key()
            await super().__call__(scope, receive, send)

    key = saved_session(a=1)
    (start,) = call(SessionMiddlewareStack(Cycling(OK)), http_scope(headers=with_session(key)))
    (header,) = set_cookies(start)
    new = header.split(";")[0].split("=")[1]
    assert new != key
    assert SessionStore(new)["a"] == 1
    assert not SessionStore().exists(key)


def test_a_websockets_messages_pass_without_a_look_at_the_session() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the session was asked for {name}")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        wrapper = InstanceSessionWrapper(websocket_scope(cookies={}), send)
        wrapper.scope["session"] = Untouchable()
        await wrapper.send({"type": "websocket.send", "text": "hello"})

    asyncio.run(run())
    assert sent == [{"type": "websocket.send", "text": "hello"}]


def test_a_consumer_behind_sessions_still_stands_directly_on_the_server() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((receive, send))

    async def send(message: Any) -> None: ...

    async def run() -> None:
        receive = DirectReceive(Mailbox(asyncio.get_running_loop()), send)
        scope = websocket_scope()
        await SessionMiddlewareStack(app)(scope, receive, send)
        inner, inner_send = seen[0]
        assert inner.mailbox is receive.mailbox
        assert inner.send is inner_send
        await acall(SessionMiddlewareStack(app), scope)
        assert type(seen[1][0]) is not DirectReceive

    asyncio.run(run())
