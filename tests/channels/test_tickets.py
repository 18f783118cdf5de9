"""One-time tickets: once, in time, for one user and one path, over shared caches."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from calls import CONNECT, Recorder, acall, call, http_scope, websocket_scope
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from tests.redis_server import running_redis
from tests.waiting import let_pass
from ticket_process import PATH, let_in, processes
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from channels.security.authentication import AuthenticationMiddleware
from channels.security.tickets import OneTimeTicket, aissue_ticket, issue_ticket
from channels.server import Server, ServerConfig
from channels.server.access import AccessLog

BACKENDS = "django.core.cache.backends"
REFUSED = b"Authentication failed."


# -- the caches ------------------------------------------------------------------


@contextlib.contextmanager
def file_caches(folder: Path) -> Iterator[dict[str, Any]]:
    yield {"BACKEND": f"{BACKENDS}.filebased.FileBasedCache", "LOCATION": str(folder / "cache")}


@contextlib.contextmanager
def database_caches(folder: Path) -> Iterator[dict[str, Any]]:
    made = {"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": "ticket_cache"}
    with override_settings(CACHES={"default": made}):
        call_command("createcachetable", verbosity=0)
    yield made
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE ticket_cache")


@contextlib.contextmanager
def redis_caches(folder: Path) -> Iterator[dict[str, Any]]:
    with running_redis() as server:
        yield {"BACKEND": f"{BACKENDS}.redis.RedisCache", "LOCATION": server.url}


@pytest.fixture
def shared(db: None, tmp_path: Path) -> Iterator[None]:
    """A shared cache that needs no server."""
    with file_caches(tmp_path) as made, override_settings(CACHES={"default": made}):
        yield


@pytest.fixture(
    params=[file_caches, database_caches, pytest.param(redis_caches, marks=pytest.mark.slow)],
    ids=["files", "database", "redis"],
)
def any_shared(
    request: pytest.FixtureRequest, db: None, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    with request.param(tmp_path) as made, override_settings(CACHES={"default": made}):
        yield {"default": made}


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged of security; no ticket stands in any record."""
    caplog.set_level(logging.INFO)
    for name in ("channels", "django", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    texts = _Texts(caplog)
    yield texts
    everything = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    for ticket in issued:
        assert ticket not in everything
    issued.clear()


class _Texts(list[str]):
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def last(self) -> str:
        records = [one for one in self._caplog.records if one.name == "channels.security"]
        return records[-1].getMessage()


issued: list[str] = []


def issue(user: Any, path: str = PATH, **more: Any) -> str:
    ticket = issue_ticket(user, path, **more)
    issued.append(ticket)
    return ticket


# -- showing one -----------------------------------------------------------------


def showing(query: str, path: str = PATH, **more: Any) -> dict[str, Any]:
    extensions = {"websocket.http.response": {}}
    return websocket_scope(path, query_string=query.encode(), extensions=extensions, **more)


def shown(query: str, path: str = PATH, **more: Any) -> Any:
    """The inner scope, or the status and body of the denial."""
    app = Recorder()
    sent = call(
        AuthenticationMiddleware(app, [OneTimeTicket()]), showing(query, path, **more), [CONNECT]
    )
    for ticket in issued:
        assert ticket not in repr(sent)
    return app.scope if app.scopes else (sent[0]["status"], sent[1]["body"])


def test_a_ticket_lets_its_user_in_once(any_shared: Any, ada: User, logged: Any) -> None:
    ticket = issue(ada)
    assert len(ticket) == 43
    inner = shown(f"ticket={ticket}")
    assert inner["user"] == ada
    assert type(inner["user"]) is User
    assert shown(f"ticket={ticket}") == (401, REFUSED)
    assert logged.last == (
        f"WebSocket '{PATH}' refused with 401: OneTimeTicket(): "
        "the ticket is unknown: used, expired or evicted"
    )


def test_a_ticket_is_issued_from_asynchronous_code(any_shared: Any, ada: User) -> None:
    ticket = asyncio.run(aissue_ticket(ada, PATH, seconds=5))
    issued.append(ticket)
    assert shown(f"ticket={ticket}")["user"] == ada


@pytest.mark.usefixtures("shared")
def test_a_ticket_serves_requests_too(ada: User) -> None:
    app = Recorder()
    scope = http_scope(PATH, query_string=f"ticket={issue(ada)}".encode())
    call(AuthenticationMiddleware(app, [OneTimeTicket()]), scope)
    assert app.scope["user"] == ada


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("ticket={}", b""),
        ("a=1&ticket={}&b=%20+&&c", b"a=1&b=%20+&&c"),
        ("ticket={}&tickets=2&myticket=3", b"tickets=2&myticket=3"),
        ("%C3%A9=\xe9&ticket={}", b"%C3%A9=\xc3\xa9"),
    ],
)
def test_the_rest_of_the_query_string_stays_byte_for_byte(
    ada: User, query: str, rest: bytes
) -> None:
    scope = shown(query.format(issue(ada)))
    assert scope["query_string"] == rest
    assert issued[0] not in repr(scope)


