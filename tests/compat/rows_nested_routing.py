"""Rows: routers below routers, and consumers in routes."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, outcome, set_up_django

set_up_django(ROOT_URLCONF=__name__)

from django.urls import include, path, re_path
from django.urls.exceptions import Resolver404
from django.urls.resolvers import URLPattern
from tests.compat.routing_calls import Recorder, Seen, call

from channels.routing import URLRouter

row = Rows()
urlpatterns: list[Any] = []


# -- nesting --------------------------------------------------------------------------------


@row(upstream=["", [], {"room": "lobby", "number": 7}])
async def nested_routers_add_up_what_they_capture() -> Any:
    seen = Seen()
    inner = URLRouter([path("<int:number>/", seen)])
    await call(URLRouter([path("chat/<room>/", inner)]), "/chat/lobby/7/")
    return seen.found


@row(upstream=["", ["a", "b"], {}])
async def nested_routers_add_up_positions() -> Any:
    seen = Seen()
    inner = URLRouter([re_path(r"^(\w)/$", seen)])
    await call(URLRouter([re_path(r"^(\w)/", inner)]), "/a/b/")
    return seen.found


@row(upstream=["", [], {"room": "inner"}])
async def inner_captures_override_outer_ones() -> Any:
    seen = Seen()
    inner = URLRouter([path("<room>/", seen)])
    await call(URLRouter([path("<room>/", inner)]), "/outer/inner/")
    return seen.found


@row(upstream="second")
async def a_nested_router_that_finds_nothing_leaves_it_to_the_next_route() -> Any:
    nested = URLRouter([path("one/", Seen("first"))])
    router = URLRouter([path("chat/", nested), path("chat/two/", Seen("second"))])
    return await call(router, "/chat/two/")


@row(upstream={"raises": "Resolver404", "says": "No route found for path 'nowhere/'."})
async def a_nested_router_raises_resolver404() -> Any:
    return await call(URLRouter([path("chat/", Seen())]), path_remaining="nowhere/")


@row(upstream="second", ours={"raises": "Resolver404", "says": "no such room"})
async def resolver404_of_an_application() -> Any:
    failing = Seen(Resolver404("no such room"))
    return await call(URLRouter([path("chat/", failing), path("chat/", Seen("second"))]), "/chat/")


@row(upstream=True, ours=False)
async def the_pattern_of_the_caller_is_changed() -> Any:
    route = path("chat/", URLRouter([path("room/", Seen())]))
    before = route.pattern
    await call(URLRouter([route]), "/chat/room/")
    return route.pattern is not before


@row(
    upstream={
        "raises": "ValueError",
        "says": f"Unsupported pattern type: <class '{__name__}.OddPattern'>",
    }
)
def a_pattern_that_is_neither_path_nor_expression() -> Any:
    route = URLPattern(OddPattern(), URLRouter([]))
    return outcome(URLRouter, [route])


class OddPattern:
    name = None

    def match(self, path: str) -> Any:
        return None


class Plain:
    """Middleware as anybody writes it, which says nothing about routing."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return await self.inner(scope, receive, send)


class Saying(Plain):
    _path_routing = True


@row(
    upstream={"raises": "ValueError", "says": "No route found for path 'chat/room/'."},
    ours="answered",
)
async def nesting_through_middleware() -> Any:
    inner = URLRouter([path("room/", Seen())])
    return await call(URLRouter([path("chat/", Plain(inner))]), "/chat/room/")


@row(upstream="answered")
async def nesting_through_middleware_that_says_so() -> Any:
    inner = URLRouter([path("room/", Seen())])
    return await call(URLRouter([path("chat/", Saying(inner))]), "/chat/room/")


@row(upstream="answered")
async def nesting_through_middleware_below_an_open_expression() -> Any:
    inner = URLRouter([path("room/", Seen())])
    return await call(URLRouter([re_path(r"^chat/", Plain(inner))]), "/chat/room/")


@row(upstream={"raises": "ImproperlyConfigured"}, ours=["", [], {"room": "lobby"}])
async def include_in_a_router() -> Any:
    seen = Seen()
    patterns = ([path("<room>/", seen)], "rooms")
    router = outcome(lambda: URLRouter([path("chat/", include(patterns))]))
    if isinstance(router, dict):
        return {"raises": router["raises"]}
    await call(router, "/chat/lobby/")
    return seen.found


# -- consumers in routes -----------------------------------------------------------------------


@row(upstream=[True, {}, {"limit": 5}])
def a_route_tells_its_consumer_class_and_arguments() -> Any:
    plain = path("chat/", Recorder.as_asgi())
    limited: Any = path("chat/", Recorder.as_asgi(limit=5))
    router = URLRouter([plain])
    callback = router.routes[0].callback
    return [
        callback.consumer_class is Recorder,
        callback.consumer_initkwargs,
        limited.callback.consumer_initkwargs,
    ]


@row(upstream=[{"room": "lobby"}])
async def a_consumer_behind_a_route() -> Any:
    Recorder.calls = []
    await call(URLRouter([path("<room>/", Recorder.as_asgi())]), "/lobby/")
    return Recorder.calls


@row(upstream="TypeError", ours=None)
async def a_consumer_class_in_a_route() -> Any:
    seen = await call(URLRouter([re_path(r"^chat/$", Recorder)]), "/chat/")
    return seen["raises"] if seen else seen


@row(upstream={"raises": "ImportError"}, ours=True)
def the_url_of_old_code() -> Any:
    def imported() -> Any:
        from channels.routing import url

        return url is re_path

    seen = outcome(imported)
    return {"raises": seen["raises"]} if isinstance(seen, dict) else seen


@row(upstream=["answered", "/chat/"])
async def a_derived_router_may_look_first() -> Any:
    class Looking(URLRouter):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            self.last = scope["path"]
            return await super().__call__(scope, receive, send)

    router = Looking([path("chat/", Seen())])
    return [await call(router, "/chat/"), router.last]
