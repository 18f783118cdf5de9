"""Rows: cookies and sessions of a scope, and when a session is saved."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
import datetime
import functools
import re
from collections.abc import Callable
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()

from django.core.management import call_command
from django.test import override_settings
from django.utils.functional import LazyObject

from channels.sessions import (
    CookieMiddleware,
    InstanceSessionWrapper,
    SessionMiddleware,
    SessionMiddlewareStack,
)

row = Rows()


@functools.cache
def migrated() -> None:
    call_command("migrate", verbosity=0)


async def database() -> None:
    await asyncio.to_thread(migrated)


async def nothing() -> Any:
    return {"type": "websocket.connect"}


class Sent:
    """Keeps the events that came through."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def __call__(self, event: Any) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def cookies(self) -> list[str]:
        """Of the first event, without what changes from run to run."""
        return [dateless(value) for name, value in self.events[0].get("headers", ())]


def dateless(header: bytes) -> str:
    text = re.sub(r"expires=\w{3}, \d\d.\w{3}.\d{4} [\d:]+ GMT", "expires=DATE", header.decode())
    return re.sub(r"sessionid=\w{32}", "sessionid=KEY", text)


def scope_with(*headers: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http", "path": "/", "headers": list(headers), **more}


# -- reading cookies ----------------------------------------------------------------


async def cookies_of(*headers: Any) -> Any:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["cookies"])

    await CookieMiddleware(inner)(scope_with(*headers), nothing, Sent())
    return seen[0]


@row(upstream={"a": "1", "b": "two words"})
async def the_cookies_of_a_request() -> Any:
    return await cookies_of((b"host", b"x"), (b"cookie", b'a=1; b="two words"'))


@row(upstream={})
async def a_request_without_cookies() -> Any:
    return await cookies_of((b"host", b"x"))


@row(upstream={"a": "é"})
async def cookies_are_latin1() -> Any:
    return await cookies_of((b"cookie", b"a=\xe9"))


@row(upstream={"a": "1"}, ours={"a": "1", "b": "2"})
async def several_cookie_headers() -> Any:
    return await cookies_of((b"cookie", b"a=1"), (b"cookie", b"b=2"))


@row(upstream={}, ours={"a": "1"})
async def a_cookie_header_in_capitals() -> Any:
    return await cookies_of((b"Cookie", b"a=1"))


@row(
    upstream={
        "raises": "ValueError",
        "says": "CookieMiddleware was passed a scope that did not have a headers key "
        "(make sure it is only passed HTTP or WebSocket connections)",
    }
)
async def cookies_of_a_scope_without_headers() -> Any:
    return await async_outcome(CookieMiddleware(nothing)({"type": "channel"}, nothing, Sent()))


@row(upstream=[True, False, "answer"])
async def the_cookies_are_put_into_a_copy_of_the_scope() -> Any:
    async def inner(scope: Any, receive: Any, send: Any) -> Any:
        return "answer"

    scope, middleware = scope_with(), CookieMiddleware(inner)
    answer = await middleware(scope, nothing, Sent())
    return [middleware.inner is inner, "cookies" in scope, answer]


# -- writing cookies ------------------------------------------------------------------


def written(*args: Any, **options: Any) -> Any:
    message: dict[str, Any] = {"type": "http.response.start", "status": 200}
    seen = outcome(CookieMiddleware.set_cookie, message, *args, **options)
    if seen is not None:
        return seen
    return [[name.decode(), dateless(value)] for name, value in message["headers"]]


@row(upstream=[["Set-Cookie", "a=1; Path=/; SameSite=lax"]])
def set_cookie_by_default() -> Any:
    return written("a", "1")


@row(upstream=[["Set-Cookie", 'a=""; Path=/; SameSite=lax']])
def set_cookie_without_a_value() -> Any:
    return written("a")


@row(upstream=[["Set-Cookie", "a=5; Path=/; SameSite=lax"]])
def set_cookie_of_a_number() -> Any:
    return written("a", 5)


@row(upstream=[["Set-Cookie", 'a="two words\\073"; Path=/; SameSite=lax']])
def set_cookie_of_a_value_that_needs_quotes() -> Any:
    return written("a", "two words;")


@row(upstream=[["Set-Cookie", "a=1; expires=DATE; Max-Age=60; Path=/; SameSite=lax"]])
def set_cookie_with_max_age() -> Any:
    return written("a", "1", max_age=60)


@row(
    upstream=[
        [
            "Set-Cookie",
            "a=1; Domain=example.org; HttpOnly; Path=/chat; SameSite=Strict; Secure",
        ]
    ]
)
def set_cookie_with_every_option() -> Any:
    options: Any = {"domain": "example.org", "secure": True, "httponly": True}
    return written("a", "1", path="/chat", samesite="Strict", **options)


