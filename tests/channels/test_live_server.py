"""The test case with a live server: what the test and the server see of each other, and the end.

The classes here are run by unittest, as Django's runner does it. That runner itself,
with its databases, runs in projects of their own further below.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import unittest
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path
from django_process import django, write
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer
from channels.pools import pools_of_process
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.server.loops import close_event_loop, new_event_loop
from channels.testing import ChannelsLiveServerTestCase
from channels.testing.live import make_application, set_database_connection

SECONDS = 10

# -- the project ---------------------------------------------------------------------


def users() -> list[str]:
    return list(User.objects.order_by("username").values_list("username", flat=True))


def list_users(request: HttpRequest) -> HttpResponse:
    return HttpResponse(json.dumps(users()))


urlpatterns = [path("users/", list_users)]


class AsyncUsers(AsyncWebsocketConsumer):
    """Makes a user of each text, and says who there is."""

    groups = ["users"]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await User.objects.acreate(username=text_data)
        await self.send(text_data=json.dumps(await database_sync_to_async(users)()))

    async def told(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


class Users(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        User.objects.create(username=text_data)
        self.send(text_data=json.dumps(users()))


class WhoAmI(WebsocketConsumer):
    def connect(self) -> None:
        self.accept()
        self.send(text_data=self.scope["user"].username)


async def fails_to_start(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no licence"})


def make_project() -> Any:
    from django.core.asgi import get_asgi_application

    routes = [path("async/", AsyncUsers), path("sync/", Users), path("me/", WhoAmI)]
    return ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": AuthMiddlewareStack(URLRouter(routes)),
        }
    )


application = make_project()

# -- running classes -----------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def _first_loop() -> None:
    """The first loop of a process opens what libuv keeps to the end."""
    close_event_loop(new_event_loop(), SECONDS)


@pytest.fixture(autouse=True)
def project(db: None) -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF=__name__, ASGI_APPLICATION=f"{__name__}.application", ALLOWED_HOSTS=[]
    ):
        yield


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    loader = unittest.TestLoader()
    output = io.StringIO()
    return unittest.TextTestRunner(output, verbosity=0).run(loader.loadTestsFromTestCase(case))


def passes(case: type[unittest.TestCase], count: int = 1) -> None:
    result = run(case)
    problems = [text for _, text in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    assert result.testsRun == count


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=SECONDS) as response:
        return str(response.read().decode())


class LiveCase(ChannelsLiveServerTestCase):
    def socket(self, path: str, **options: Any) -> ClientConnection:
        return connect(self.live_server_ws_url + path, open_timeout=SECONDS, **options)


# -- what both see -------------------------------------------------------------------


def test_a_view_sees_what_the_test_has_made() -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            User.objects.create(username="ada")
            assert get(f"{self.live_server_url}/users/") == '["ada"]'

    passes(Case)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_consumer_and_the_test_see_what_the_other_has_made(kind: str) -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            User.objects.create(username="ada")
            with self.socket(f"/{kind}/") as socket:
                socket.send("grace")
                assert socket.recv(SECONDS) == '["ada", "grace"]'
            assert users() == ["ada", "grace"]

    passes(Case)


def test_a_group_message_of_the_test_reaches_a_socket() -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            with self.socket("/async/") as socket:
                layer = get_channel_layer()
                async_to_sync(layer.group_send)("users", {"type": "told", "text": "hello"})
                assert socket.recv(SECONDS) == "hello"

    passes(Case)


def test_a_session_cookie_logs_in_over_a_socket() -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            client = Client()
            client.force_login(User.objects.create(username="ada"))
            name = settings.SESSION_COOKIE_NAME
            cookie = f"{name}={client.cookies[name].value}"
            with self.socket("/me/", additional_headers={"Cookie": cookie}) as socket:
                assert socket.recv(SECONDS) == "ada"

    passes(Case)


def test_tests_of_a_class_share_the_server_and_begin_with_no_data() -> None:
    urls = []

    class Case(LiveCase):
        def test_one(self) -> None:
            self.alone()

        def test_another(self) -> None:
            self.alone()

        def alone(self) -> None:
            urls.append(self.live_server_url)
            with self.socket("/sync/") as socket:
                socket.send("ada")
                assert socket.recv(SECONDS) == '["ada"]'

    passes(Case, 2)
    assert len(urls) == 2
    assert len(set(urls)) == 1


def test_many_sockets_write_at_once() -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            paths = ["/sync/", "/async/"] * 6
            with contextlib.ExitStack() as stack:
                sockets = [stack.enter_context(self.socket(path)) for path in paths]
                for number, socket in enumerate(sockets):
                    socket.send(f"user {number}")
                assert all(socket.recv(SECONDS) for socket in sockets)
            assert len(users()) == 12

    passes(Case)


# -- static files --------------------------------------------------------------------


@pytest.fixture
def static(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "hello.txt").write_text("from a finder")
    with override_settings(STATICFILES_DIRS=[tmp_path]):
        yield


def test_static_files_are_served_from_where_finders_find_them(static: None) -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            assert get(f"{self.live_server_url}/static/hello.txt") == "from a finder"

    passes(Case)


def test_static_files_can_be_left_out(static: None) -> None:
    class Case(LiveCase):
        serve_static = False

        def test_it(self) -> None:
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(f"{self.live_server_url}/static/hello.txt")
            caught.value.close()
            assert caught.value.code == 404

    passes(Case)


@override_settings(STATIC_URL=None)
def test_a_project_without_static_files_is_served() -> None:
    class Case(LiveCase):
        def test_it(self) -> None:
            assert get(f"{self.live_server_url}/users/") == "[]"

    passes(Case)


def test_a_wrapper_of_ones_own_is_used() -> None:
    class Case(LiveCase):
        @staticmethod
        def static_wrapper(application: Any) -> Any:
            async def wrapped(scope: Any, receive: Any, send: Any) -> None:
                await application({**scope, "path": "/users/"}, receive, send)

            return wrapped

        def test_it(self) -> None:
            assert get(f"{self.live_server_url}/anything/") == "[]"

    passes(Case)


# -- start and end -------------------------------------------------------------------


def failure(case: type[ChannelsLiveServerTestCase], expected: type[BaseException]) -> str:
    before = state()
    with pytest.raises(expected) as caught:
        case.setUpClass()
    case.doClassCleanups()
    assert case.tearDown_exceptions == []
    leaves_nothing_more(before)
    return str(caught.value)


def leaves_nothing_more(before: tuple[set[threading.Thread], int, list[str]]) -> None:
    threads, files, hosts = state()
    # What other tests left may have gone meanwhile.
    assert threads <= before[0]
    assert files <= before[1]
    assert hosts == before[2]


def state() -> tuple[set[threading.Thread], int, list[str]]:
    """What a class must leave as it was: threads, open files, settings."""
    pools_of_process().dismiss(SECONDS)
    connections.close_all()
    return set(threading.enumerate()), len(os.listdir("/proc/self/fd")), settings.ALLOWED_HOSTS


def test_a_class_leaves_nothing_behind() -> None:
    stack = contextlib.ExitStack()
    sockets: list[ClientConnection] = []

    class Case(LiveCase):
        def test_it(self) -> None:
            for kind in ("sync", "async"):
                # Not closed: the server does it at the end of the class.
                sockets.append(stack.enter_context(self.socket(f"/{kind}/")))
                sockets[-1].send(kind)
                assert sockets[-1].recv(SECONDS)

    before = state()
    with stack:
        passes(Case)
        for socket in sockets:
            with pytest.raises(ConnectionClosedError, match="1012"):
                socket.recv(SECONDS)
    leaves_nothing_more(before)


def test_no_thread_keeps_a_connection_to_the_database() -> None:
    seen: list[Any] = []

    class Case(LiveCase):
        def test_it(self) -> None:
            with self.socket("/sync/") as socket:
                socket.send("ada")
                assert socket.recv(SECONDS)
                kept = [made.connection for made in seen]
                assert any(kept)

    def note(connection: Any, **_: Any) -> None:
        seen.append(connection)

    from django.db.backends.signals import connection_created

    connection_created.connect(note)
    with_age = {**connections.settings["default"], "CONN_MAX_AGE": None}
    before = dict(connections.settings["default"])
    connections.settings["default"].update(with_age)
    try:
        passes(Case)
    finally:
        connections.settings["default"].update(before)
        connection_created.disconnect(note)
        connections.close_all()
    assert [made for made in seen if made.connection is not None] == []


def test_an_application_that_cannot_be_imported_is_said_at_the_start() -> None:
    with override_settings(ASGI_APPLICATION="nowhere.application"):
        assert "nowhere" in failure(type("Case", (LiveCase,), {}), ImproperlyConfigured)


def test_an_application_that_does_not_start_is_said_at_the_start() -> None:
    with override_settings(ASGI_APPLICATION=f"{__name__}.fails_to_start"):
        assert "no licence" in failure(type("Case", (LiveCase,), {}), OSError)


def test_an_address_that_cannot_be_bound_is_said_at_the_start() -> None:
    case = type("Case", (LiveCase,), {"host": "192.0.2.1"})
    assert "192.0.2.1" in failure(case, OSError)


# -- names of Channels 4 -------------------------------------------------------------


def test_the_urls_are_there_for_the_class_too() -> None:
    class Case(LiveCase):
        host = "127.0.0.1"

        @classmethod
        def setUpClass(cls) -> None:
            super().setUpClass()
            cls.page = get(f"{cls.live_server_url}/users/")

        def test_it(self) -> None:
            assert self.page == "[]"
            assert self.live_server_url == f"http://127.0.0.1:{self._port}"
            assert self.live_server_ws_url == f"ws://127.0.0.1:{self._port}"

    passes(Case)


def test_a_class_that_names_a_server_process_runs() -> None:
    class Case(LiveCase):
        ProtocolServerProcess = object

        def test_it(self) -> None:
            assert get(f"{self.live_server_url}/users/") == "[]"

    passes(Case)


def test_make_application_wraps_the_projects() -> None:
    assert make_application(static_wrapper=None) is application
    assert make_application(static_wrapper=lambda inner: [inner]) == [application]


@pytest.mark.parametrize(
    ("name", "test_name", "then"),
    [
        ("site", None, "test_site"),
        ("test_site", None, "test_site"),
        ("site", "other", "other"),
        ("other_2", "other", "other_2"),
    ],
)
def test_a_process_of_its_own_is_pointed_at_the_test_database(
    name: str, test_name: str | None, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = {"NAME": name, "TEST": {"NAME": test_name}}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    set_database_connection()
    assert database["NAME"] == then


# -- Django's runner, and databases in memory ----------------------------------------

SETTINGS = """
import os
SECRET_KEY = "for tests only"
INSTALLED_APPS = [
    "channels", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"
]
USE_TZ = True
ROOT_URLCONF = "site_urls"
FIXTURE_DIRS = ["fixtures"]
ASGI_APPLICATION = "site_asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "db.sqlite3",
        # Without it SQLite refuses whoever reads first and then writes, if others wrote meanwhile.
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
        "TEST": {"NAME": "test.sqlite3"},
    }
}
if os.environ.get("IN_MEMORY"):
    # Django's default.
    del DATABASES["default"]["TEST"], DATABASES["default"]["OPTIONS"]
