"""One application made of our parts, as a project has them, to run under any ASGI server.

What a consumer saw and how often it was told that it is over, it notes under the
`key` of its query; `/seen/<key>/` answers the notes, so that they can be read from
another process. `python -m tests.compat.server_app` makes the database
and a static file.

The environment of the process chooses the database, the layer and further apps.
"""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import django
from asgiref.sync import async_to_sync
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests only",
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=[
        "channels",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        *filter(None, [os.environ.get("SERVER_APP_INSTALLED")]),
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF="tests.compat.server_views",
    STATIC_URL="/static/",
    STATICFILES_DIRS=[Path(os.environ["SERVER_APP_DATABASE"]).parent / "static"],
    USE_TZ=True,
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["SERVER_APP_DATABASE"],
        }
    },
    CHANNEL_LAYERS={
        "default": json.loads(
            os.environ.get("SERVER_APP_LAYER")
            or '{"BACKEND": "channels.layers.InMemoryChannelLayer"}'
        )
    },
)
django.setup()

from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path, re_path
from tests.compat.server_views import seen, wait_released

from channels.auth import AuthMiddlewareStack, login
from channels.broadcast import broadcast
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.types import Message, Receive, Scope, Send


def key_of(scope: Scope) -> str:
    return parse_qs(scope["query_string"].decode()).get("key", [""])[0]


def note(scope: Scope, *what: Any) -> None:
    seen[key_of(scope)].append(what)


# -- consumers -----------------------------------------------------------------


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        note(self.scope, "received", text_data or len(bytes_data or b""))
        await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        note(self.scope, "disconnect", code)


class SyncEcho(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=text_data, bytes_data=bytes_data)

    def disconnect(self, code: int) -> None:
        note(self.scope, "disconnect", code)


class Json(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"echo": content})


class SyncJson(JsonWebsocketConsumer):
    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json({"echo": content})


class Room(AsyncJsonWebsocketConsumer):
    """Says to its group what it hears, in a message of the type it hears; or its process's id."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if content == "process":
            await self.send_json(os.getpid())
        else:
            await self.channel_layer.group_send(self.room, content)

    async def room_message(self, event: Message) -> None:
        await self.send_json([event["said"], "to each"])

    @broadcast
    def room_shared(cls, event: Message) -> Any:
        return [event["said"], "to all"]

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)
        note(self.scope, "disconnect", code)


class SyncRoom(WebsocketConsumer):
    groups = ["everybody"]

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message = {"type": "everybody.message", "text": text_data}
        async_to_sync(self.channel_layer.group_send)("everybody", message)

    def everybody_message(self, event: Message) -> None:
        self.send(text_data=event["text"])


class Denying(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close()

    async def disconnect(self, code: int) -> None:
        note(self.scope, "disconnect", code)


class Choosy(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        note(self.scope, "offered", self.scope["subprotocols"])
        headers = [(b"x-accepted", b"yes"), (b"set-cookie", b"taste=salty")]
        await self.accept(subprotocol="second", headers=headers)


class Closing(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data="the last one")
        await self.close(code=4001, reason="enough")

    async def disconnect(self, code: int) -> None:
        note(self.scope, "disconnect", code)


class Failing(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        if self.scope["path"].endswith("/connect/"):
            raise RuntimeError("on purpose, before accepting")
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise RuntimeError("on purpose")

    async def disconnect(self, code: int) -> None:
        note(self.scope, "disconnect", code)


class About(JsonWebsocketConsumer):
    """Tells what it sees of its scope; synchronous, as most that ask the database are."""

    def connect(self) -> None:
        self.accept()
        self.send_json(
            {
                "path": self.scope["path"],
                "query": self.scope["query_string"].decode(),
                "captured": self.scope["url_route"]["kwargs"],
                "cookies": sorted(self.scope["cookies"]),
                "header": dict(self.scope["headers"]).get(b"x-mine", b"").decode(),
                "session": self.scope["session"].get("colour"),
                "user": self.scope["user"].get_username(),
                "client": self.scope["client"][0],
            }
        )


class Visits(AsyncJsonWebsocketConsumer):
    """Changes the session, or logs somebody in, before it accepts."""

    async def connect(self) -> None:
        name = self.scope["url_route"]["kwargs"].get("name")
        if name is not None:
            user = await get_user_model().objects.aget(username=name)
            await login(self.scope, user)
        self.scope["session"]["colour"] = "green"
        await self.accept()
        await self.send_json(self.scope["user"].get_username())


class WholeResponse(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        headers = [(b"content-type", b"text/plain"), (b"x-consumer", b"yes")]
        await self.send_response(201, body or b"nothing", headers=headers)

    async def disconnect(self) -> None:
        note(self.scope, "disconnect")


class StreamedResponse(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_headers(headers=[(b"content-type", b"text/plain")])
        await self.send_body(b"first,", more_body=True)
        await wait_released(key_of(self.scope))
        await self.send_body(b"second,", more_body=True)
        await self.send_body(b"third")

    async def disconnect(self) -> None:
        note(self.scope, "disconnect")


# -- the application -----------------------------------------------------------


def noting_ends(application: Any) -> Any:
    """Note when the application has returned or raised: nothing follows then."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await application(scope, receive, send)
        finally:
            if scope["type"] != "lifespan" and key_of(scope):
                note(scope, "ended")

    return middleware


inner_router = URLRouter([path("inner/<int:number>/", About.as_asgi())])

sockets = URLRouter(
    [
        path("echo/", Echo.as_asgi()),
        path("echo/sync/", SyncEcho.as_asgi()),
        path("json/", Json.as_asgi()),
        path("json/sync/", SyncJson.as_asgi()),
        path("rooms/<room>/", Room.as_asgi()),
        path("everybody/", SyncRoom.as_asgi()),
        path("denying/", Denying.as_asgi()),
        path("choosy/", Choosy.as_asgi()),
        path("closing/", Closing.as_asgi()),
        re_path(r"^failing/(connect/)?$", Failing.as_asgi()),
        path("about/<int:number>/<slug:word>/", About.as_asgi()),
        path("outer/<slug:word>/", inner_router),
        path("visits/", Visits.as_asgi()),
        path("visits/<name>/", Visits.as_asgi()),
    ]
)

pages = URLRouter(
    [
        path("consumers/whole/", WholeResponse.as_asgi()),
        path("consumers/streamed/", StreamedResponse.as_asgi()),
        # Django's own handler, which this router puts ours in the place of.
        re_path(r"", ProtocolTypeRouter({"http": get_asgi_application()})),
    ]
)

application = noting_ends(
    ASGIStaticFilesHandler(
        ProtocolTypeRouter(
            {
                "http": pages,
                "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(sockets)),
            }
        )
    )
)


def make_files() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for name in ("ada", "grace"):
        get_user_model().objects.create_user(name)
    (folder,) = settings.STATICFILES_DIRS
    folder.mkdir()
    (folder / "note.txt").write_text("a static file")


if __name__ == "__main__":
    make_files()