@row(upstream=[["Set-Cookie", "a=1"]])
def set_cookie_without_path_and_samesite() -> Any:
    return written("a", "1", path=None, samesite=None)


@row(upstream=[["Set-Cookie", "a=1; expires=Thu, 01 Jan; Path=/; SameSite=lax"]])
def set_cookie_that_expires_at_a_string() -> Any:
    return written("a", "1", expires="Thu, 01 Jan")


@row(upstream=[["Set-Cookie", "a=1; expires=DATE; Max-Age=3600; Path=/; SameSite=lax"]])
def set_cookie_that_expires_at_a_naive_datetime() -> Any:
    hour = datetime.timedelta(hours=1, milliseconds=-500)
    moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + hour
    return written("a", "1", expires=moment)


@row(
    upstream={
        "raises": "AttributeError",
        "says": "module 'django.utils.timezone' has no attribute 'utc'",
    },
    ours=[["Set-Cookie", "a=1; expires=DATE; Max-Age=3600; Path=/; SameSite=lax"]],
)
def set_cookie_that_expires_at_an_aware_datetime() -> Any:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    hour = datetime.timedelta(hours=1, milliseconds=-500)
    return written("a", "1", expires=datetime.datetime.now(zone) + hour)


@row(
    upstream={
        "raises": "AssertionError",
        "says": "samesite must be either 'strict', 'lax' or 'none'",
    },
    ours={"raises": "ValueError", "says": 'samesite must be "lax", "none", or "strict".'},
)
def set_cookie_with_another_samesite() -> Any:
    return written("a", "1", samesite="any")


@row(upstream=["x-header", "Set-Cookie", "Set-Cookie"])
def set_cookie_comes_behind_the_headers_there_are() -> Any:
    message: dict[str, Any] = {"type": "http.response.start", "headers": [(b"x-header", b"1")]}
    CookieMiddleware.set_cookie(message, "a", "1")
    CookieMiddleware.set_cookie(message, key="b", value="2")
    return [name.decode() for name, _ in message["headers"]]


@row(upstream=1, ours=0)
def set_cookie_grows_a_list_of_headers_that_others_use() -> Any:
    constant: list[Any] = []
    CookieMiddleware.set_cookie({"type": "http.response.start", "headers": constant}, "a", "1")
    return len(constant)


@row(
    upstream='a=""; expires=Thu, 01-Jan-1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=lax',
    ours='a=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=lax',
)
def delete_cookie_writes_a_date_long_ago() -> Any:
    message: dict[str, Any] = {"type": "http.response.start"}
    CookieMiddleware.delete_cookie(message, "a")
    return message["headers"][0][1].decode()


@row(upstream=['a=""; Domain=example.org; expires=DATE; Max-Age=0; Path=/chat; SameSite=lax'])
def delete_cookie_of_a_path_and_domain() -> Any:
    message: dict[str, Any] = {"type": "http.response.start"}
    CookieMiddleware.delete_cookie(message, key="a", path="/chat", domain="example.org")
    return [dateless(value) for _, value in message["headers"]]


# -- the wrapper -------------------------------------------------------------------------


@row(
    upstream=[["http.response.start"], ["http.response.start"]],
    ours=[["http.response.start", "websocket.accept", "websocket.http.response.start"]] * 2,
)
def the_messages_that_save_a_session() -> Any:
    kind = InstanceSessionWrapper
    return [list(kind.save_message_types), list(kind.cookie_response_message_types)]


@row(upstream=["sessionid", True, True, True, True, False, True])
def attributes_of_the_wrapper() -> Any:
    scope, send = scope_with(cookies={}), Sent()
    wrapper = InstanceSessionWrapper(scope, send)
    return [
        wrapper.cookie_name,
        wrapper.session_store.__module__ == "django.contrib.sessions.backends.db",
        wrapper.activated,
        wrapper.real_send is send,
        issubclass(type(wrapper.scope["session"]), LazyObject),
        "session" in scope,
        callable(wrapper.send),
    ]


@row(
    upstream={
        "raises": "ValueError",
        "says": "No cookies in scope - SessionMiddleware needs to run inside of CookieMiddleware.",
    }
)
def a_session_without_cookies() -> Any:
    return outcome(InstanceSessionWrapper, scope_with(), Sent())


@row(upstream=[False, True])
def a_session_that_is_there_already_stays() -> Any:
    session: dict[str, Any] = {}
    wrapper = InstanceSessionWrapper(scope_with(session=session), Sent())
    return [wrapper.activated, wrapper.scope["session"] is session]


