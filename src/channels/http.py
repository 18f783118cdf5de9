"""Django's views as an ASGI application whose blocking code runs in lanes.

A view then shares one bounded pool of threads with the other views, and neither
holds up nor is held up by WebSockets.
"""

from __future__ import annotations

from typing import Any, Self

import django
from django.apps import apps
from django.core.handlers.asgi import ASGIHandler, ASGIRequest

from .threads import lane
from .types import ASGIApplication, Receive, Scope, Send

__all__ = ["AsgiHandler", "AsgiRequest"]

AsgiRequest = ASGIRequest


class AsgiHandler(ASGIHandler):
    """Answers HTTP scopes with Django's URLconf, middleware and views.

    An instance is an ASGI application; in the mapping of a router the class will do.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with lane("views", label=scope.get("path", "")):
            await super().__call__(scope, receive, send)

    @classmethod
    def as_asgi(cls) -> ASGIApplication:
        """Return an application that makes its handler at the first request."""
        return LazyAsgiHandler(cls)

    @classmethod
    def adopt(cls, handler: ASGIHandler) -> Self:
        """Return a handler of this class that uses the middleware `handler` has loaded."""
        adopted = cls.__new__(cls)
        adopted.__dict__.update(handler.__dict__)
        return adopted


class LazyAsgiHandler:
    """An AsgiHandler made at the first request, when settings and apps are surely there."""

    def __init__(self, handler_class: type[AsgiHandler] = AsgiHandler) -> None:
        self._handler_class = handler_class
        self._handler: AsgiHandler | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handler
        if handler is None:
            if not apps.ready:
                django.setup(set_prefix=False)
            handler = self._handler = self._handler_class()
        await handler(scope, receive, send)