@pytest.mark.usefixtures("shared")
def test_without_a_ticket_nothing_is_asked_or_changed() -> None:
    inner = shown("a=1&b=2")
    assert isinstance(inner["user"], AnonymousUser)
    assert inner["query_string"] == b"a=1&b=2"
    bare = Recorder()
    scope = {"type": "websocket", "path": "/"}
    call(AuthenticationMiddleware(bare, [OneTimeTicket()]), scope)
    assert "query_string" not in bare.scope


# -- refusals --------------------------------------------------------------------


@pytest.mark.usefixtures("shared")
def test_a_ticket_is_of_no_use_elsewhere_and_is_burnt_there(ada: User, logged: Any) -> None:
    ticket = issue(ada)
    assert shown(f"ticket={ticket}", "/ws/other/") == (401, REFUSED)
    assert logged.last.endswith(f"the ticket was issued for '{PATH}'")
    assert shown(f"ticket={ticket}") == (401, REFUSED)


@pytest.mark.usefixtures("shared")
def test_a_path_may_be_given_as_its_url_says(ada: User) -> None:
    ticket = issue(ada, "/r%C3%A4ume/a%20b/")
    assert shown(f"ticket={ticket}", "/räume/a b/")["user"] == ada


def test_a_ticket_expires(any_shared: Any, ada: User, logged: Any) -> None:
    ticket = issue(ada, seconds=0.001)
    let_pass(0.002, "a ticket that has expired is what is shown")
    assert shown(f"ticket={ticket}") == (401, REFUSED)
    assert logged.last.endswith("the ticket has expired")


def test_a_ticket_that_the_cache_evicted_lets_nobody_in(
    any_shared: Any, ada: User, logged: Any
) -> None:
    ticket = issue(ada)
    caches["default"].clear()
    assert shown(f"ticket={ticket}") == (401, REFUSED)
    assert logged.last.endswith("used, expired or evicted")


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("ticket=", "not of a ticket's form"),
        ("ticket", "not of a ticket's form"),
        ("ticket=abc", "not of a ticket's form"),
        ("ticket=" + "a" * 44, "not of a ticket's form"),
        ("ticket=" + "a" * 42 + "\xe9", "not of a ticket's form"),
        ("ticket=" + "a" * 43, "unknown: used, expired or evicted"),
        (f"ticket={'a' * 43}&ticket={'b' * 43}", "there are several tickets"),
    ],
)
def test_what_is_no_ticket_is_refused(query: str, reason: str, logged: Any) -> None:
    assert shown(query) == (401, REFUSED)
    assert logged.last.endswith(reason)
    assert "aaa" not in logged.last


@pytest.mark.usefixtures("shared")
def test_who_left_meanwhile_is_refused(ada: User, logged: Any) -> None:
    inactive, gone = issue(ada), issue(ada)
    ada.is_active = False
    ada.save()
    assert shown(f"ticket={inactive}") == (401, REFUSED)
    assert logged.last.endswith("the user is not active")
    ada.delete()
    assert shown(f"ticket={gone}") == (401, REFUSED)
    assert logged.last.endswith("the ticket's user does not exist any more")


@pytest.mark.usefixtures("shared")
def test_a_ticket_does_not_change_who_a_visitor_is(ada: User, logged: Any) -> None:
    grace = User.objects.create_user("grace")
    assert shown(f"ticket={issue(ada)}", user=ada)["user"] == ada
    assert shown(f"ticket={issue(ada)}", user=AnonymousUser())["user"] == ada
    assert shown(f"ticket={issue(ada)}", user=grace) == (401, REFUSED)
    assert logged.last.endswith("the ticket is another user's than the session")


# -- issuing ---------------------------------------------------------------------


@pytest.mark.usefixtures("shared")
def test_a_ticket_is_not_issued_for_what_cannot_be_shown(ada: User) -> None:
    for seconds in (30.001, 3600, 0, -1, float("nan")):
        with pytest.raises(ValueError, match="at most 30 seconds"):
            issue(ada, seconds=seconds)
    for path in ("chat/", "wss://example.com/chat/", "/chat/?room=1", "/chat/#a", ""):
        with pytest.raises(ValueError, match="the path of a URL"):
            issue(ada, path)
    for nobody in (AnonymousUser(), User(username="unsaved"), None):
        with pytest.raises(ValueError, match="who is saved and logged in"):
            issue(nobody)
    with pytest.raises(ValueError, match="not active, and gets no ticket"):
        issue(User(pk=7, username="left", is_active=False))
    # Of another model: the key would be that of somebody else.
    customer = SimpleNamespace(pk=ada.pk, is_authenticated=True, is_active=True)
    with pytest.raises(ValueError, match="of the model AUTH_USER_MODEL"):
        issue(customer)


