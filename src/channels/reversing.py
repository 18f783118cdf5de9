"""From the name of a WebSocket route to its path: Django's `reverse()` for routers.

What stands behind an application (mappings by protocol, middleware, nested routers,
includes) is put together as one URLconf, and Django's own `reverse()` does the rest:
arguments and converters, namespaces, the script prefix.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from django.urls import NoReverseMatch
from django.urls import reverse as django_reverse
from django.urls.resolvers import URLPattern, URLResolver

from .routes import applications_behind, included_routes, prefix_of

# An error names no more routes than somebody reads.
NAMES_TOLD: Final = 20


class URLConf:
    """The routes behind an application, as Django reads a URLconf.

    Equal for the same application, so that Django's cache of resolvers knows it again
    and `clear_url_caches()` forgets it.
    """

    def __init__(self, application: Any, protocol: str) -> None:
        self._application = application
        self._protocol = protocol

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, URLConf)
            and self._application is other._application
            and self._protocol == other._protocol
        )

    def __hash__(self) -> int:
        return hash((id(self._application), self._protocol))

    @cached_property
    def urlpatterns(self) -> list[Any]:
        return [
            pattern
            for router in _routers(self._application, self._protocol)
            for pattern in _patterns(router.routes)
        ]


def path_of(
    name: Any,
    urlconf: URLConf,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    current_app: str | None,
    query: Any,
) -> str:
    """Return the path of a route; NoReverseMatch, with the names there are, if there is none."""
    more = {} if query is None else {"query": query}
    try:
        path: str = django_reverse(name, urlconf, args, kwargs, current_app, **more)  # type: ignore[arg-type]
    except NoReverseMatch as error:
        raise NoReverseMatch(f"{error} {_what_there_is(name, urlconf)}") from None
    return path


# -- the routes, as Django's patterns --------------------------------------------


def _routers(application: Any, protocol: str) -> Iterator[Any]:
    """The URLRouters that get a path first; those nested in them are in their routes."""
    for found in applications_behind(application):
        mapping = getattr(found, "application_mapping", None)
        if isinstance(mapping, Mapping):
            if protocol in mapping:
                yield from _routers(mapping[protocol], protocol)
            return
        if getattr(found, "_path_routing", False) is True and hasattr(found, "routes"):
            yield found
            return


def _patterns(routes: Sequence[Any]) -> list[URLPattern | URLResolver]:
    return [_pattern(route) for route in routes if hasattr(route, "pattern")]


def _pattern(route: Any) -> URLPattern | URLResolver:
    if isinstance(route, URLResolver):
        return URLResolver(
            _copy(route.pattern),
            _patterns(included_routes(route)),
            route.default_kwargs,
            route.app_name,
            route.namespace,
        )
    defaults = getattr(route, "default_args", None)
    for nested in _routers(route.callback, protocol=""):
        return URLResolver(prefix_of(route.pattern), _patterns(nested.routes), defaults)
    name = getattr(route, "name", None)
    return URLPattern(route.pattern, _target(route.callback), defaults, name)


def _copy(pattern: Any) -> Any:
    # Django writes the converters of what is around a namespace into its pattern.
    copied = copy.copy(pattern)
    copied.converters = dict(pattern.converters)
    return copied


def _target(application: Any) -> Any:
    """What a route may be asked by beside its name: the class of its consumer."""
    for found in applications_behind(application):
        consumer = getattr(found, "consumer_class", None)
        if consumer is not None:
            return consumer
    return application if isinstance(application, Hashable) else type(application)


# -- what an error tells ---------------------------------------------------------


def _what_there_is(name: Any, urlconf: URLConf) -> str:
    if not urlconf.urlpatterns:
        return (
            "There is no URLRouter to be seen behind the application: middleware keeps what it "
            f"wraps as inner, application or app. Pass the router itself: "
            f"reverse({name!r}, application=router)."
        )
    names = dict(_names(urlconf.urlpatterns))
    if name in names:
        return f"Its route is {names[name]!r}."
    if not names:
        return "None of the routes has a name: path(..., name=...) gives it one."
    near = difflib.get_close_matches(str(name), names, n=1)
    question = f"Did you mean {near[0]!r}? " if near else ""
    told = ", ".join(map(repr, list(names)[:NAMES_TOLD]))
    rest = len(names) - NAMES_TOLD
    return f"{question}The routes are named {told}{f' and {rest} more' if rest > 0 else ''}."


def _names(
    patterns: Sequence[Any], namespace: str = "", prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Each name, with its namespaces, and the route it stands for."""
    for pattern in patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _names(pattern.url_patterns, inner, route)
        elif pattern.name:
            yield f"{namespace}{pattern.name}", route
