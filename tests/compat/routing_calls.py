"""Calls routers for the rows: what came out, and what they left in the scope."""

from __future__ import annotations

from typing import Any

from django.urls import path, re_path
from tests.compat.behaviours import async_outcome

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.routing import URLRouter


class Seen:
    """An application that keeps the scopes it was called with."""

    def __init__(self, answer: Any = "answered") -> None:
        self.scopes: list[Any] = []
        self.answer = answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        self.scopes.append(scope)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def found(self) -> Any:
        """What the routers left in the scope of the last call."""
        scope = self.scopes[-1]
        return [scope["path_remaining"], scope["url_route"]["args"], scope["url_route"]["kwargs"]]


class Recorder(AsyncConsumer):
    calls: list[Any] = []

    async def websocket_connect(self, message: Any) -> None:
        self.calls.append(self.scope["url_route"]["kwargs"])
        raise StopConsumer


async def connecting() -> Any:
    return {"type": "websocket.connect"}


async def call(application: Any, path: str = "/", **scope: Any) -> Any:
    """What comes out: the answer, an error, or (where events were sent) their types."""
    events: list[Any] = []

    async def send(event: Any) -> None:
        events.append(event)

    scope = {"type": "websocket", "path": path, "headers": [], **scope}
    scope = {key: value for key, value in scope.items() if value is not None}
    answer = await async_outcome(application(scope, connecting, send))
    return [[event["type"], event.get("status")] for event in events] if events else answer


async def found(routes: list[Any], path: str, **scope: Any) -> Any:
    """Like `call`; for routes to `Seen` that ends with what the routers left."""
    seen = Seen()
    router = URLRouter([route(seen) for route in routes])
    answer = await call(router, path, **scope)
    return seen.found if answer == "answered" else answer


def at(route: str, kwargs: Any = None) -> Any:
    return lambda view: path(route, view, kwargs)


def at_re(route: str, kwargs: Any = None) -> Any:
    return lambda view: re_path(route, view, kwargs)
