"""The base of middleware: an application around an application."""

from __future__ import annotations

from typing import Any

from .consumer import as_application
from .threads import lane
from .types import ASGIApplication, Receive, Scope, Send


class BaseMiddleware:
    """Passes a copy of the scope on to `inner`.

    One instance serves every connection, so what belongs to one connection goes
    into its scope. Subclasses extend `__call__` and end with
    `return await super().__call__(scope, receive, send)`.
    """

    def __init__(self, inner: Any) -> None:
        self.inner: ASGIApplication = as_application(inner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        async with lane(label=scope.get("path", "")):
            return await self.inner(dict(scope), receive, send)
