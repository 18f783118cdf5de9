"""What the doctor looks at: a project's settings, its application, what is installed.

The only part that imports the project's code, and the only one that waits: for its
channel layers.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import django
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.exceptions import AppRegistryNotReady
from django.core.management import get_commands

from ..checks import check_order_of_apps
from ..command.application import load_application
from ..command.parser import CommandError
from ..exceptions import LayerUnavailable
from ..layers import channel_layers
from ..management.layers import visited_layer
from ..management.survey import ping

# What a layer gets to carry a message to this process and back, and to close.
LAYER_SECONDS: Final = 10.0
PACKAGE: Final = Path(__file__).resolve().parent.parent


class Copy(NamedTuple):
    """A distribution that ships the package `channels`."""

    distribution: str
    version: str
    file: str


class Layer(NamedTuple):
    """A channel layer as configured, and whether it carries messages."""

    alias: str
    backend: str
    config: Mapping[str, Any]
    # What it raised.
    error: str = ""
    # The local layer has nobody to talk to while no server runs.
    asleep: bool = False


@dataclass(frozen=True)
class Project:
    """All that the checks look at."""

    settings_module: str
    settings: Any
    # module.path:name, of the application or what should be it.
    path: str = ""
    # That is what ASGI_APPLICATION says.
    from_settings: bool = True
    application: Any = None
    # Why there is no application.
    error: str = ""
    # What it raised when it was imported as a server does it, before the apps are loaded.
    too_early: str = ""
    # Why Django's apps cannot be loaded.
    apps_error: str = ""
    # Names of the apps, in order.
    apps: tuple[str, ...] = ()
    # The app that `runserver` is of.
    runserver: str = ""
    # What the system checks say of them.
    order_of_apps: tuple[CheckMessage, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    # The file of the package that is running.
    package: str = ""
    copies: tuple[Copy, ...] = ()
    # A folder of the project that manage.py takes for the package.
    shadow: str = ""
    layers: tuple[Layer, ...] = ()
    # Seconds after which redis-py gives up reading, unless told otherwise.
    redis_timeout: float | None = None


def look_at(settings_module: str, application_path: str | None = None) -> Project:
    """Look at the project of a settings module that has been imported already."""
    path = application_path or ":".join(
        str(getattr(settings, "ASGI_APPLICATION", None) or "").rsplit(".", 1)
    )
    too_early = _too_early(path)
    apps_error = _load_apps()
    application, failed = _load(path)
    return Project(
        settings_module=settings_module,
        settings=settings,
        path=path,
        from_settings=application_path is None,
        application=application,
        error=str(failed or ""),
        too_early=too_early,
        apps_error=apps_error,
        apps=() if apps_error else tuple(config.name for config in apps.get_app_configs()),
        runserver="" if apps_error else _runserver(),
        order_of_apps=() if apps_error else _order(),
        versions=_versions(),
        package=str(PACKAGE / "__init__.py"),
        copies=tuple(_copies()),
        shadow=_shadow(),
        layers=() if apps_error else _layers(),
        redis_timeout=_redis_timeout(),
    )


def _too_early(path: str) -> str:
    """What the application raises for want of Django's apps when a server imports it."""
    _, failed = _load(path)
    cause = None if failed is None else failed.__cause__
    return str(failed) if isinstance(cause, AppRegistryNotReady) else ""


def _load(path: str) -> tuple[Any, CommandError | None]:
    if not path:
        return None, None
    try:
        return load_application(path), None
    except CommandError as error:
        return None, error


def _load_apps() -> str:
    try:
        django.setup()
    except Exception as error:
        # Whatever the project's code raises.
        return f"{type(error).__name__}: {error}"
    return ""


def _runserver() -> str:
    found: Any = get_commands()["runserver"]
    return found if isinstance(found, str) else type(found).__module__


def _order() -> tuple[CheckMessage, ...]:
    return tuple(check_order_of_apps(None)) if apps.is_installed("channels") else ()


# -- distributions ---------------------------------------------------------------


def _versions() -> dict[str, str]:
    found = {
        distribution.name.lower().replace("_", "-"): distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.metadata["Name"]
    }
    return {**found, "python": ".".join(map(str, sys.version_info[:3]))}


def _copies() -> Iterator[Copy]:
    seen = set()
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            if file.parts == ("channels", "__init__.py"):
                path = str(Path(str(distribution.locate_file(file))).resolve())
                copy = Copy(distribution.name, distribution.version, path)
                if copy not in seen and os.path.exists(path):
                    seen.add(copy)
                    yield copy


def _shadow() -> str:
    for name in ("channels/__init__.py", "channels.py"):
        path = Path.cwd() / name
        if path.exists() and path.resolve().parent != PACKAGE:
            return str(path.parent if path.name == "__init__.py" else path)
    return ""


def _redis_timeout() -> float | None:
    try:
        from redis.asyncio import Connection  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    timeout: float | None = Connection().socket_timeout
    return timeout


# -- layers ----------------------------------------------------------------------


def _layers() -> tuple[Layer, ...]:
    configured = channel_layers.configs
    return tuple(asyncio.run(_visit(alias, configured[alias])) for alias in configured)


async def _visit(alias: str, configured: Any) -> Layer:
    config = configured if isinstance(configured, Mapping) else {}
    layer = Layer(alias, str(config.get("BACKEND", "")), config.get("CONFIG") or {})
    try:
        async with asyncio.timeout(LAYER_SECONDS), visited_layer(alias) as visited:
            await ping(visited)
    except LayerUnavailable as error:
        if str(error).startswith("No process hosts"):
            return layer._replace(asleep=True)
        return layer._replace(error=_in_one_line(error))
    except TimeoutError:
        return layer._replace(error="it carried no message to this process and back in time")
    except Exception as error:
        # Of another package, whose own errors are whatever its engine's client raises.
        return layer._replace(error=_in_one_line(error))
    return layer


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