"""

ASGI = """
from django.contrib.auth.models import Group
from django.core.asgi import get_asgi_application
from django.db import transaction
from django.urls import path
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter

class Groups(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        with transaction.atomic():
            before = Group.objects.count()
            Group.objects.create(name=text_data)
            assert Group.objects.count() == before + 1
        self.send(text_data=str(Group.objects.count()))

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": URLRouter([path("groups/", Groups.as_asgi())]),
})
"""

URLS = """
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("count/", lambda request: HttpResponse(str(Group.objects.count())))]
"""

TESTS = """
import contextlib
import urllib.request
from django.contrib.auth.models import Group
from django.db import connection
from django.test import TestCase
from channels.testing import ChannelsLiveServerTestCase
from websockets.sync.client import connect

class LiveTests(ChannelsLiveServerTestCase):
    def test_reading_and_writing(self):
        Group.objects.create(name="mine")
        with urllib.request.urlopen(self.live_server_url + "/count/", timeout=10) as response:
            assert response.read() == b"1"
        with connect(self.live_server_ws_url + "/groups/") as socket:
            socket.send("theirs")
            assert socket.recv(10) == "2"
        assert Group.objects.count() == 2

    def test_many_at_once(self):
        with contextlib.ExitStack() as stack:
            url = self.live_server_ws_url + "/groups/"
            sockets = [stack.enter_context(connect(url)) for _ in range(15)]
            for turn in range(3):
                for number, socket in enumerate(sockets):
                    socket.send(f"group {turn} {number}")
                Group.objects.create(name=f"mine {turn}")
                assert all(int(socket.recv(10)) for socket in sockets)
        assert Group.objects.count() == 48

