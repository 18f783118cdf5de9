"""ProtocolTypeRouter, URLRouter and ChannelNameRouter, called as plain ASGI applications."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import pytest
from calls import CONNECT, DISCONNECT, Recorder, call, http_scope, websocket_scope
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from django.urls import include, path, re_path, register_converter
from django.urls.exceptions import Resolver404
from django.urls.resolvers import LocalePrefixPattern, RegexPattern, URLPattern, URLResolver

from channels.consumer import AsyncConsumer
from channels.http import AsgiHandler
from channels.middleware import BaseMiddleware
from channels.routing import (
    ChannelNameRouter,
    ProtocolTypeRouter,
    URLRouter,
    get_default_application,
    url,
)


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


def routed(router: Any, path_: str, **more: Any) -> list[dict[str, Any]]:
    return call(router, websocket_scope(path_, **more), [CONNECT, DISCONNECT])


# -- by type -------------------------------------------------------------------


def test_each_scope_goes_to_the_application_for_its_type() -> None:
    sockets, robots = Recorder(), Recorder()
    router = ProtocolTypeRouter({"websocket": sockets, "telegram": robots})
    call(router, {"type": "telegram", "chat": 1})
    assert robots.scope["chat"] == 1
    assert sockets.scopes == []


def test_a_type_nobody_is_configured_for_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="No application configured for scope type 'mqtt'"):
        call(ProtocolTypeRouter({}), {"type": "mqtt"})


def test_without_an_http_entry_djangos_views_answer() -> None:
    sent = call(ProtocolTypeRouter({}), http_scope("/hello/"), [{"type": "http.request"}])
    assert sent[0]["status"] == 200
    assert b"Hello" in sent[1]["body"]


def test_an_http_entry_is_left_alone() -> None:
    pages = Recorder()
    call(ProtocolTypeRouter({"http": pages}), http_scope())
    assert pages.scope["type"] == "http"


def test_djangos_own_handler_is_replaced_by_ours_with_its_middleware_made_once() -> None:
    given = ASGIHandler()
    router = ProtocolTypeRouter({"http": given})
    handler: Any = router.application_mapping["http"]
    assert type(handler) is AsgiHandler
    assert handler._middleware_chain is given._middleware_chain
    sent = call(router, http_scope("/hello/"), [{"type": "http.request"}])
    assert sent[0]["status"] == 200


def test_djangos_own_handler_stays_when_asked_to_or_when_it_is_a_subclass() -> None:
    class Special(ASGIHandler):
        pass

    given, special = ASGIHandler(), Special()
    kept = ProtocolTypeRouter({"http": given}, replace_django_handler=False)
    assert kept.application_mapping["http"] is given
    assert ProtocolTypeRouter({"http": special}).application_mapping["http"] is special


def test_lifespan_is_answered_where_nothing_is_configured_for_it() -> None:
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = call(ProtocolTypeRouter({}), {"type": "lifespan"}, events)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_a_lifespan_entry_gets_the_scope() -> None:
    startup = Recorder()
    call(ProtocolTypeRouter({"lifespan": startup}), {"type": "lifespan"})
    assert startup.scope["type"] == "lifespan"


def test_a_consumer_class_will_do_for_an_application() -> None:
    sent = call(
        ProtocolTypeRouter({"websocket": Greeter}), websocket_scope(), [CONNECT, DISCONNECT]
    )
    assert sent == [{"type": "websocket.accept"}]


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


# -- include -------------------------------------------------------------------


def module_of(name: str, **attributes: Any) -> str:
    module = ModuleType(name)
    module.__dict__.update(attributes)
    sys.modules[name] = module
    return name


def test_a_list_of_routes_can_be_included() -> None:
    app = Recorder()
    routed(URLRouter([path("api/", include([path("chat/", app)]))]), "/api/chat/")
    assert app.scope["path_remaining"] == ""


@pytest.mark.parametrize("name", ["urlpatterns", "websocket_urlpatterns"])
def test_a_module_can_be_included_by_its_name(name: str) -> None:
    app = Recorder()
    module = module_of(f"included_{name}", **{name: [path("chat/", app)]})
    routed(URLRouter([path("api/", include(module))]), "/api/chat/")
    assert len(app.scopes) == 1


def test_a_modules_websocket_urlpatterns_come_before_its_views() -> None:
    app, view = Recorder(), Recorder()
    module = module_of(
        "included_both", urlpatterns=[path("a/", view)], websocket_urlpatterns=[path("a/", app)]
    )
    routed(URLRouter([path("", include(module))]), "/a/")
    assert (len(app.scopes), len(view.scopes)) == (1, 0)


def test_a_module_without_routes_is_told_when_the_router_is_made() -> None:
    module = module_of("included_nothing", routes=[])
    with pytest.raises(ImproperlyConfigured, match=r"'included_nothing'.*has neither"):
        URLRouter([path("", include(module))])
    with pytest.raises(ImproperlyConfigured, match="made with path"):
        URLRouter([path("", include(["chat/"]))])


def test_includes_nest_and_share_what_they_capture() -> None:
    app = Recorder()
    rooms = [path("room/<slug:room>/", app, kwargs={"own": 1, "both": "inner"})]
    teams = [path("team/<int:team>/", include(rooms), kwargs={"both": "outer", "team": 9})]
    routed(URLRouter([path("<slug:site>/", include(teams))]), "/a/team/1/room/b/")
    assert app.scope["url_route"]["kwargs"] == {
        "site": "a",
        "team": 9,
        "room": "b",
        "own": 1,
        "both": "inner",
    }


@pytest.mark.parametrize("url_path", ["a/1/", "b/1/", "c/1/", "d/1/"])
def test_includes_capture_exactly_what_djangos_resolver_says(url_path: str) -> None:
    app = Recorder()
    inner = [re_path(r"^(\d+)/$", app)]
    routes = [
        re_path(r"^(a)/", include(inner)),
        re_path(r"^(?P<letter>b)/", include(inner)),
        re_path(r"^(c)/", include([re_path(r"^(?P<number>\d+)/$", app)])),
        re_path(r"^(d)/", include(inner), kwargs={"extra": 1}),
    ]
    routed(URLRouter(routes), f"/{url_path}")
    expected = URLResolver(RegexPattern(r"^"), routes).resolve(url_path)
    assert app.scope["url_route"] == {"args": expected.args, "kwargs": expected.kwargs}


def test_routers_and_includes_nest_in_each_other_through_middleware() -> None:
    app = Recorder()
    router = BaseMiddleware(URLRouter([path("x/", include([path("<int:c>/", app)]))]))
    routed(URLRouter([path("<int:a>/", include([path("<int:b>/", router)]))]), "/1/2/x/3/")
    assert app.scope["url_route"]["kwargs"] == {"a": 1, "b": 2, "c": 3}


def test_a_nested_router_in_an_include_that_finds_nothing_leaves_it_to_the_next_route() -> None:
    app, other = Recorder(), Recorder()
    nested = URLRouter([path("nothing/", other)])
    router = URLRouter([path("a/", include([path("", nested)])), path("a/b/", app)])
    routed(router, "/a/b/")
    assert (len(app.scopes), len(other.scopes)) == (1, 0)


def test_an_include_without_the_path_is_a_404() -> None:
    router = URLRouter([path("a/", include([path("b/", Recorder())]))])
    assert routed(router, "/a/c/") == [{"type": "websocket.close"}]


def test_consumer_classes_in_an_include_will_do_for_applications() -> None:
    router = URLRouter([path("a/", include(([path("b/", Greeter)], "chat"), namespace="x"))])
    assert routed(router, "/a/b/") == [{"type": "websocket.accept"}]


def test_a_scope_without_a_path_is_an_error() -> None:
    with pytest.raises(ValueError, match="No 'path' key in connection scope, cannot route URLs"):
        call(URLRouter([]), {"type": "websocket"})


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


# -- by channel name -----------------------------------------------------------


def test_a_channels_scope_goes_to_the_application_for_its_name() -> None:
    app = Recorder()
    call(ChannelNameRouter({"thumbnails": app}), {"type": "channel", "channel": "thumbnails"})
    assert app.scope["channel"] == "thumbnails"


def test_a_channel_name_router_says_what_is_wrong_with_a_scope() -> None:
    router = ChannelNameRouter({})
    with pytest.raises(ValueError, match="got a scope without a 'channel' key"):
        call(router, {"type": "channel"})
    with pytest.raises(ValueError, match="No application configured for channel name 'x'"):
        call(router, {"type": "channel", "channel": "x"})


# -- the setting ---------------------------------------------------------------


def test_the_default_application_is_what_the_setting_names() -> None:
    from tests.asgi import application

    assert get_default_application() is application


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "Cannot find ASGI_APPLICATION setting."),
        ("nodots", "Cannot find ASGI_APPLICATION setting."),
        ("tests.missing.application", "Cannot import ASGI_APPLICATION module 'tests.missing'"),
        ("tests.missing.application", "No module named 'tests.missing'"),
        ("tests.asgi.app", "Cannot find 'app' in ASGI_APPLICATION module tests.asgi"),
    ],
)
def test_a_wrong_setting_is_told_in_one_sentence(value: str | None, text: str) -> None:
    with override_settings(ASGI_APPLICATION=value), pytest.raises(ImproperlyConfigured) as caught:
        get_default_application()
    assert text in str(caught.value)
