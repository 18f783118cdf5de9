"""WebSockets that stay open: an application behind sessions and auth, and a client that answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from calls import CONNECT, websocket_scope
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer

SECONDS = 10.0
CLOSED = {"type": "websocket.close", "code": 4401}


class Room(AsyncWebsocketConsumer):
    """Says hello, and remembers how it ended."""

    ends: list[int]

    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data="hello")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data)

    async def disconnect(self, code: int) -> None:
        self.scope["ends"].append(code)


class OpenSocket:
    """One connection; a close that it is sent is answered as a browser answers it."""

    def __init__(self, application: Any, key: str | None, **scope: Any) -> None:
        name = settings.SESSION_COOKIE_NAME
        headers = [(b"cookie", f"{name}={key}".encode())] if key else []
        self.ends: list[int] = []
        self.scope = websocket_scope("/room/", headers=headers, ends=self.ends, **scope)
        self.sent: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self._application = application
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self.news.set()
        if message["type"] == "websocket.close":
            self.leave(message.get("code", 1000))

    def say(self, text: str) -> None:
        self._events.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self, code: int = 1001) -> None:
        self._events.put_nowait({"type": "websocket.disconnect", "code": code})

    async def open(self) -> OpenSocket:
        self._events.put_nowait(CONNECT)
        run = self._application(self.scope, self._events.get, self.send)
        self.task = asyncio.get_running_loop().create_task(run)
        await self.until(lambda: bool(self.sent))
        return self

    async def until(self, condition: Any) -> None:
        """Return when `condition()` is true; it is asked again whenever something is sent."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                self.news.clear()
                wait = asyncio.ensure_future(self.news.wait())
                done, _ = await asyncio.wait([wait, self.task], return_when=asyncio.FIRST_COMPLETED)
                wait.cancel()
                await asyncio.wait([wait])
                if self.task in done:
                    self.task.result()
                    assert condition(), f"ended having sent {self.sent}"

    async def ended(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.task

    @property
    def closed(self) -> bool:
        return CLOSED in self.sent


@asynccontextmanager
async def sockets(
    *keys: str | None, application: Any = None, **scope: Any
) -> AsyncIterator[list[OpenSocket]]:
    """Open a socket per session key; at the end those that are open leave."""
    application = application or AuthMiddlewareStack(Room)
    opened = [await OpenSocket(application, key, **scope).open() for key in keys]
    try:
        yield opened
    finally:
        for one in opened:
            one.leave()
        for one in opened:
            await one.ended()


def log_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def key_of(client: Client) -> str:
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def request_of(key: str) -> HttpRequest:
    request = HttpRequest()
    request.session = SessionStore(key)
    return request


def change_password(user: User) -> None:
    user.set_password(f"another {time.monotonic_ns()}")
    user.save()


def run(coroutine: Any) -> Any:
    """Run a test's coroutine; nothing but itself may be running when it ends."""

    async def bounded() -> Any:
        async with asyncio.timeout(30):
            result = await coroutine
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    return asyncio.run(bounded())
