"""`include()` in a URLRouter, as in a URLconf."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from calls import Recorder, routed
from django.core.exceptions import ImproperlyConfigured
from django.urls import include, path, re_path
from django.urls.resolvers import RegexPattern, URLResolver

from channels.consumer import AsyncConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter


class Greeter(AsyncConsumer):
    async def websocket_connect(self, message: Any) -> None:
        await self.send({"type": "websocket.accept"})


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
