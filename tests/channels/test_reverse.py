"""reverse(): from the name of a WebSocket route to its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from calls import Recorder, call, websocket_scope
from django.test import override_settings
from django.urls import NoReverseMatch, include, path, re_path, set_script_prefix
from django.urls.resolvers import URLPattern

from channels.auth import AuthMiddlewareStack
from channels.consumer import AsyncConsumer
from channels.routing import ProtocolTypeRouter, URLRouter, reverse
from channels.security.websocket import OriginValidator


class Chat(AsyncConsumer):
    pass


class News(AsyncConsumer):
    pass


ROUTER = URLRouter(
    [
        path("ws/chat/<slug:name>/", Chat.as_asgi(), name="room"),
        re_path(r"^ws/news/(\d+)/$", AuthMiddlewareStack(News), name="news"),
        path("ws/fixed/", Recorder(), {"page": 1}, name="fixed"),
    ]
)


@pytest.fixture(autouse=True)
def script_prefix() -> Iterator[None]:
    set_script_prefix("/")
    yield
    set_script_prefix("/")


def test_a_name_becomes_a_path() -> None:
    assert reverse("room", kwargs={"name": "lobby"}, application=ROUTER) == "/ws/chat/lobby/"
    assert reverse("room", ["lobby"], application=ROUTER) == "/ws/chat/lobby/"
    assert reverse("news", args=[7], application=ROUTER) == "/ws/news/7/"
    assert reverse("fixed", application=ROUTER) == "/ws/fixed/"


def test_a_consumer_class_will_do_for_a_name() -> None:
    assert reverse(Chat, kwargs={"name": "lobby"}, application=ROUTER) == "/ws/chat/lobby/"
    assert reverse(News, args=[7], application=ROUTER) == "/ws/news/7/"


def test_the_path_of_a_name_leads_to_its_application() -> None:
    app = Recorder()
    rooms = URLRouter([path("room/<str:room>/", app, name="room")])
    router = URLRouter([re_path(r"^(?P<team>\w+)/", AuthMiddlewareStack(rooms))])
    found = reverse("room", kwargs={"team": "a", "room": "b c"}, application=router)
    assert found == "/a/room/b%20c/"
    scope = websocket_scope("/a/room/b c/", session=object(), cookies={}, user=object())
    call(router, scope)
    assert app.scope["url_route"]["kwargs"] == {"team": "a", "room": "b c"}


def test_without_an_application_that_of_the_settings_is_searched() -> None:
    with override_settings(ASGI_APPLICATION=f"{__name__}.application"):
        assert reverse("room", kwargs={"name": "lobby"}) == "/ws/chat/lobby/"


application = ProtocolTypeRouter(
    {
        "http": URLRouter([path("events/", Recorder(), name="events")]),
        "websocket": OriginValidator(AuthMiddlewareStack(ROUTER), ["*"]),
    }
)


def test_routes_of_other_protocols_are_found_under_their_protocol() -> None:
    assert reverse("events", application=application, protocol="http") == "/events/"
    with pytest.raises(NoReverseMatch):
        reverse("events", application=application)


def test_namespaces_are_those_of_includes() -> None:
    routes = [path("<int:number>/", Recorder(), name="room")]
    router = URLRouter(
        [
            path("a/<slug:site>/", include((routes, "chat"))),
            path("b/", include((routes, "chat"), namespace="other")),
            path("c/", URLRouter([path("d/", include((routes, "deep")))])),
        ]
    )
    kwargs = {"number": 1}

    def of(name: str, **more: Any) -> str:
        return reverse(name, kwargs=kwargs | more.pop("extra", {}), application=router, **more)

    assert of("chat:room", extra={"site": "x"}) == "/a/x/1/"
    assert of("other:room") == "/b/1/"
    assert of("chat:room", current_app="other") == "/b/1/"
    assert of("deep:room") == "/c/d/1/"


def test_the_script_prefix_comes_first_as_with_djangos_own() -> None:
    set_script_prefix("/mounted")
    assert reverse("fixed", application=ROUTER) == "/mounted/ws/fixed/"


def test_a_query_can_be_added() -> None:
    path_ = reverse("fixed", application=ROUTER, query={"token": "a b", "page": [1, 2]})
    assert path_ == "/ws/fixed/?token=a+b&page=1&page=2"


@pytest.mark.parametrize(
    ("name", "kwargs", "text"),
    [
        ("rom", {}, "Did you mean 'room'? The routes are named 'room', 'news', 'fixed'."),
        ("room", {}, "Its route is 'ws/chat/<slug:name>/'."),
        ("room", {"name": "no slug"}, "Its route is 'ws/chat/<slug:name>/'."),
        ("chat:room", {}, "'chat' is not a registered namespace"),
    ],
)
def test_a_name_that_is_not_found_is_told_with_those_that_are(
    name: str, kwargs: dict[str, Any], text: str
) -> None:
    with pytest.raises(NoReverseMatch) as caught:
        reverse(name, kwargs=kwargs, application=ROUTER)
    assert text in str(caught.value)


def test_an_application_without_a_router_or_names_is_told() -> None:
    with pytest.raises(NoReverseMatch, match="no URLRouter to be seen"):
        reverse("room", application=ProtocolTypeRouter({"websocket": Recorder()}))
    with pytest.raises(NoReverseMatch, match="None of the routes has a name"):
        reverse("room", application=URLRouter([path("a/", Recorder())]))


def test_the_callers_patterns_are_not_changed() -> None:
    inner = [path("<int:number>/", Recorder(), name="room")]
    nested = path("", URLRouter([path("x/", include((inner, "deep")))]))
    outer = path("<slug:site>/", include([nested]))
    assert reverse("deep:room", ["a", 1], application=URLRouter([outer])) == "/a/x/1/"
    assert isinstance(nested, URLPattern)
    assert list(outer.pattern.converters) == ["site"]
    assert list(nested.pattern.converters) == []
    assert list(inner[0].pattern.converters) == ["number"]


def test_an_application_that_has_no_hash_can_be_routed_to() -> None:
    class NoHash(Recorder):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    router = URLRouter([path("a/", NoHash(), name="a")])
    assert reverse("a", application=router) == "/a/"


def test_the_path_below_a_root_leads_back_to_the_application() -> None:
    app = Recorder()
    router = URLRouter([path("a/", app, name="a")])
    set_script_prefix("/root")
    call(router, websocket_scope(reverse("a", application=router), root_path="/root"))
    assert len(app.scopes) == 1


def test_two_applications_are_kept_apart_and_each_is_read_once() -> None:
    first = URLRouter([path("first/", Recorder(), name="a")])
    second = URLRouter([path("second/", Recorder(), name="a")])
    for _ in range(2):
        assert reverse("a", application=first) == "/first/"
        assert reverse("a", application=second) == "/second/"
