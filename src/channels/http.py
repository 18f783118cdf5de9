"""Django's views as an ASGI application whose blocking code runs in lanes.

A view then shares one bounded pool of threads with the other views, and neither
holds up nor is held up by WebSockets. The names are those of Channels 2 and 3,
whose projects subclass them.
"""

from __future__ import annotations

import io
from typing import IO, Any, Self

import django
from django.apps import apps
from django.core.handlers.asgi import ASGIHandler, ASGIRequest

from .threads import lane
from .types import ASGIApplication, Receive, Scope, Send

__all__ = ["AsgiHandler", "AsgiRequest"]


class AsgiRequest(ASGIRequest):
    """Django's request made of an HTTP scope and its body: bytes, or a file of them."""

    def __init__(self, scope: Any, body: bytes | IO[bytes]) -> None:
        super().__init__(scope, io.BytesIO(body) if isinstance(body, bytes) else body)


class AsgiHandler(ASGIHandler):
    """Answers HTTP scopes with Django's URLconf, middleware and views.

    An instance is an ASGI application; in a router, and for the server, the class will
    do. Subclasses may set `request_class`, and extend `load_middleware()`.
    """

    request_class = AsgiRequest

    def __init__(self) -> None:
        # Past Django's own, which calls load_middleware with an argument that the
        # overridden ones of older projects do not take.
        super(ASGIHandler, self).__init__()
        self.load_middleware()

    def load_middleware(self, is_async: bool = True) -> None:
        """Build the chain of middleware; here it is asynchronous, whatever is asked for."""
        super().load_middleware(is_async=True)

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