@row(upstream="KeyError", ours=None)
async def session_middleware_below_a_session_of_another_kind() -> Any:
    async def inner(scope: Any, receive: Any, send: Any) -> None: ...

    seen = await async_outcome(SessionMiddleware(inner)(scope_with(session={}), nothing, Sent()))
    return seen["raises"] if seen else seen


@row(upstream=["abcdefgh", False])
async def a_session_is_made_of_the_cookie_and_not_read_yet() -> Any:
    wrapper = InstanceSessionWrapper(scope_with(cookies={"sessionid": "abcdefgh"}), Sent())
    # As middleware of other packages does that is written like upstream's.
    await wrapper.resolve_session()
    session = wrapper.scope["session"]
    return [session.session_key, hasattr(session, "_session_cache")]


class Derived(InstanceSessionWrapper):
    """As projects do it to save sessions with other messages."""

    save_message_types = ["http.response.start", "websocket.close"]


@row(upstream=[["websocket.close"], True])
async def a_derived_wrapper_saves_with_other_messages() -> Any:
    await database()
    sent = Sent()
    wrapper = Derived(scope_with(cookies={}), sent)
    resolved: Any = wrapper.resolve_session()
    if resolved is not None:
        await resolved
    session = wrapper.scope["session"]
    await session.aset("seen", 1)
    await wrapper.send({"type": "websocket.close"})
    return [sent.types, await session.aexists(session.session_key)]


# -- saving -------------------------------------------------------------------------------


async def answered(
    act: Callable[[Any], Any],
    *messages: Any,
    cookie: bytes = b"",
    **scope: Any,
) -> Any:
    """What is sent where the application does `act(session)` and then sends `messages`."""
    await database()
    sent, sessions = Sent(), []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        sessions.append(scope["session"])
        await act(scope["session"])
        for message in messages or ({"type": "http.response.start", "status": 200},):
            await send(dict(message))

    headers = [(b"cookie", cookie)] if cookie else []
    middleware = SessionMiddlewareStack(inner)
    error = await async_outcome(middleware(scope_with(*headers, **scope), nothing, sent))
    return sent, sessions[0], error


async def change(session: Any) -> None:
    await session.aset("seen", 1)


async def read(session: Any) -> None:
    await session.aget("seen")


async def leave(session: Any) -> None: ...


async def stored(**values: Any) -> str:
    """The key of a session that the database has."""
    await database()
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    await session.aupdate({"old": 1, **values})
    await session.asave()
    return str(session.session_key)


COOKIE = "sessionid=KEY; expires=DATE; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax"


@row(upstream=[[COOKIE], True])
async def a_changed_session_is_saved_with_the_response() -> Any:
    sent, session, _ = await answered(change)
    return [sent.cookies, await session.aexists(session.session_key)]


@row(upstream=[[], []])
async def a_session_that_is_only_read_is_not_saved() -> Any:
    first, _, _ = await answered(read)
    second, _, _ = await answered(leave)
    return [first.cookies, second.cookies]


@row(upstream=[[], None])
async def a_session_is_not_saved_with_an_error_500() -> Any:
    sent, session, _ = await answered(change, {"type": "http.response.start", "status": 500})
    return [sent.cookies, session.session_key]


@row(upstream=[COOKIE], ours=[])
async def a_session_is_saved_with_an_error_503() -> Any:
    sent, _, _ = await answered(change, {"type": "http.response.start", "status": 503})
    return sent.cookies


@row(
    upstream=[
        "sessionid=KEY; Domain=example.org; expires=DATE; Max-Age=60; Path=/x; "
        "SameSite=Strict; Secure"
    ]
)
async def the_settings_of_the_session_cookie() -> Any:
    settings: Any = {"SESSION_COOKIE_AGE": 60, "SESSION_COOKIE_PATH": "/x"}
    settings |= {"SESSION_COOKIE_DOMAIN": "example.org", "SESSION_COOKIE_SECURE": True}
    settings |= {"SESSION_COOKIE_HTTPONLY": False, "SESSION_COOKIE_SAMESITE": "Strict"}
    with override_settings(**settings):
        sent, _, _ = await answered(change)
    return sent.cookies


@row(upstream=["sessionid=KEY; HttpOnly; Path=/; SameSite=Lax"])
async def a_session_that_ends_with_the_browser() -> Any:
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
        sent, _, _ = await answered(change)
    return sent.cookies


@row(upstream=1)
async def every_request_saves_if_the_setting_says_so() -> Any:
    key = await stored()
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        sent, _, _ = await answered(read, cookie=f"sessionid={key}".encode())
    return len(sent.cookies)


