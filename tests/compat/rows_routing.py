"""Rows: routers and middleware: which application gets a scope, and what it finds there."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django(ROOT_URLCONF=__name__)

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from django.urls import include, path, re_path
from django.urls.exceptions import Resolver404
from django.urls.resolvers import URLPattern

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.middleware import BaseMiddleware
from channels.routing import (
    ChannelNameRouter,
    ProtocolTypeRouter,
    URLRouter,
    get_default_application,
)

row = Rows()
urlpatterns: list[Any] = []


class Seen:
    """An application that keeps the scopes it was called with."""

    def __init__(self, answer: Any = "answered") -> None:
        self.scopes: list[Any] = []
        self.answer = answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        self.scopes.append(scope)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def found(self) -> Any:
        """What the routers left in the scope of the last call."""
        scope = self.scopes[-1]
        return [scope["path_remaining"], scope["url_route"]["args"], scope["url_route"]["kwargs"]]


class Recorder(AsyncConsumer):
    calls: list[Any] = []

    async def websocket_connect(self, message: Any) -> None:
        self.calls.append(self.scope["url_route"]["kwargs"])
        raise StopConsumer


async def connecting() -> Any:
    return {"type": "websocket.connect"}


async def call(application: Any, path: str = "/", **scope: Any) -> Any:
    """What comes out: the answer, an error, or (where events were sent) their types."""
    events: list[Any] = []

    async def send(event: Any) -> None:
        events.append(event)

    scope = {"type": "websocket", "path": path, "headers": [], **scope}
    scope = {key: value for key, value in scope.items() if value is not None}
    answer = await async_outcome(application(scope, connecting, send))
    return [[event["type"], event.get("status")] for event in events] if events else answer


async def found(routes: list[Any], path: str, **scope: Any) -> Any:
    """Like `call`; for routes to `Seen` that ends with what the routers left."""
    seen = Seen()
    router = URLRouter([route(seen) for route in routes])
    answer = await call(router, path, **scope)
    return seen.found if answer == "answered" else answer


def at(route: str, kwargs: Any = None) -> Any:
    return lambda view: path(route, view, kwargs)


def at_re(route: str, kwargs: Any = None) -> Any:
    return lambda view: re_path(route, view, kwargs)


# -- ASGI_APPLICATION ------------------------------------------------------------

project_application = Seen()


def default_with(value: Any) -> Any:
    with override_settings(ASGI_APPLICATION=value):
        return outcome(get_default_application)


@row(upstream=True)
def the_setting_names_the_default_application() -> Any:
    return default_with(f"{__name__}.project_application") is project_application


@row(
    upstream=[{"raises": "ImproperlyConfigured", "says": "Cannot find ASGI_APPLICATION setting."}]
    * 3
)
def without_the_setting_there_is_no_default_application() -> Any:
    return [outcome(get_default_application), default_with(None), default_with("nodots")]


@row(
    upstream={
        "raises": "ImproperlyConfigured",
        "says": "Cannot import ASGI_APPLICATION module 'no.such'",
    },
    ours={
        "raises": "ImproperlyConfigured",
        "says": "Cannot import ASGI_APPLICATION module 'no.such': No module named 'no'",
    },
)
def the_default_application_is_in_no_module() -> Any:
    return default_with("no.such.application")


@row(
    upstream={
        "raises": "ImproperlyConfigured",
        "says": f"Cannot find 'missing' in ASGI_APPLICATION module {__name__}",
    }
)
def the_default_application_is_not_in_its_module() -> Any:
    return default_with(f"{__name__}.missing")


# -- by protocol -------------------------------------------------------------------


@row(upstream=["answered", True])
async def the_type_of_the_scope_chooses_the_application() -> Any:
    seen = Seen()
    router = ProtocolTypeRouter(application_mapping={"websocket": seen})
    return [await call(router), router.application_mapping["websocket"] is seen]


@row(
    upstream={
        "raises": "ValueError",
        "says": "No application configured for scope type 'telegram'",
    }
)
async def a_scope_type_without_an_application() -> Any:
    return await call(ProtocolTypeRouter({"websocket": Seen()}), type="telegram")


@row(upstream={"raises": "KeyError", "says": "'type'"})
async def a_scope_without_a_type() -> Any:
    return await call(ProtocolTypeRouter({"websocket": Seen()}), type=None)


@row(upstream="answered")
async def a_protocol_of_ones_own() -> Any:
    return await call(ProtocolTypeRouter({"telegram": Seen()}), type="telegram")


@row(
    upstream={
        "raises": "ValueError",
        "says": "No application configured for scope type 'lifespan'",
    },
    ours=[["lifespan.startup.complete", None], ["lifespan.shutdown.complete", None]],
)
async def lifespan_without_an_application() -> Any:
    events = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return events.pop()

    async def send(event: Any) -> None:
        sent.append([event["type"], event.get("status")])

    router = ProtocolTypeRouter({"websocket": Seen()})
    return await async_outcome(router({"type": "lifespan"}, receive, send)) or sent


@row(
    upstream={"raises": "ValueError", "says": "No application configured for scope type 'http'"},
    ours=[["http.response.start", 404], ["http.response.body", None]],
)
async def http_without_an_application() -> Any:
    answered = False

    async def receive() -> Any:
        nonlocal answered
        if answered:
            # The client stays.
            import asyncio

            await asyncio.Event().wait()
        answered = True
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append([event["type"], event.get("status")])

    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": []}
    router = ProtocolTypeRouter({"websocket": Seen()})
    return await async_outcome(router(scope, receive, send)) or sent


@row(upstream=True)
def djangos_application_under_http_is_djangos_handler() -> Any:
    router = ProtocolTypeRouter({"http": get_asgi_application()})
    return isinstance(router.application_mapping["http"], ASGIHandler)


@row(upstream={"websocket": True}, ours={"http": False, "websocket": True})
def what_a_protocol_router_was_given() -> Any:
    seen = Seen()
    mapping = ProtocolTypeRouter({"websocket": seen}).application_mapping
    return {name: mapping[name] is seen for name in sorted(mapping)}


@row(upstream="TypeError", ours=None)
async def a_consumer_class_under_a_protocol() -> Any:
    class Telegram(AsyncConsumer):
        async def websocket_connect(self, message: Any) -> None:
            raise StopConsumer

    seen = await call(ProtocolTypeRouter({"telegram": Telegram}), type="telegram")
    return seen["raises"] if seen else seen


@row(upstream=["answered", "telegram"])
async def a_derived_protocol_router_may_look_first() -> Any:
    class Looking(ProtocolTypeRouter):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            self.last = scope["type"]
            return await super().__call__(scope, receive, send)

    router = Looking({"telegram": Seen()})
    return [await call(router, type="telegram"), router.last]


# -- by path: what matches ---------------------------------------------------------------


@row(upstream=[True, True])
def attributes_of_a_router() -> Any:
    routes: list[Any] = [path("chat/", Seen())]
    router = URLRouter(routes=routes)
    return [router.routes is routes, router._path_routing]


@row(upstream=["", [], {"room": "lobby"}])
async def a_path_and_what_it_captures() -> Any:
    return await found([at("chat/<room>/")], "/chat/lobby/")


@row(upstream=["", [], {"number": 7}])
async def converters_make_values_of_captures() -> Any:
    return await found([at("chat/<int:number>/")], "/chat/7/")


@row(upstream=["", ["7"], {}])
async def groups_without_names_are_positional() -> Any:
    return await found([at_re(r"^chat/(\d+)/$")], "/chat/7/")


@row(upstream=["", [], {"number": "7"}])
async def named_groups_are_keyword_arguments() -> Any:
    return await found([at_re(r"^chat/(?P<number>\d+)/$")], "/chat/7/")


@row(upstream=["more/", [], {}])
async def an_expression_without_an_end_leaves_the_rest() -> Any:
    return await found([at_re(r"^chat/")], "/chat/more/")


@row(upstream=["", [], {"number": 9}])
async def extra_arguments_override_captures() -> Any:
    return await found([at("chat/<int:number>/", {"number": 9})], "/chat/7/")


@row(upstream=["", [], {"kind": "text", "number": 7}])
async def extra_arguments_stand_beside_captures() -> Any:
    return await found([at("chat/<int:number>/", {"kind": "text"})], "/chat/7/")


@row(upstream=["", [], {"number": 5}])
async def a_converter_that_refuses_is_no_match() -> Any:
    routes = [at("<uuid:id>/"), at("<int:number>/")]
    return await found(routes, "/5/")


@row(upstream=["first", 0])
async def the_first_match_wins() -> Any:
    first, second = Seen("first"), Seen()
    router = URLRouter([path("chat/", first), path("chat/", second)])
    return [await call(router, "/chat/"), len(second.scopes)]


@row(upstream=["", [], {}])
async def all_leading_slashes_are_taken_off() -> Any:
    return await found([at("chat/")], "//chat/")


@row(upstream=["", [], {}])
async def a_path_without_a_leading_slash() -> Any:
    return await found([at("chat/")], "chat/")


@row(upstream=["", [], {}])
async def http_scopes_are_routed_alike() -> Any:
    return await found([at("chat/")], "/chat/", type="http", method="GET")


@row(upstream=["", [], {}])
async def scopes_of_other_protocols_are_routed_by_their_path() -> Any:
    return await found([at("chat/")], "/chat/", type="telegram")


@row(
    upstream={
        "raises": "ValueError",
        "says": "No 'path' key in connection scope, cannot route URLs",
    }
)
async def a_scope_without_a_path() -> Any:
    return await call(URLRouter([]), type="telegram", path=None)


@row(upstream={"raises": "ValueError", "says": "No route found for path 'nowhere/'."})
async def no_route_of_another_protocol() -> Any:
    seen = await found([at("chat/")], "/nowhere/", type="telegram")
    # Ours says the path as it came.
    return {**seen, "says": seen["says"].replace("'/", "'")}


@row(
    upstream={"raises": "ValueError", "says": "No route found for path 'nowhere/'."},
    ours=[["websocket.close", None]],
)
async def no_route_for_a_websocket() -> Any:
    return await found([at("chat/")], "/nowhere/")


@row(
    upstream={"raises": "ValueError", "says": "No route found for path 'nowhere/'."},
    ours=[["websocket.http.response.start", 404], ["websocket.http.response.body", None]],
)
async def no_route_for_a_websocket_of_a_server_that_can_say_so() -> Any:
    return await found([at("chat/")], "/nowhere/", extensions={"websocket.http.response": {}})


@row(
    upstream={"raises": "ValueError", "says": "No route found for path 'nowhere/'."},
    ours=[["http.response.start", 404], ["http.response.body", None]],
)
async def no_route_for_an_http_request() -> Any:
    return await found([at("chat/")], "/nowhere/", type="http", method="GET")


@row(upstream=[{"type": "websocket", "path": "/chat/", "headers": []}, True])
async def the_scope_of_the_caller_is_not_changed() -> Any:
    seen, scope = Seen(), {"type": "websocket", "path": "/chat/", "headers": []}
    router: Any = URLRouter([path("chat/", seen)])
    await router(scope, connecting, None)
    return [scope, seen.scopes[0]["headers"] is scope["headers"]]


# -- root_path ---------------------------------------------------------------------------


@row(upstream=["", [], {}])
async def root_path_is_taken_off() -> Any:
    return await found([at("chat/")], "/root/chat/", root_path="/root")


@row(
    upstream={"raises": "ValueError", "says": "No route found for path '/chat/'."},
    ours=[["websocket.close", None]],
)
async def a_path_outside_of_root_path() -> Any:
    return await found([at("chat/")], "/chat/", root_path="/root")


@row(upstream=["", [], {}], ours=[["websocket.close", None]])
async def root_path_ends_within_a_name() -> Any:
    return await found([at("foo/")], "/rootfoo/", root_path="/root")


@row(upstream=["", [], {}])
async def root_path_counts_for_the_outermost_router_only() -> Any:
    seen = Seen()
    router = URLRouter([path("root/", URLRouter([path("chat/", seen)]))])
    await call(router, "/root/root/chat/", root_path="/root")
    return seen.found


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
        "says": "Unsupported pattern type: <class 'tests.compat.rows_routing.OddPattern'>",
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


# -- by channel ---------------------------------------------------------------------------------


@row(upstream=["answered", True])
async def the_name_of_a_channel_chooses_the_application() -> Any:
    seen = Seen()
    router = ChannelNameRouter(application_mapping={"thumbnails": seen})
    answer = await call(router, type="channel", channel="thumbnails")
    return [answer, router.application_mapping["thumbnails"] is seen]


@row(
    upstream={
        "raises": "ValueError",
        "says": "No application configured for channel name 'thumbnails'",
    }
)
async def a_channel_without_an_application() -> Any:
    return await call(ChannelNameRouter({}), type="channel", channel="thumbnails")


@row(
    upstream={
        "raises": "ValueError",
        "says": "ChannelNameRouter got a scope without a 'channel' key. "
        "Did you make sure it's only being used for 'channel' type messages?",
    }
)
async def a_scope_without_a_channel() -> Any:
    return await call(ChannelNameRouter({}))


# -- middleware -----------------------------------------------------------------------------------


@row(upstream=[True, "answered", True, True])
async def middleware_passes_a_copy_of_the_scope_on() -> Any:
    seen = Seen()
    middleware: Any = BaseMiddleware(inner=seen)
    scope = {"type": "websocket", "path": "/", "headers": []}
    answer = await middleware(scope, connecting, None)
    return [
        middleware.inner is seen,
        answer,
        seen.scopes[0] == scope and seen.scopes[0] is not scope,
        # Shallow: what the server put there is the same.
        seen.scopes[0]["headers"] is scope["headers"],
    ]


@row(upstream=["answered", "tenant", False])
async def derived_middleware_adds_to_the_scope() -> Any:
    class Tenants(BaseMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            scope = dict(scope, tenant="tenant")
            return await super().__call__(scope, receive, send)

    seen, scope = Seen(), {"type": "websocket", "path": "/"}
    middleware: Any = Tenants(seen)
    answer = await middleware(scope, connecting, None)
    return [answer, seen.scopes[0]["tenant"], "tenant" in scope]
