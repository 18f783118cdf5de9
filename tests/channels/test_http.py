"""Django's views as an ASGI application."""

from __future__ import annotations

import asyncio
import io
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from calls import call, http_scope
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from channels.db import database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
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
def views(**more: Any) -> Iterator[None]:
    urls: Any = ModuleType("urls")
    urls.urlpatterns = [path("visits/", count_visits), path("where/", where_am_i)]
    urls.urlpatterns += [path(f"{name}/", view) for name, view in more.items()]
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


# -- as the projects of Channels 2 and 3 use it ----------------------------------


def test_the_handler_takes_what_the_routes_before_it_leave() -> None:
    class Events(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            await self.send_response(200, b"events")

    routes = [url(r"^events/$", Events), url(r"^", AsgiHandler)]
    router = ProtocolTypeRouter({"http": URLRouter(routes)})
    with views():
        assert body(call(router, http_scope("/events/"), [REQUEST])) == "events"
        assert body(call(router, http_scope("/where/"), [REQUEST])).startswith("AsgiRequest")


@pytest.mark.parametrize("given", [b"a=1&a=2", io.BytesIO(b"a=1&a=2")], ids=["bytes", "file"])
def test_a_request_is_made_of_a_scope_and_bytes_or_a_file(given: Any) -> None:
    headers = [
        (b"host", b"testserver"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"7"),
        (b"cookie", b"c=3"),
        (b"x-own", b"one"),
        (b"x-own", b"two"),
    ]
    scope = http_scope("/root/a b/", method="post", query_string=b"q=4", headers=headers)
    scope |= {"root_path": "/root", "client": ["10.0.0.1", 99], "server": ["here", 80]}
    request = AsgiRequest(scope, given)
    assert request.scope is scope
    assert (request.method, request.path, request.path_info) == ("POST", "/root/a b/", "/a b/")
    assert request.POST.getlist("a") == ["1", "2"]
    assert (request.GET["q"], request.COOKIES["c"]) == ("4", "3")
    assert request.META["REMOTE_ADDR"] == "10.0.0.1"
    assert request.META["SERVER_NAME"] == "here"
    assert request.headers["X-Own"] == "one,two"
    assert AsgiRequest(scope, b"bytes").body == b"bytes"


@pytest.mark.parametrize("as_class", [True, False], ids=["class", "instance"])
def test_a_subclass_brings_its_own_request_and_middleware(as_class: bool) -> None:
    class Request(AsgiRequest):
        tenant = "x"

    class Handler(AsgiHandler):
        request_class = Request
        loaded = 0

        def load_middleware(self) -> None:  # type: ignore[override]
            type(self).loaded += 1
            super().load_middleware()

    class CopiedFromDjango(Handler):
        def load_middleware(self, is_async: bool = False) -> None:  # type: ignore[override]
            AsgiHandler.load_middleware(self, is_async=is_async)

    for handler in (Handler, CopiedFromDjango):
        router = ProtocolTypeRouter({"http": handler if as_class else handler()})
        with views(tenant=lambda request: HttpResponse(request.tenant)):
            assert body(call(router, http_scope("/tenant/"), [REQUEST])) == "x"
            assert body(call(router, http_scope("/tenant/"), [REQUEST])) == "x"
    assert Handler.loaded == 1


# -- as Django's own handler behaves ---------------------------------------------


@contextmanager
def signals() -> Iterator[list[str]]:
    """The request signals, in the order in which they come."""
    seen: list[str] = []

    def started(**kwargs: Any) -> None:
        seen.append("started")

    def finished(**kwargs: Any) -> None:
        seen.append("finished")

    request_started.connect(started)
    request_finished.connect(finished)
    try:
        yield seen
    finally:
        request_started.disconnect(started)
        request_finished.disconnect(finished)


def test_headers_go_both_ways_and_the_request_is_finished_once() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        response = HttpResponse(request.headers["Referer"], status=201)
        response.headers["X-Own"] = "yes"
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    headers = [(b"host", b"testserver"), (b"referer", b"caf\xe9")]
    with views(view=view), signals() as seen:
        start, content = call(AsgiHandler(), http_scope("/view/", headers=headers), [REQUEST])
    assert (start["status"], content["body"].decode()) == (201, "caf\xe9")
    assert (b"X-Own", b"yes") in start["headers"]
    assert len([name for name, _ in start["headers"] if name == b"Set-Cookie"]) == 2
    assert seen == ["started", "finished"]


def test_uploads_come_in_parts_and_reach_the_view_as_files() -> None:
    def upload(request: HttpRequest) -> HttpResponse:
        file: Any = request.FILES["file"]
        return HttpResponse(f"{file.name} {file.read()!r} {request.POST['title']}")

    parts = (
        b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nContent\r\n',
        b"--x--\r\n",
    )
    length = str(sum(map(len, parts))).encode()
    headers = [
        (b"host", b"testserver"),
        (b"content-type", b"multipart/form-data; boundary=x"),
        (b"content-length", length),
    ]
    events = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    with views(upload=upload):
        scope = http_scope("/upload/", method="POST", headers=headers)
        assert body(call(AsgiHandler(), scope, [*events, REQUEST])) == "f.txt b'Content' A title"


@contextmanager
def sync_iterators_allowed() -> Iterator[None]:
    # Django says that it will read the whole of it first.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
        yield


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_streaming_response_is_sent_part_by_part(asynchronous: bool) -> None:
    async def parts() -> AsyncIterator[str]:
        for part in ("a", "b"):
            yield part

    def view(request: HttpRequest) -> StreamingHttpResponse:
        response = StreamingHttpResponse(parts() if asynchronous else iter(["a", "b"]))
        response["X-Accel-Buffering"] = "no"
        return response

    async def async_view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(parts())

    with views(stream=async_view if asynchronous else view), signals() as seen:
        with sync_iterators_allowed():
            sent = call(AsgiHandler(), http_scope("/stream/"), [REQUEST])
    assert [message.get("body", b"") for message in sent[1:]] == [b"a", b"b", b""]
    assert [message.get("more_body", False) for message in sent[1:]] == [True, True, False]
    assert seen == ["started", "finished"]


def test_a_file_is_sent_and_closed() -> None:
    file = io.BytesIO(b"content")

    def view(request: HttpRequest) -> FileResponse:
        return FileResponse(file)

    with views(file=view), sync_iterators_allowed():
        assert body(call(AsgiHandler(), http_scope("/file/"), [REQUEST])) == "content"
    assert file.closed


def test_a_large_body_is_sent_in_chunks() -> None:
    class Small(AsgiHandler):
        chunk_size = 4

    with views(view=lambda request: HttpResponse(b"0123456789")):
        sent = call(Small(), http_scope("/view/"), [REQUEST])
    assert [message["body"] for message in sent[1:]] == [b"0123", b"4567", b"89"]


def test_an_exception_of_a_view_is_djangos_500_and_an_unknown_path_its_404(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        raise RuntimeError("of the view")

    with views(broken=broken):
        assert call(AsgiHandler(), http_scope("/broken/"), [REQUEST])[0]["status"] == 500
        assert call(AsgiHandler(), http_scope("/nowhere/"), [REQUEST])[0]["status"] == 404
    assert [record.name for record in caplog.records] == ["django.request"] * 2


def test_an_undecodable_query_is_a_400(caplog: pytest.LogCaptureFixture) -> None:
    scope = http_scope("/where/", query_string=b"\xff")
    with views():
        assert call(AsgiHandler(), scope, [REQUEST])[0]["status"] == 400


def test_a_client_that_leaves_during_its_upload_reaches_no_view() -> None:
    seen: list[str] = []
    with views(view=lambda request: seen.append("view")), signals() as signalled:
        events = [{**REQUEST, "more_body": True}, {"type": "http.disconnect"}]
        assert call(AsgiHandler(), http_scope("/view/"), events) == []
    assert (seen, signalled) == ([], [])


def test_a_client_that_leaves_cancels_the_asynchronous_view() -> None:
    began = asyncio.Event()
    ended: list[str] = []

    async def slow(request: HttpRequest) -> HttpResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError("nobody sets it")

    with views(slow=slow), signals() as seen:
        assert asyncio.run(leave_when(began, http_scope("/slow/"))) == []
    assert ended == ["cancelled"]
    assert seen == ["started", "finished"]


async def leave_when(began: asyncio.Event, scope: Any) -> list[Any]:
    """What a client gets that leaves when `began` is set."""
    request = [REQUEST]
    sent: list[Any] = []

    async def receive() -> Any:
        if request:
            return request.pop()
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(5):
        await ProtocolTypeRouter({})(scope, receive, send)
    return sent
