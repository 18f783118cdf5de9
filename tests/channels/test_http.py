"""Django's views as an ASGI application."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from calls import call, http_scope
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from channels.db import database_sync_to_async
from channels.http import AsgiHandler, AsgiRequest
from channels.routing import ProtocolTypeRouter, URLRouter, url
from channels.threads import current_lane

REQUEST = {"type": "http.request", "body": b"", "more_body": False}


def count_visits(request: HttpRequest) -> HttpResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(f"{request.session['visits']} {User.objects.count()}")


async def where_am_i(request: HttpRequest) -> HttpResponse:
    lane: Any = current_lane()
    names = {await database_sync_to_async(lambda: threading.current_thread().name)() for _ in "ab"}
    return HttpResponse(f"{type(request).__name__} {lane.kind} {' '.join(names)}")


@contextmanager
def views() -> Iterator[None]:
    urls: Any = ModuleType("urls")
    urls.urlpatterns = [path("visits/", count_visits), path("where/", where_am_i)]
    with override_settings(ROOT_URLCONF=urls):
        yield


def body(sent: list[dict[str, Any]]) -> str:
    assert sent[0]["status"] == 200, sent
    return b"".join(message.get("body", b"") for message in sent[1:]).decode()


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(lambda: AsgiHandler(), id="an instance"),
        pytest.param(lambda: ProtocolTypeRouter({"http": AsgiHandler}), id="a class in a mapping"),
        pytest.param(lambda: ProtocolTypeRouter({"http": AsgiHandler()}), id="in a mapping"),
        pytest.param(lambda: ProtocolTypeRouter({}), id="by default"),
        pytest.param(
            lambda: ProtocolTypeRouter({"http": URLRouter([url(r"", AsgiHandler)])}), id="in routes"
        ),
    ],
)
def test_views_with_sessions_and_orm_answer(application: Any, db: None) -> None:
    with views():
        sent = call(application(), http_scope("/visits/"), [REQUEST])
        assert body(sent) == "1 0"
        (cookie,) = (value for name, value in sent[0]["headers"] if name == b"Set-Cookie")
        headers = [(b"host", b"testserver"), (b"cookie", cookie.split(b";")[0])]
        again = call(application(), http_scope("/visits/", headers=headers), [REQUEST])
        assert body(again) == "2 0"


@pytest.mark.parametrize("application", [AsgiHandler, lambda: ProtocolTypeRouter({})])
def test_views_run_in_the_pool_for_views(application: Any) -> None:
    with views():
        text = body(call(application(), http_scope("/where/"), [REQUEST]))
    request_class, kind, *threads = text.split()
    assert (request_class, kind) == (AsgiRequest.__name__, "views")
    assert len(threads) == 1
    assert threads[0].startswith("channels-views-")


def test_other_scopes_are_refused_in_djangos_words() -> None:
    with pytest.raises(ValueError, match="Django can only handle ASGI/HTTP connections"):
        call(AsgiHandler(), {"type": "websocket"})
