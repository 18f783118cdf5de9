"""Rows: which route a path takes, and what the application finds in its scope."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, set_up_django

set_up_django(ROOT_URLCONF=__name__)

from django.urls import path
from tests.compat.routing_calls import Seen, at, at_re, call, connecting, found

from channels.routing import URLRouter

row = Rows()
urlpatterns: list[Any] = []


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