@row(
    upstream=[['sessionid=""; expires=DATE; Max-Age=0; Path=/; SameSite=lax'], False],
)
async def a_flushed_session_deletes_the_cookie() -> Any:
    key = await stored()

    async def flush(session: Any) -> None:
        await session.aflush()

    sent, session, _ = await answered(flush, cookie=f"sessionid={key}".encode())
    return [sent.cookies, await session.aexists(key)]


@row(upstream=[])
async def a_flushed_session_without_a_cookie_deletes_none() -> Any:
    async def flush(session: Any) -> None:
        await session.aflush()

    sent, _, _ = await answered(flush)
    return sent.cookies


@row(upstream=[True, True])
async def a_new_key_goes_out_with_the_cookie() -> Any:
    key = await stored()

    async def cycle(session: Any) -> None:
        await session.acycle_key()

    sent, session, _ = await answered(cycle, cookie=f"sessionid={key}".encode())
    header = sent.events[0]["headers"][0][1].decode()
    return [session.session_key != key, session.session_key in header]


@row(
    upstream=[{"raises": "SuspiciousOperation"}, [], False],
    ours=[None, ["http.response.start", "http.response.body"], False],
)
async def a_session_that_was_deleted_meanwhile() -> Any:
    key = await stored()

    async def lose(session: Any) -> None:
        await session.aset("seen", 1)
        await session.adelete(key)

    sent, session, error = await answered(lose, cookie=f"sessionid={key}".encode())
    error = {"raises": error["raises"]} if error else error
    return [error, sent.types, await session.aexists(key)]


@row(upstream={"raises": "SuspiciousOperation"})
async def save_session_of_a_deleted_one() -> Any:
    key = await stored()
    wrapper = InstanceSessionWrapper(scope_with(cookies={"sessionid": key}), Sent())
    resolved: Any = wrapper.resolve_session()
    if resolved is not None:
        await resolved
    await wrapper.scope["session"].aset("seen", 1)
    await wrapper.scope["session"].adelete(key)
    return {"raises": (await async_outcome(wrapper.save_session()))["raises"]}


ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "hello"}


@row(
    upstream=[["websocket.accept", "websocket.send"], [], None],
    ours=[
        ["websocket.accept", "websocket.send"],
        [COOKIE],
        True,
    ],
)
async def a_session_changed_before_a_websocket_is_accepted() -> Any:
    sent, session, _ = await answered(change, ACCEPT, TEXT, type="websocket")
    key = session.session_key
    return [sent.types, sent.cookies, key and await session.aexists(key)]


@row(upstream=[["websocket.accept", "websocket.send"], None])
async def a_session_changed_on_an_open_websocket() -> Any:
    await database()
    sent, sessions = Sent(), []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        sessions.append(scope["session"])
        await send(dict(ACCEPT))
        await scope["session"].aset("seen", 1)
        await send(dict(TEXT))

    await SessionMiddlewareStack(inner)(scope_with(type="websocket"), nothing, sent)
    return [sent.types, sessions[0].session_key]


@row(upstream=True)
async def a_consumer_saves_the_session_of_an_open_websocket() -> Any:
    async def save(session: Any) -> None:
        await session.aset("seen", 1)
        await session.asave()

    _, session, _ = await answered(save, ACCEPT, type="websocket")
    return await session.aexists(session.session_key)


@row(upstream={"raises": "SynchronousOnlyOperation"})
async def a_session_read_by_blocking_code_in_a_coroutine() -> Any:
    key = await stored()
    seen: list[Any] = []

    async def get(session: Any) -> None:
        seen.append(outcome(session.get, "old"))

    await answered(get, cookie=f"sessionid={key}".encode())
    return {"raises": seen[0]["raises"]}


@row(upstream=1)
async def a_session_read_by_a_coroutine() -> Any:
    key = await stored()
    seen: list[Any] = []

    async def get(session: Any) -> None:
        seen.append(await session.aget("old"))

    await answered(get, cookie=f"sessionid={key}".encode())
    return seen[0]


@row(upstream=["CookieMiddleware", "SessionMiddleware", True])
def the_stack_is_two_middlewares() -> Any:
    stack = SessionMiddlewareStack(nothing)
    return [type(stack).__name__, type(stack.inner).__name__, stack.inner.inner is nothing]


@row(upstream=["session", True])
async def an_inner_stack_passes_the_session_of_the_outer_one_through() -> Any:
    await database()
    scopes: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    async def between(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await SessionMiddlewareStack(inner)(scope, receive, send)

    await SessionMiddlewareStack(between)(scope_with(), nothing, Sent())
    return ["session", scopes[0]["session"] is scopes[1]["session"]]
