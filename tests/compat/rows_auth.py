"""Rows: whom a session names, logging in and logging out."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.compat.behaviours import Rows, async_outcome, set_up_django

set_up_django(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.test import override_settings
from tests.compat.stored import MODEL_BACKEND, a_session, a_user, session_of

from channels.auth import get_user, login, logout

row = Rows()

OTHER_BACKEND = f"{__name__}.OtherBackend"


class OtherBackend:
    def get_user(self, user_id: Any) -> Any:
        return None


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