@pytest.mark.usefixtures("shared")
def test_the_cache_holds_no_ticket(ada: User) -> None:
    ticket = issue(ada)
    location = Path(settings.CACHES["default"]["LOCATION"])
    keys: list[str] = []
    with override_settings(
        CACHES={"default": {**settings.CACHES["default"], "KEY_FUNCTION": _recording(keys)}}
    ):
        issued.append(issue_ticket(ada, PATH))
    assert keys[0].startswith("channels.ticket.")
    assert issued[-1] not in keys[0]
    for file in location.iterdir():
        assert ticket.encode() not in file.read_bytes()


def _recording(keys: list[str]) -> Any:
    def key_function(key: str, prefix: str, version: int) -> str:
        keys.append(key)
        return f"{prefix}:{version}:{key}"

    return key_function


@pytest.mark.parametrize("kind", ["locmem.LocMemCache", "dummy.DummyCache"])
def test_a_cache_of_one_process_is_refused_with_what_to_set(kind: str) -> None:
    name = kind.rpartition(".")[2]
    user = User(pk=1, username="ada")
    with override_settings(CACHES={"default": {"BACKEND": f"{BACKENDS}.{kind}"}}):
        for make in (OneTimeTicket, lambda: issue_ticket(user, PATH)):
            with pytest.raises(ImproperlyConfigured, match="all processes share") as caught:
                make()
            assert f"CACHES['default'] is {name}. Set its BACKEND to" in str(caught.value)
        with pytest.raises(ImproperlyConfigured, match="CACHES has no 'tickets'"):
            OneTimeTicket(cache="tickets")


def test_a_cache_of_another_alias_can_keep_them(tmp_path: Path, ada: User) -> None:
    app = Recorder()
    with file_caches(tmp_path) as made:
        local = {"BACKEND": f"{BACKENDS}.locmem.LocMemCache"}
        with override_settings(CACHES={"default": local, "tickets": made}):
            ticket = issue(ada, cache="tickets")
            middleware = AuthenticationMiddleware(app, [OneTimeTicket(cache="tickets")])
            call(middleware, showing(f"ticket={ticket}"), [CONNECT])
    assert app.scope["user"] == ada
    assert repr(middleware.authenticators[0]) == "OneTimeTicket('tickets')"


# -- at once ---------------------------------------------------------------------


def test_of_many_connections_at_once_exactly_one_gets_in(any_shared: Any, ada: User) -> None:
    app = Recorder()
    middleware = AuthenticationMiddleware(app, [OneTimeTicket()])

    async def run(ticket: str) -> None:
        scopes = [showing(f"ticket={ticket}") for _ in range(24)]
        await asyncio.gather(*(acall(middleware, scope, [CONNECT]) for scope in scopes))

    for _ in range(4):
        app.scopes.clear()
        asyncio.run(run(issue(ada)))
        assert len(app.scopes) == 1


@pytest.mark.slow
def test_of_many_processes_exactly_one_lets_a_ticket_in(any_shared: Any, ada: User) -> None:
    database = str(settings.DATABASES["default"]["NAME"])
    with processes(4, any_shared, database) as started:
        assert [let_in(started, issue(ada)) for _ in range(40)] == [1] * 40


# -- under our server ------------------------------------------------------------


class Hello(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.send(f"{self.scope['user']} {self.scope['query_string'].decode()}")


class Page(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, str(self.scope["user"]).encode())


@pytest.mark.slow
@pytest.mark.usefixtures("shared")
def test_a_ticket_opens_a_websocket_and_stands_in_no_log(ada: User) -> None:
    page, socket = issue(ada), issue(ada)
    application = ProtocolTypeRouter(
        {
            kind: AuthenticationMiddleware(consumer, [OneTimeTicket()])
            for kind, consumer in (("http", Page), ("websocket", Hello))
        }
    )
    access = io.StringIO()

    async def run() -> None:
        server = Server(application, ServerConfig(port=0), on_action=AccessLog(access))
        await server.start()
        host, port = server.addresses[0]
        try:
            url = f"ws://{host}:{port}{PATH}?room=1&ticket={socket}"
            async with connect(url) as client:
                assert await client.recv() == "ada room=1"
            with pytest.raises(InvalidStatus) as caught:
                await connect(url)
            assert caught.value.response.status_code == 401
            assert caught.value.response.body.strip() == REFUSED
            assert await _get(host, port, f"{PATH}?a=1&ticket={page}&b=2") == b"ada"
            assert await _get(host, port, f"{PATH}?ticket={page}") == REFUSED
        finally:
            await server.stop()

    asyncio.run(asyncio.wait_for(run(), 30))
    assert f'"GET {PATH}?a=1&ticket=***&b=2" 200' in access.getvalue()
    assert f'"GET {PATH}?ticket=***" 401' in access.getvalue()
    assert page not in access.getvalue()
    assert socket not in access.getvalue()


async def _get(host: str, port: int, target: str) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    await writer.wait_closed()
    return response.rpartition(b"\r\n")[2]
