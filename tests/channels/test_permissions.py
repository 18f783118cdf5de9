"""Applications that ask about the user before they let a connection through."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from calls import CONNECT, DISCONNECT, Recorder, call, http_scope, websocket_scope
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.test import Client
from django.urls import path

from channels.auth import AuthMiddlewareStack
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.http import AsgiHandler
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.permissions import login_required, permission_required, user_passes_test

ACCEPT = {"type": "websocket.accept"}
EXTENSIONS = {"websocket.http.response": {}}


class Gate(AsyncWebsocketConsumer):
    """What the guards stand in front of."""

    greeting = "hello"

    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data=self.greeting)


class Page(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, b"a page")


@pytest.fixture
def editor(db: None) -> User:
    user = User.objects.create_user("editor")
    user.user_permissions.add(Permission.objects.get(codename="change_user"))
    return user


def connect(application: Any, user: Any, **scope: Any) -> list[dict[str, Any]]:
    scope = websocket_scope("/gate/", user=user, **scope)
    return call(application, scope, [CONNECT, DISCONNECT])


def status(application: Any, user: Any) -> int:
    """How a WebSocket is answered; 101 if it is accepted."""
    first = connect(application, user, extensions=EXTENSIONS)[0]
    return 101 if first["type"] == "websocket.accept" else int(first["status"])


# -- who passes ------------------------------------------------------------------


def test_login_is_required(ada: User) -> None:
    app = login_required(Gate.as_asgi())
    assert status(app, AnonymousUser()) == 401
    assert status(app, None) == 401
    assert status(app, ada) == 101


def test_a_permission_is_required(ada: User, editor: User) -> None:
    app = permission_required("auth.change_user")(Gate)
    assert status(app, AnonymousUser()) == 401
    assert status(app, ada) == 403
    assert status(app, editor) == 101


def test_all_of_several_permissions_are_required(ada: User, editor: User) -> None:
    app = permission_required(["auth.change_user", "auth.add_user"])(Gate)
    assert status(app, editor) == 403
    editor.user_permissions.add(Permission.objects.get(codename="add_user"))
    assert status(app, User.objects.get(pk=editor.pk)) == 101
    ada.is_superuser = True
    assert status(app, ada) == 101


def test_a_test_of_ones_own_may_ask_the_database(ada: User) -> None:
    def staff(user: User) -> bool:
        assert threading.current_thread() is not threading.main_thread()
        return User.objects.filter(pk=user.pk, is_staff=True).exists()

    app = user_passes_test(staff)(Gate)
    assert status(app, ada) == 403
    assert status(app, AnonymousUser()) == 401
    User.objects.update(is_staff=True)
    assert status(app, ada) == 101


class Patient:
    async def __call__(self, user: Any) -> bool:
        await asyncio.sleep(0)
        return user.username == "ada"


async def patient(user: Any) -> bool:
    return await Patient()(user)


@pytest.mark.parametrize("test", [patient, Patient(), lambda user: patient(user)])
def test_a_test_of_ones_own_may_be_a_coroutine(ada: User, editor: User, test: Any) -> None:
    app = user_passes_test(test)(Gate)
    assert status(app, ada) == 101
    assert status(app, editor) == 403


# -- how others are refused ------------------------------------------------------


def test_without_the_extension_a_websocket_is_closed_before_the_accept() -> None:
    assert connect(login_required(Gate), AnonymousUser()) == [{"type": "websocket.close"}]


def test_a_request_is_answered_plainly(ada: User) -> None:
    app = permission_required("auth.add_user")(Page)
    for user, expected in ((AnonymousUser(), 401), (ada, 403)):
        events = [{"type": "http.request", "body": b""}]
        start, body = call(app, http_scope("/page/", user=user), events)
        assert start["status"] == expected
        assert dict(start["headers"])[b"content-type"].startswith(b"text/plain")
        assert body["body"]


def test_the_application_behind_is_not_called() -> None:
    app = Recorder(ACCEPT)
    connect(login_required(app), AnonymousUser())
    assert app.scopes == []


def test_a_test_that_fails_lets_nobody_through(ada: User) -> None:
    def broken(user: Any) -> bool:
        raise ZeroDivisionError

    app = Recorder(ACCEPT)
    with pytest.raises(ZeroDivisionError):
        connect(user_passes_test(broken)(app), ada)
    assert app.scopes == []


# -- where they stand ------------------------------------------------------------


def test_they_stand_in_routes_and_around_routers(ada: User) -> None:
    inner = URLRouter([path("gate/", Gate.as_asgi())])
    routes = URLRouter(
        [
            path("open/", Gate.as_asgi()),
            path("closed/", login_required(Gate.as_asgi())),
            path("nested/", login_required(inner)),
            path("deep/", permission_required("auth.add_user")(login_required(inner))),
        ]
    )

    def first(where: str, user: Any) -> str:
        scope = websocket_scope(where, user=user)
        return str(call(routes, scope, [CONNECT, DISCONNECT])[0]["type"])

    nobody = AnonymousUser()
    assert first("/open/", nobody) == "websocket.accept"
    for where in ("/closed/", "/nested/gate/", "/deep/gate/"):
        assert first(where, nobody) == "websocket.close"
    for where in ("/closed/", "/nested/gate/"):
        assert first(where, ada) == "websocket.accept"
    assert first("/deep/gate/", ada) == "websocket.close"
    assert first("/nested/elsewhere/", ada) == "websocket.close"


def test_they_stand_behind_the_auth_stack(ada: User) -> None:
    client = Client()
    client.force_login(ada)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    headers = [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())]
    app = AuthMiddlewareStack(URLRouter([path("gate/", login_required(Gate.as_asgi()))]))
    sent = call(app, websocket_scope("/gate/", headers=headers), [CONNECT, DISCONNECT])
    assert sent[0]["type"] == "websocket.accept"
    assert call(app, websocket_scope("/gate/"), [CONNECT]) == [{"type": "websocket.close"}]


def test_they_stand_before_djangos_views(ada: User) -> None:
    app = login_required(AsgiHandler())
    events = [{"type": "http.request", "body": b""}]
    start, body = call(app, http_scope("/hello/", user=ada), events)
    assert (start["status"], body["body"]) == (200, b"Hello from a Django view")


def test_a_lifespan_passes() -> None:
    router = ProtocolTypeRouter({"websocket": Gate})
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = call(login_required(router), {"type": "lifespan"}, events)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_the_consumer_behind_stays_readable() -> None:
    app: Any = login_required(permission_required("auth.add_user")(Gate.as_asgi(greeting="x")))
    assert app.consumer_class is Gate
    assert app.consumer_initkwargs == {"greeting": "x"}
    assert not hasattr(login_required(Recorder()), "consumer_class")


def test_a_consumer_class_can_be_decorated(ada: User) -> None:
    @login_required
    class Decorated(Gate):
        def __init__(self, greeting: str) -> None:
            super().__init__()
            self.greeting = greeting

    app = Decorated.as_asgi(greeting="welcome")
    assert connect(app, ada)[1]["text"] == "welcome"
    assert status(app, AnonymousUser()) == 401
    with pytest.raises(TypeError, match="is no consumer"):
        login_required(Recorder()).as_asgi()
    with pytest.raises(TypeError, match="is no consumer"):
        # Its arguments would be lost, and what may be wrapped around it.
        login_required(Gate.as_asgi()).as_asgi()


def test_a_class_decorated_twice_is_guarded_twice(ada: User, editor: User) -> None:
    @login_required
    @permission_required("auth.change_user")
    class Decorated(Gate):
        """Of staff."""

    for app in (Decorated, Decorated.as_asgi()):
        assert status(app, editor) == 101
        assert status(app, ada) == 403
        assert status(app, AnonymousUser()) == 401


# -- mistakes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guard", "name"),
    [
        (login_required, "login_required"),
        (permission_required("auth.add_user"), "permission_required"),
        (user_passes_test(bool), "user_passes_test"),
    ],
)
def test_a_scope_without_a_user_says_which_middleware_is_missing(guard: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} .*AuthMiddlewareStack.* must be above it"):
        call(guard(Recorder()), websocket_scope())


@pytest.mark.parametrize("given", [[], None, ["auth.add_user", 5]])
def test_permissions_that_would_ask_for_nothing_are_an_error(given: Any) -> None:
    with pytest.raises(TypeError, match=r"app\.codename|not iterable"):
        permission_required(given)


def test_a_test_that_is_none_is_an_error() -> None:
    with pytest.raises(TypeError, match="takes a function of the user"):
        user_passes_test("is_staff")  # type: ignore[arg-type]
