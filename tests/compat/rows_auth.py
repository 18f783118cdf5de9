"""Rows: the user of a scope: who it is, logging in and out, and the middleware."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.management import call_command
from django.test import override_settings
from django.utils.functional import LazyObject, SimpleLazyObject

from channels.auth import (
    AuthMiddleware,
    AuthMiddlewareStack,
    UserLazyObject,
    get_user,
    login,
    logout,
)
from channels.middleware import BaseMiddleware

row = Rows()

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
OTHER_BACKEND = f"{__name__}.OtherBackend"
numbers = itertools.count()


class OtherBackend:
    def get_user(self, user_id: Any) -> Any:
        return None


@functools.cache
def migrated() -> None:
    call_command("migrate", verbosity=0)


async def a_user() -> Any:
    await asyncio.to_thread(migrated)
    from django.contrib.auth.models import User

    return await User.objects.acreate_user(f"user{next(numbers)}", password="secret")


async def a_session(**values: Any) -> Any:
    await asyncio.to_thread(migrated)
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    await session.aupdate({"cart": 1, **values})
    await session.asave()
    return session


async def session_of(user: Any, **changed: Any) -> Any:
    values = {SESSION_KEY: str(user.pk), BACKEND_SESSION_KEY: MODEL_BACKEND}
    values[HASH_SESSION_KEY] = user.get_session_auth_hash()
    return await a_session(**{**values, **changed})


async def keys_of(session: Any) -> list[str]:
    return sorted(await session.akeys())


@contextmanager
def heard(signal: Any) -> Iterator[list[Any]]:
    """The user and the class of the request that receivers of a signal get."""
    calls: list[Any] = []

    def receiver(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        calls.append([user.username, type(request).__name__])

    signal.connect(receiver)
    try:
        yield calls
    finally:
        signal.disconnect(receiver)


NO_SESSION = {
    "raises": "ValueError",
    "says": "Cannot find session in scope. You should wrap your consumer in SessionMiddleware.",
}

# -- who it is -----------------------------------------------------------------------


@row(upstream=NO_SESSION)
async def the_user_of_a_scope_without_a_session() -> Any:
    return await async_outcome(get_user({"type": "websocket"}))


@row(upstream="AnonymousUser")
async def the_user_of_a_session_that_names_nobody() -> Any:
    return type(await get_user({"session": await a_session()})).__name__


@row(upstream=[True, "User"])
async def the_user_whom_a_session_names() -> Any:
    user = await a_user()
    found = await get_user(scope={"session": await session_of(user)})
    return [found == user, type(found).__name__]


@row(upstream=["AnonymousUser", True])
async def the_user_of_a_session_whose_user_was_deleted() -> Any:
    user = await a_user()
    session = await session_of(user)
    await user.adelete()
    found = await get_user({"session": session})
    return [type(found).__name__, await session.aexists(session.session_key)]


@row(upstream=["AnonymousUser", []])
async def a_session_with_a_hash_that_no_longer_fits_is_flushed() -> Any:
    user = await a_user()
    session = await session_of(user, **{HASH_SESSION_KEY: "of an older password"})
    found = await get_user({"session": session})
    return [type(found).__name__, await keys_of(session)]


@row(upstream=["AnonymousUser", True])
async def a_session_of_a_backend_that_is_not_configured() -> Any:
    user = await a_user()
    session = await session_of(user, **{BACKEND_SESSION_KEY: OTHER_BACKEND})
    found = await get_user({"session": session})
    return [type(found).__name__, await session.ahas_key(SESSION_KEY)]


@row(upstream=["AnonymousUser", False], ours=["User", True])
async def a_session_signed_with_an_older_secret_key() -> Any:
    user = await a_user()
    session = await session_of(user)
    with override_settings(SECRET_KEY="newer", SECRET_KEY_FALLBACKS=["not a secret"]):
        found = await get_user({"session": session})
        kept = await session.aexists(session.session_key) if session.session_key else False
    return [type(found).__name__, kept]


# -- logging in ------------------------------------------------------------------------


@row(upstream=NO_SESSION)
async def login_without_a_session() -> Any:
    return await async_outcome(login({"type": "websocket"}, await a_user()))


@row(
    upstream={
        "raises": "ValueError",
        "says": "User must be passed as an argument or must be present in the scope.",
    }
)
async def login_of_nobody() -> Any:
    return await async_outcome(login({"session": await a_session()}, None))


@row(upstream=[[SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, "cart"], True, MODEL_BACKEND])
async def login_puts_the_user_into_session_and_scope() -> Any:
    user, session = await a_user(), await a_session()
    scope: dict[str, Any] = {"session": session}
    await login(scope=scope, user=user, backend=None)
    keys = await keys_of(session)
    order = [SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, "cart"]
    found = [key for key in order if key in keys]
    return [found, scope["user"] is user, await session.aget(BACKEND_SESSION_KEY)]


@row(upstream=True)
async def login_of_the_user_in_the_scope() -> Any:
    user, session = await a_user(), await a_session()
    await login({"session": session, "user": user}, None)
    return await session.aget(SESSION_KEY) == str(user.pk)


@row(upstream=True)
async def who_logged_in_is_found_by_the_next_connection() -> Any:
    user, session = await a_user(), await a_session()
    await login({"session": session}, user)
    await session.asave()
    return await get_user({"session": session}) == user


@row(upstream=[True, 1])
async def login_gives_an_anonymous_session_a_new_key_and_keeps_its_data() -> Any:
    user, session = await a_user(), await a_session()
    key = session.session_key
    await login({"session": session}, user)
    return [session.session_key != key, await session.aget("cart")]


@row(upstream=[None, True])
async def login_of_another_user_empties_the_session() -> Any:
    first, second = await a_user(), await a_user()
    session = await session_of(first)
    await login({"session": session}, second)
    return [await session.aget("cart"), await session.aget(SESSION_KEY) == str(second.pk)]


@row(upstream=1)
async def login_of_the_same_user_keeps_the_session() -> Any:
    user = await a_user()
    session = await session_of(user)
    await login({"session": session}, user)
    return await session.aget("cart")


@row(upstream=[["user", "NoneType"]], ours=[["user", "ASGIRequest"]])
async def receivers_of_login_get_a_request() -> Any:
    user, session = await a_user(), await a_session()
    with heard(user_logged_in) as calls:
        await login({"type": "websocket", "path": "/", "session": session}, user)
    return [[name.rstrip("0123456789"), request] for name, request in calls]


@row(upstream=True)
async def login_notes_its_time() -> Any:
    user, session = await a_user(), await a_session()
    await login({"session": session}, user)
    return user.last_login is not None


@row(
    upstream={
        "raises": "ValueError",
        "says": "You have multiple authentication backends configured and therefore must "
        "provide the `backend` argument or set the `backend` attribute on the user.",
    }
)
async def login_with_several_backends() -> Any:
    user, session = await a_user(), await a_session()
    with override_settings(AUTHENTICATION_BACKENDS=[MODEL_BACKEND, OTHER_BACKEND]):
        return await async_outcome(login({"session": session}, user))


@row(upstream=[OTHER_BACKEND, MODEL_BACKEND])
async def login_with_a_backend_named() -> Any:
    user, backends = await a_user(), []
    with override_settings(AUTHENTICATION_BACKENDS=[MODEL_BACKEND, OTHER_BACKEND]):
        session = await a_session()
        await login({"session": session}, user, OTHER_BACKEND)
        backends.append(await session.aget(BACKEND_SESSION_KEY))
        user.backend, session = MODEL_BACKEND, await a_session()
        await login({"session": session}, user)
        backends.append(await session.aget(BACKEND_SESSION_KEY))
    return backends


# -- logging out ---------------------------------------------------------------------------


@row(
    upstream={
        "raises": "ValueError",
        "says": "Login cannot find session in scope. You should wrap your consumer in "
        "SessionMiddleware.",
    },
    ours=NO_SESSION,
)
async def logout_without_a_session() -> Any:
    return await async_outcome(logout({"type": "websocket"}))


@row(upstream=[[], "AnonymousUser", False])
async def logout_deletes_the_session() -> Any:
    user = await a_user()
    session = await session_of(user)
    key = session.session_key
    scope = {"session": session, "user": user}
    await logout(scope=scope)
    return [await keys_of(session), type(scope["user"]).__name__, await session.aexists(key)]


@row(upstream=False)
async def logout_puts_no_user_where_none_was() -> Any:
    scope = {"session": await a_session()}
    await logout(scope)
    return "user" in scope


@row(upstream=[["user", "NoneType"]], ours=[["user", "ASGIRequest"]])
async def receivers_of_logout_get_a_request() -> Any:
    user = await a_user()
    scope = {"type": "websocket", "path": "/", "session": await session_of(user), "user": user}
    with heard(user_logged_out) as calls:
        await logout(scope)
    return [[name.rstrip("0123456789"), request] for name, request in calls]


@row(upstream=[[], []])
async def logout_of_nobody_tells_nobody() -> Any:
    from django.contrib.auth.models import AnonymousUser

    session = await a_session()
    with heard(user_logged_out) as calls:
        await logout({"session": session, "user": AnonymousUser()})
    return [calls, await keys_of(session)]


# -- the user in the scope ------------------------------------------------------------------


@row(
    upstream=[
        {"raises": "ValueError", "says": "Accessing scope user before it is ready."},
        True,
    ]
)
def a_user_that_is_not_ready() -> Any:
    user = UserLazyObject()
    return [outcome(lambda: user.pk), issubclass(UserLazyObject, LazyObject)]


class Seen:
    def __init__(self) -> None:
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        self.scope = scope
        return "answer"


async def through(middleware: Any, **scope: Any) -> Any:
    """The scope behind a middleware, or what it raised."""
    seen = Seen()
    scope = {"type": "websocket", "path": "/", "headers": [], **scope}
    answer = await async_outcome(middleware(seen)(scope, None, None))
    return answer if isinstance(answer, dict) else seen.scope


@row(
    upstream={
        "raises": "ValueError",
        "says": "AuthMiddleware cannot find session in scope. SessionMiddleware must be above it.",
    }
)
async def auth_middleware_without_a_session() -> Any:
    return await through(AuthMiddleware)


@row(upstream=[True, "UserLazyObject", True, True, False])
async def the_user_behind_auth_middleware() -> Any:
    from django.contrib.auth.models import User

    user = await a_user()
    found = (await through(AuthMiddleware, session=await session_of(user)))["user"]
    return [
        found == user,
        type(found).__name__,
        isinstance(found, User),
        found.is_authenticated,
        found.is_anonymous,
    ]


@row(upstream=["UserLazyObject", True])
async def nobody_behind_auth_middleware() -> Any:
    found = (await through(AuthMiddleware, session=await a_session()))["user"]
    return [type(found).__name__, found.is_anonymous]


@row(upstream=["inner", False, "answer"])
async def auth_middleware_passes_on_a_copy_of_the_scope() -> Any:
    seen, scope = Seen(), {"type": "websocket", "path": "/", "session": await a_session()}
    middleware: Any = AuthMiddleware(inner=seen)
    answer = await middleware(scope, None, None)
    return ["inner" if middleware.inner is seen else "", "user" in scope, answer]


@row(upstream=True)
def auth_middleware_is_base_middleware() -> Any:
    return issubclass(AuthMiddleware, BaseMiddleware)


@row(upstream={"raises": "AttributeError"}, ours="mine")
async def a_user_that_outer_middleware_put_there_as_a_string() -> Any:
    scope = await through(AuthMiddleware, session=await a_session(), user="mine")
    return {"raises": scope["raises"]} if "raises" in scope else scope["user"]


@row(upstream=[True, True], ours=[True, False])
async def a_user_that_outer_middleware_put_there_is_written_into() -> Any:
    user = await a_user()
    scope = await through(AuthMiddleware, session=await a_session(), user=user)
    return [scope["user"] is user, hasattr(user, "_wrapped")]


@row(upstream=True)
async def a_lazy_user_of_ones_own_is_resolved() -> Any:
    class Lazy(LazyObject):
        def _setup(self) -> None:
            raise ValueError("too early")

    user = await a_user()
    session = await session_of(user)
    scope = await through(AuthMiddleware, session=session, user=Lazy())
    return outcome(lambda: scope["user"] == user)


# -- derived middleware ---------------------------------------------------------------------


@row(upstream=[True, "UserLazyObject"])
async def resolve_scope_may_be_replaced() -> Any:
    user = await a_user()

    class ByToken(AuthMiddleware):
        async def resolve_scope(self, scope: Any) -> None:
            scope["user"]._wrapped = user

    found = (await through(ByToken, session=await a_session()))["user"]
    return [found == user, type(found).__name__]


@row(upstream=[True, True])
async def populate_scope_may_be_replaced() -> Any:
    user = await a_user()

    class WithoutSession(AuthMiddleware):
        def populate_scope(self, scope: Any) -> None:
            scope.setdefault("user", UserLazyObject())
            scope["populated"] = True

        async def resolve_scope(self, scope: Any) -> None:
            scope["user"]._wrapped = user

    scope = await through(WithoutSession)
    return [scope["user"] == user, scope["populated"]]


@row(upstream=[True, "extra"])
async def resolve_scope_may_be_extended() -> Any:
    user = await a_user()

    class Extended(AuthMiddleware):
        async def resolve_scope(self, scope: Any) -> None:
            await super().resolve_scope(scope)
            scope["extra"] = "extra"

    scope = await through(Extended, session=await session_of(user))
    return [scope["user"] == user, scope["extra"]]


@row(upstream=True)
async def middleware_may_use_get_user_itself() -> Any:
    user = await a_user()

    class Own(BaseMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            scope["user"] = await get_user(scope)
            return await super().__call__(scope, receive, send)

    return (await through(Own, session=await session_of(user)))["user"] == user


@row(upstream=[True, True])
async def a_lazy_user_of_django_may_be_put_there() -> Any:
    user = await a_user()

    class Own(BaseMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            scope["user"] = SimpleLazyObject(lambda: user)
            return await super().__call__(scope, receive, send)

    found = (await through(Own))["user"]
    return [found == user, found.is_authenticated]


@row(upstream=["CookieMiddleware", "SessionMiddleware", "AuthMiddleware", True])
def the_stack_is_three_middlewares() -> Any:
    seen = Seen()
    stack: Any = AuthMiddlewareStack(seen)
    auth = stack.inner.inner
    names = [type(one).__name__ for one in (stack, stack.inner, auth)]
    return [*names, auth.inner is seen]


@row(upstream=[True, 1])
async def the_stack_finds_the_user_of_the_cookie() -> Any:
    user = await a_user()
    session = await session_of(user)
    cookie = (b"cookie", f"sessionid={session.session_key}".encode())
    scope = await through(AuthMiddlewareStack, headers=[cookie])
    # The session was read with the user: blocking code finds it in memory.
    return [scope["user"] == user, outcome(scope["session"].get, "cart")]
