"""URLRouter, called as a plain ASGI application."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from calls import CONNECT, DISCONNECT, Recorder, call, http_scope, routed, websocket_scope
from django.core.exceptions import ImproperlyConfigured
from django.urls import path, re_path, register_converter
from django.urls.exceptions import Resolver404
from django.urls.resolvers import LocalePrefixPattern, URLPattern

from channels.consumer import AsyncConsumer
from channels.middleware import BaseMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter, url


class Greeter(AsyncConsumer):
    async def websocket_connect(self, message: Any) -> None:
        await self.send({"type": "websocket.accept"})


class Year:
    regex = "[0-9]{4}"

    def to_python(self, text: str) -> int:
        if int(text) < 1900:
            raise ValueError(text)
        return int(text)

    def to_url(self, year: int) -> str:
        return str(year)


register_converter(Year, "year")


# -- by URL --------------------------------------------------------------------


def test_the_first_matching_route_gets_the_scope() -> None:
    first, second = Recorder(), Recorder()
    router = URLRouter([path("chat/", first), re_path(r"^chat/", second)])
    routed(router, "/chat/")
    assert first.scope["path_remaining"] == ""
    assert second.scopes == []


def test_path_captures_go_through_converters() -> None:
    app = Recorder()
    routed(URLRouter([path("room/<int:number>/<slug:name>/", app)]), "/room/12/a-b/")
    assert app.scope["url_route"] == {"args": (), "kwargs": {"number": 12, "name": "a-b"}}


def test_re_path_gives_unnamed_groups_as_args() -> None:
    app = Recorder()
    routed(URLRouter([re_path(r"^room/(\w+)/(\d+)/$", app)]), "/room/lobby/3/")
    assert app.scope["url_route"] == {"args": ("lobby", "3"), "kwargs": {}}


def test_a_routes_extra_arguments_override_its_captures() -> None:
    app = Recorder()
    routed(URLRouter([path("room/<int:number>/", app, kwargs={"number": 9, "x": 1})]), "/room/1/")
    assert app.scope["url_route"]["kwargs"] == {"number": 9, "x": 1}


def test_url_is_re_path_and_takes_consumer_classes() -> None:
    assert url is re_path
    sent = routed(URLRouter([url(r"^chat/$", Greeter)]), "/chat/")
    assert sent == [{"type": "websocket.accept"}]


def test_the_applications_scope_is_a_copy() -> None:
    app = Recorder()
    scope = websocket_scope("/chat/")
    call(URLRouter([path("chat/", app)]), scope, [CONNECT])
    assert app.scope is not scope
    assert "url_route" not in scope


def test_nested_routers_share_the_path_and_collect_what_they_capture() -> None:
    app = Recorder()
    inner = URLRouter([re_path(r"^book/(?P<book>\w+)/$", app)])
    outer = URLRouter([path("universe/<int:universe>/", inner, kwargs={"outer": True})])
    routed(outer, "/universe/42/book/guide/")
    assert app.scope["url_route"]["kwargs"] == {"universe": 42, "outer": True, "book": "guide"}
    assert app.scope["path_remaining"] == ""


def test_args_of_nested_routers_are_appended() -> None:
    app = Recorder()
    inner = URLRouter([re_path(r"^(\d+)/$", app)])
    routed(URLRouter([re_path(r"^(\w+)/", inner)]), "/a/7/")
    assert app.scope["url_route"]["args"] == ("a", "7")


def test_path_nests_through_middleware_that_says_nothing_about_routing() -> None:
    class Silent(BaseMiddleware):
        pass

    app = Recorder()
    router = URLRouter([path("api/", Silent(Silent(URLRouter([path("chat/", app)]))))])
    routed(router, "/api/chat/")
    assert app.scope["path_remaining"] == ""


def test_middleware_made_of_functions_can_say_that_it_routes_further() -> None:
    app = Recorder()
    inner = URLRouter([path("chat/", app)])

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    middleware._path_routing = True  # type: ignore[attr-defined]
    routed(URLRouter([path("api/", middleware)]), "/api/chat/")
    assert len(app.scopes) == 1


def test_the_callers_patterns_are_not_changed() -> None:
    route = path("api/", URLRouter([path("chat/", Recorder())]))
    pattern = route.pattern
    URLRouter([route])
    assert route.pattern is pattern
    assert pattern.match("api/chat/") is None


def test_an_outer_router_tries_its_next_route_when_a_nested_one_finds_nothing() -> None:
    app = Recorder()
    router = URLRouter(
        [path("", BaseMiddleware(URLRouter([path("a/", Recorder())]))), path("b/", app)]
    )
    routed(router, "/b/")
    assert len(app.scopes) == 1


def test_a_resolver404_of_an_application_is_not_taken_for_a_missing_route() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise Resolver404("of the application's own")

    other = Recorder()
    router = URLRouter([path("", broken), path("", other)])
    with pytest.raises(Resolver404, match="of the application's own"):
        routed(router, "/")
    assert other.scopes == []


def test_root_path_is_taken_off_at_a_slash_only(caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder()
    router = URLRouter([path("chat/", app), path("foo/chat/", app)])
    routed(router, "/root/chat/", root_path="/root")
    routed(router, "/root/chat/", root_path="/root/")
    assert len(app.scopes) == 2
    with caplog.at_level(logging.WARNING):
        assert routed(router, "/rootfoo/chat/", root_path="/root") == [{"type": "websocket.close"}]
    assert len(app.scopes) == 2


def test_several_leading_slashes_count_as_one() -> None:
    app = Recorder()
    routed(URLRouter([path("chat/", app)]), "//chat/")
    assert len(app.scopes) == 1


def test_converters_decide_whether_a_route_fits() -> None:
    number, year = Recorder(), Recorder()
    router = URLRouter([path("<year:x>/", year), path("<int:x>/", number)])
    routed(router, "/1850/")
    routed(router, "/2024/")
    assert number.scope["url_route"]["kwargs"] == {"x": 1850}
    assert year.scope["url_route"]["kwargs"] == {"x": 2024}


def test_routes_that_change_later_are_heeded() -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    routes = [path("a/", first)]
    router = URLRouter(routes)
    routes.append(path("b/", second))
    routed(router, "/b/")
    routes[1].callback = third
    routed(router, "/b/")
    routes.clear()
    assert routed(router, "/a/") == [{"type": "websocket.close"}]
    assert [len(app.scopes) for app in (first, second, third)] == [0, 1, 1]


def test_routes_can_be_read_and_lead_to_their_consumers() -> None:
    routes = [path("chat/", Greeter.as_asgi(), name="chat")]
    router: Any = URLRouter(routes)
    assert router.routes is routes
    assert router.routes[0].callback.consumer_class is Greeter


def test_what_is_no_route_is_told_when_the_router_is_made() -> None:
    for wrong in (Recorder(), ("chat/", Greeter), "chat/"):
        with pytest.raises(ImproperlyConfigured, match="made with path\\(\\) or re_path"):
            URLRouter([wrong])


def test_a_pattern_of_an_unknown_kind_cannot_be_a_prefix() -> None:
    route = URLPattern(LocalePrefixPattern(), URLRouter([]))
    with pytest.raises(ValueError, match="Unsupported pattern type"):
        URLRouter([route])


def test_a_scope_without_a_path_is_an_error() -> None:
    with pytest.raises(ValueError, match="No 'path' key in connection scope, cannot route URLs"):
        call(URLRouter([]), {"type": "websocket"})


# -- subclasses ----------------------------------------------------------------


def test_routers_can_be_subclassed_with_a_call_of_their_own() -> None:
    seen: list[str] = []

    class Types(ProtocolTypeRouter):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["type"])
            await super().__call__(scope, receive, send)

    class Paths(URLRouter):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope["path"])
            await super().__call__(dict(scope, tenant="x"), receive, send)

    app = Recorder()
    routed(Types({"websocket": Paths([path("a/", Paths([path("b/", app)]))])}), "/a/b/")
    assert seen == ["websocket", "/a/b/", "/a/b/"]
    assert app.scope["tenant"] == "x"


def test_a_url_router_may_set_its_routes_by_itself() -> None:
    class Discovering(URLRouter):
        def __init__(self) -> None:
            self.routes = [path("chat/", Greeter)]

    assert routed(Discovering(), "/chat/") == [{"type": "websocket.accept"}]


def test_applications_can_be_exchanged_in_the_mapping() -> None:
    first, second = Recorder(), Recorder()
    router = ProtocolTypeRouter({"websocket": first})
    assert router.application_mapping["websocket"] is first
    router.application_mapping["websocket"] = second
    routed(router, "/")
    assert (len(first.scopes), len(second.scopes)) == (0, 1)


# -- nothing found -------------------------------------------------------------


def test_an_http_request_without_a_route_is_answered_404_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        start, body = call(URLRouter([]), http_scope("/nowhere/"))
    assert start["status"] == 404
    assert body["body"] == b"Not Found"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("channels.routing", "WARNING")
    assert "'/nowhere/'" in record.getMessage()


def test_a_websocket_without_a_route_is_denied_with_404_where_the_server_can_say_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        start, body = routed(URLRouter([]), "/nowhere/", extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert body["type"] == "websocket.http.response.body"
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("caplog")
def test_a_websocket_without_a_route_is_closed_on_other_servers() -> None:
    nested = URLRouter([path("api/", URLRouter([path("chat/", Recorder())]))])
    assert routed(nested, "/api/other/") == [{"type": "websocket.close"}]


@pytest.mark.usefixtures("caplog")
def test_a_client_that_left_already_gets_no_answer() -> None:
    assert call(URLRouter([]), websocket_scope("/x/"), [DISCONNECT]) == []


def test_other_protocols_get_an_error() -> None:
    with pytest.raises(ValueError, match="No route found for path '/x/'"):
        call(URLRouter([]), {"type": "coap", "path": "/x/"})
