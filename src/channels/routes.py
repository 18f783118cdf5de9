"""The routes of a URLRouter: which of them fit a path, and what they capture.

Routes are Django's own patterns. An include is walked as Django walks it: what its
prefix captures goes to the routes below, and their extra arguments win. A route
whose application routes further, directly or behind middleware, may leave a part of
the path; it is matched with a copy of its pattern, so that the caller's stays as it
is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.urls.resolvers import RegexPattern, RoutePattern, URLResolver

from .consumer import as_application
from .types import ASGIApplication

# Where middleware keeps the application it wraps: ours, Channels' validators',
# and that of other ASGI libraries.
INNER_ATTRIBUTES: Final = ("inner", "application", "app")
# No real stack of middleware is deeper; objects that invent attributes may be.
MAX_MIDDLEWARE_DEPTH: Final = 32
# More than any project has at once; routes that are made anew all the time do not pile up.
REMEMBERED_ROUTES: Final = 10_000
# What an included module calls its routes, the more telling name first: beside
# `websocket_urlpatterns`, Django's views stand in `urlpatterns`.
LIST_NAMES: Final = ("websocket_urlpatterns", "urlpatterns")


class Match(NamedTuple):
    """A route that fits; `remaining` is what it left of the path."""

    application: ASGIApplication
    remaining: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Matcher:
    """Matches paths with routes as they are now: a list may change after it was given."""

    def __init__(self) -> None:
        self._routes: dict[int, _Route] = {}

    def matches(self, routes: Sequence[Any], path: str) -> Iterator[Match]:
        """The routes that fit, in order; each is looked at when it is asked for."""
        for route in routes:
            if isinstance(route, URLResolver):
                yield from self._included(route, path)
                continue
            known = self._route(route)
            match = known.pattern.match(path)
            if match is not None:
                remaining, args, captured = match
                kwargs = {**captured, **(getattr(route, "default_args", None) or {})}
                yield Match(known.application, remaining, args, kwargs)

    def _included(self, include: URLResolver, path: str) -> Iterator[Match]:
        match = include.pattern.match(path)
        if match is None:
            return
        remaining, outer_args, captured = match
        outer = {**captured, **include.default_kwargs}
        for inner in self.matches(included_routes(include), remaining):
            kwargs = {**outer, **inner.kwargs}
            # Django's rule: where anything has a name, what has none above it is left out.
            args = inner.args if kwargs else (*outer_args, *inner.args)
            yield inner._replace(args=args, kwargs=kwargs)

    def check(self, routes: Sequence[Any]) -> None:
        """ImproperlyConfigured for what is no route, here or in what is included."""
        for route in routes:
            if isinstance(route, URLResolver):
                self.check(included_routes(route))
            else:
                self._route(route)

    def _route(self, route: Any) -> _Route:
        known = self._routes.get(id(route))
        # A pattern or application may have been put into the route since.
        if known is None or not known.is_of(route):
            if len(self._routes) >= REMEMBERED_ROUTES:
                self._routes.clear()
            known = self._routes[id(route)] = _Route(route)
        return known


class _Route:
    """One route, with the application and the pattern that it is matched with."""

    __slots__ = ("_callback", "_pattern", "_route", "application", "pattern")

    def __init__(self, route: Any) -> None:
        # Keeps the route, and so its id, alive.
        self._route = route
        self._callback = getattr(route, "callback", None)
        self._pattern = getattr(route, "pattern", None)
        if not callable(self._callback) or not hasattr(self._pattern, "match"):
            raise ImproperlyConfigured(
                "A route of URLRouter is made with path() or re_path(), around an application or "
                f"include(), but this is {route!r:.200}."
            )
        self.application = as_application(self._callback)
        further = routes_further(self.application)
        self.pattern: Any = prefix_of(self._pattern) if further else self._pattern

    def is_of(self, route: Any) -> bool:
        return (
            self._route is route
            and self._callback is route.callback
            and self._pattern is route.pattern
        )


def included_routes(include: URLResolver) -> Sequence[Any]:
    """Return the routes of an include: those of its module, or the list that it was given."""
    found = include.urlconf_module
    for name in LIST_NAMES:
        if hasattr(found, name):
            routes: Sequence[Any] = getattr(found, name)
            return routes
    if not isinstance(found, (list, tuple)):
        raise ImproperlyConfigured(
            f"include() takes a list of routes or a module that has websocket_urlpatterns or "
            f"urlpatterns, but {found!r:.200} has neither. If they stand in the file, two modules "
            "import each other."
        )
    return found


def prefix_of(pattern: Any) -> RegexPattern | RoutePattern:
    """Return a copy of a pattern that may leave something of the path."""
    if isinstance(pattern, RegexPattern):
        return type(pattern)(pattern._regex, pattern.name, is_endpoint=False)  # type: ignore[attr-defined]
    if isinstance(pattern, RoutePattern):
        return type(pattern)(pattern._route, pattern.name, is_endpoint=False)  # type: ignore[attr-defined]
    raise ValueError(f"Unsupported pattern type: {type(pattern)}")


def applications_behind(application: Any) -> Iterator[Any]:
    """An application, then the one that it wraps, and so on as far as can be seen."""
    for _ in range(MAX_MIDDLEWARE_DEPTH):
        yield application
        for name in INNER_ATTRIBUTES:
            inner = getattr(application, name, None)
            if callable(inner):
                application = inner
                break
        else:
            return


def routes_further(application: Any) -> bool:
    """Whether a URLRouter stands somewhere behind this application."""
    return any(
        getattr(found, "_path_routing", False) is True for found in applications_behind(application)
    )


def url_route(outer: Mapping[str, Any], match: Match) -> dict[str, Any]:
    """Return what the scope says of a match, beside what routers around it captured."""
    return {
        "args": (*outer.get("args", ()), *match.args),
        "kwargs": {**outer.get("kwargs", {}), **match.kwargs},
    }
