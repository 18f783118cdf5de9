"""Rows: the session of a scope, and when it is saved."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()

from django.test import override_settings
from django.utils.functional import LazyObject
from tests.compat.session_calls import Sent, nothing, scope_with
from tests.compat.stored import database

from channels.sessions import InstanceSessionWrapper, SessionMiddleware, SessionMiddlewareStack

row = Rows()


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
