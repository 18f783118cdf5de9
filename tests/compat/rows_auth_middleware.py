"""Rows: the user that middleware puts into the scope, and middleware derived from it."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])

from django.utils.functional import LazyObject, SimpleLazyObject
from tests.compat.stored import a_session, a_user, session_of

from channels.auth import AuthMiddleware, AuthMiddlewareStack, UserLazyObject, get_user
from channels.middleware import BaseMiddleware

row = Rows()


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