class FixtureTests(ChannelsLiveServerTestCase):
    fixtures = ["groups.json"]

    def test_the_server_sees_them(self):
        with urllib.request.urlopen(self.live_server_url + "/count/", timeout=10) as response:
            assert response.read() == b"1"

class OrdinaryTests(TestCase):
    def test_nothing_is_left_of_the_others(self):
        assert Group.objects.count() == 0

class LaterTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        Group.objects.create(name="first")

    def test_the_database_is_what_it_was(self):
        assert Group.objects.count() == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", ["", "1"], ids=["file", "memory"])
@pytest.mark.parametrize("order", [[], ["--reverse"]], ids=["", "reverse"])
def test_manage_py_test_runs_it(
    tmp_path: Path, in_memory: str, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IN_MEMORY", in_memory)
    project = {
        "settings.py": SETTINGS,
        "site_asgi.py": ASGI,
        "site_urls.py": URLS,
        "tests.py": TESTS,
        "fixtures/groups.json": '[{"model": "auth.group", "fields": {"name": "loaded"}}]',
    }
    with django(write(tmp_path, project), "test", "-v2", *order) as tests:
        status = tests.end()
    assert status == 0, tests.output
    assert "Ran 5 tests" in tests.output
    assert "OK" in tests.output
    assert "Warning" not in tests.output, tests.output
