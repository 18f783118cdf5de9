"""Which application answers a scope: by its type, its URL or its channel name.

Routers are plain ASGI applications, so they nest in each other and in any
middleware. What an inner URLRouter has left to match travels in the scope as
`path_remaining`. One that finds nothing raises `NoRoute`, and the router around
it tries its next route; the outermost one answers 404.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.urls import re_path
from django.urls.exceptions import Resolver404
from django.urls.resolvers import URLResolver  # noqa: F401 - projects take it from here.

from .consumer import as_application
from .http import AsgiHandler, LazyAsgiHandler
from .reversing import URLConf, path_of
from .routes import Matcher, url_route
from .security.denial import deny
from .threads import lane
from .types import ASGIApplication, Receive, Scope, Send

__all__ = [
    "ChannelNameRouter",
    "ProtocolTypeRouter",
    "URLRouter",
    "get_default_application",
    "reverse",
    "url",
]

logger = logging.getLogger("channels.routing")

# django.conf.urls.url, which Django 4 removed, under the name that old code uses.
url = re_path


class NoRoute(Resolver404):
    """A nested router found nothing; the router around it tries its next route."""


def get_default_application() -> ASGIApplication:
    """Return the application that the setting ASGI_APPLICATION names.

    ImproperlyConfigured where it is missing or cannot be imported.
    """
    try:
        path, name = settings.ASGI_APPLICATION.rsplit(".", 1)
    except (ValueError, AttributeError):
        raise ImproperlyConfigured("Cannot find ASGI_APPLICATION setting.") from None
    try:
        module = import_module(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"Cannot import ASGI_APPLICATION module {path!r}: {error}"
        ) from error
    if not hasattr(module, name):
        raise ImproperlyConfigured(f"Cannot find {name!r} in ASGI_APPLICATION module {path}")
    return as_application(getattr(module, name))


def reverse(
    viewname: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    current_app: str | None = None,
    *,
    application: Any = None,
    protocol: str = "websocket",
    query: Any = None,
) -> str:
    """Return the path of a route by its name, or by the class of its consumer.

    Looked for behind `application`, a router for instance; without one behind the
    setting ASGI_APPLICATION, under `protocol`. Namespaces and the script prefix are as
    with Django's `reverse`. NoReverseMatch if nothing fits.
    """
    found = get_default_application() if application is None else application
    return path_of(viewname, URLConf(found, protocol), args, kwargs, current_app, query)


class ProtocolTypeRouter:
    """Sends each scope to the application for its type ("http", "websocket", one of your own).

    Without an "http" entry Django's views answer. Django's own handler under "http"
    is replaced by `channels.http.AsgiHandler`, which runs views in lanes, unless
    `replace_django_handler` is False. Lifespan events are answered where nothing is
    configured for them.
    """

    def __init__(
        self, application_mapping: Mapping[str, Any], *, replace_django_handler: bool = True
    ) -> None:
        self.application_mapping: dict[str, ASGIApplication] = {
            type_: as_application(application) for type_, application in application_mapping.items()
        }
        http: Any = self.application_mapping.setdefault("http", LazyAsgiHandler())
        if replace_django_handler and type(http) is ASGIHandler:
            self.application_mapping["http"] = AsgiHandler.adopt(http)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        type_ = scope["type"]
        application = self.application_mapping.get(type_)
        if application is not None:
            async with lane(label=scope.get("path", type_)):
                return await application(scope, receive, send)
        if type_ == "lifespan":
            return await _answer_lifespan(receive, send)
        raise ValueError(f"No application configured for scope type {type_!r}")


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


class URLRouter:
    """Sends a scope to the application of the first route that matches its path.

    Routes are made with `path` and `re_path`, around applications or `include()`. The
    application finds what they captured in `scope["url_route"]`, as `args` and
    `kwargs`; a route's extra arguments override its captures. Routers nest, directly
    or inside middleware that keeps its application as `inner`, `application` or `app`;
    other middleware around a router says so with an attribute `_path_routing = True`.
    """

    _path_routing = True

    def __init__(self, routes: Sequence[Any]) -> None:
        self.routes = routes
        self._matcher.check(routes)

    @cached_property
    def _matcher(self) -> Matcher:
        # Not made in __init__, which a subclass may leave out.
        return Matcher()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path_remaining", scope.get("path"))
        if path is None:
            raise ValueError("No 'path' key in connection scope, cannot route URLs")
        nested = "path_remaining" in scope
        async with lane(label=path):
            for application, inner_scope in self._candidates(scope, path, nested):
                try:
                    return await application(inner_scope, receive, send)
                except NoRoute:
                    continue
            if nested:
                raise NoRoute(f"No route found for path {path!r}.")
            await _answer_not_found(scope, path, receive, send)

    def _candidates(
        self, scope: Scope, path: str, nested: bool
    ) -> Iterator[tuple[ASGIApplication, Scope]]:
        rest: str | None = path if nested else _below_root(path, scope.get("root_path", ""))
        if rest is None:
            return
        outer = scope.get("url_route", {})
        for match in self._matcher.matches(self.routes, rest.lstrip("/")):
            inner_scope = {
                **scope,
                "path_remaining": match.remaining,
                "url_route": url_route(outer, match),
            }
            yield match.application, inner_scope


def _below_root(path: str, root_path: str) -> str | None:
    """The part of `path` under `root_path`; None if it is elsewhere, as /rootfoo is for /root."""
    root = root_path.rstrip("/")
    if path == root or path.startswith(f"{root}/"):
        return path[len(root) :]
    return None if root else path


async def _answer_not_found(scope: Scope, path: str, receive: Receive, send: Send) -> None:
    type_ = scope["type"]
    if type_ not in ("http", "websocket"):
        raise ValueError(f"No route found for path {path!r}.")
    logger.warning("No route found for path %r (%s); answering 404.", path, type_)
    await deny(scope, receive, send, 404, "Not Found")


class ChannelNameRouter:
    """Sends a worker's scope to the application for its channel's name."""

    def __init__(self, application_mapping: Mapping[str, Any]) -> None:
        self.application_mapping: dict[str, ASGIApplication] = {
            name: as_application(application) for name, application in application_mapping.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "channel" not in scope:
            raise ValueError(
                "ChannelNameRouter got a scope without a 'channel' key. "
                "Did you make sure it's only being used for 'channel' type messages?"
            )
        name = scope["channel"]
        if name not in self.application_mapping:
            raise ValueError(f"No application configured for channel name {name!r}")
        async with lane(label=name):
            return await self.application_mapping[name](scope, receive, send)
