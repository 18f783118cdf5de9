"""Rows: cookies of a scope, read and written."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import datetime
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django()


from tests.compat.session_calls import Sent, dateless, nothing, scope_with

from channels.sessions import CookieMiddleware

row = Rows()


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
