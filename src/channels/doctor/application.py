"""Checks of the application: whether it can be served, and who may open its WebSockets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.urls.resolvers import URLResolver

from ..auth import AuthMiddleware
from ..routes import applications_behind, included_routes
from ..security.websocket import OriginValidator
from ..sessions import CookieMiddleware, SessionMiddleware
from .findings import Finding, Findings, Level
from .project import Project
from .sources import place_of

APPLICATION = "application"
SETTING = "ASGI_APPLICATION"
ORIGINS = "WebSocket origins"


class Way(NamedTuple):
    """The applications from the outermost one to what handles a WebSocket's route."""

    route: str
    applications: tuple[Any, ...]

    def has(self, *kinds: type) -> bool:
        return any(isinstance(application, kinds) for application in self.applications)


def check_application(project: Project) -> Findings:
    """The application can be imported, by a server too; cookies are kept from other sites."""
    if project.too_early:
        yield Finding(
            Level.ERROR,
            APPLICATION,
            f"A server cannot import it, since Django's apps are not loaded yet: "
            f"{project.too_early}",
            "Import what needs models below this line:",
            "application = get_asgi_application()",
        )
    if project.error and project.error != project.too_early:
        place = place_of(project.settings_module, SETTING) if project.from_settings else None
        advice = "Correct the setting, or what it names." if place else "Correct it."
        yield Finding(Level.ERROR, APPLICATION, project.error, advice, place=place)
    if project.application is not None:
        yield Finding(Level.OK, APPLICATION, project.path)
        yield from _origins(project)
    if not getattr(project.settings, SETTING, None):
        yield Finding(
            Level.WARNING,
            SETTING,
            "It is not set, so runserver cannot tell what to serve.",
            "Name your application in the settings, as in:",
            'ASGI_APPLICATION = "mysite.asgi.application"',
        )


def _origins(project: Project) -> Findings:
    """A page of another site must not speak with a visitor's cookies."""
    readers = [way for way in ways_to_sockets(project.application) if _reads_cookies(way)]
    open_ways = [way for way in readers if not way.has(OriginValidator) and not _is_opaque(way)]
    if open_ways:
        routes = ", ".join(repr(way.route) for way in open_ways[:5])
        yield Finding(
            Level.WARNING,
            ORIGINS,
            f"{routes}: with a visitor's cookies, and open to the pages of every site.",
            "Wrap them, with channels.security.websocket:",
            '"websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter([...])))',
        )
    elif not project.settings.DEBUG and any(map(_lets_all_in, readers)):
        yield Finding(
            Level.WARNING,
            ORIGINS,
            "The validator allows '*': WebSockets with a visitor's cookies are open to the pages "
            "of every site.",
            "Name the hosts of this site, as in:",
            'ALLOWED_HOSTS = ["example.com"]',
            place_of(project.settings_module, "ALLOWED_HOSTS"),
        )
    elif readers:
        yield Finding(Level.OK, ORIGINS, "Checked, where cookies are read.")


def _reads_cookies(way: Way) -> bool:
    return way.has(CookieMiddleware, SessionMiddleware, AuthMiddleware)


def _is_opaque(way: Way) -> bool:
    """Whether somebody else's middleware is on the way, which may look at origins too."""
    return any(
        type(application).__module__.partition(".")[0] != "channels"
        for application in way.applications[:-1]
    )


def _lets_all_in(way: Way) -> bool:
    validators = [found for found in way.applications if isinstance(found, OriginValidator)]
    return bool(validators) and all("*" in found.allowed_origins for found in validators)


def consumers_of(project: Project) -> list[Any]:
    """The consumer classes that WebSockets can get to, each once."""
    found: dict[Any, None] = {}
    for way in ways_to_sockets(project.application) if project.application else ():
        last = way.applications[-1]
        consumer = last if isinstance(last, type) else getattr(last, "consumer_class", None)
        if isinstance(consumer, type):
            found[consumer] = None
    return list(found)


# -- the ways through routers and middleware ---------------------------------------


def ways_to_sockets(application: Any) -> Iterator[Way]:
    """Each way that a WebSocket can take, as far as can be seen from outside."""
    return _ways(application, "", ())


def _ways(application: Any, route: str, above: tuple[Any, ...]) -> Iterator[Way]:
    for found in applications_behind(application):
        above = (*above, found)
        mapping = getattr(found, "application_mapping", None)
        if isinstance(mapping, Mapping):
            if "websocket" in mapping:
                yield from _ways(mapping["websocket"], route, above)
            return
        if getattr(found, "_path_routing", False) is True and hasattr(found, "routes"):
            yield from _ways_of(found.routes, route, above)
            return
    yield Way(route, above)


def _ways_of(routes: Sequence[Any], prefix: str, above: tuple[Any, ...]) -> Iterator[Way]:
    for route in routes:
        path = f"{prefix}{getattr(route, 'pattern', '')}"
        if isinstance(route, URLResolver):
            yield from _ways_of(included_routes(route), path, above)
        else:
            yield from _ways(route.callback, path, above)
