"""System checks: what a project most often gets wrong, said before it is run.

channels.E001  ASGI_APPLICATION names something that cannot be imported
channels.W001  ASGI_APPLICATION is not set
channels.W002  django.contrib.staticfiles comes before channels
channels.W003  daphne comes before channels
channels.W004  CHANNELS_CLOSE_ON_LOGOUT is neither True nor False
channels.W005  CHANNELS_REVALIDATE_SECONDS is no number of seconds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.checks import register as register_check
from django.core.exceptions import ImproperlyConfigured

AppConfigs = Sequence[AppConfig] | None


def register() -> None:
    """Have Django run these checks."""
    register_check(check_application, "channels")
    register_check(check_order_of_apps, "channels")
    register_check(check_ends_of_sessions, "channels")


def _left_out(app_configs: AppConfigs) -> bool:
    return app_configs is not None and all(config.name != "channels" for config in app_configs)


def check_application(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """ASGI_APPLICATION is set, and can be imported."""
    if _left_out(app_configs):
        return []
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        return [
            Warning(
                "The setting ASGI_APPLICATION is not set, so runserver cannot tell what to serve.",
                hint='Name your application in it: ASGI_APPLICATION = "mysite.asgi.application".',
                id="channels.W001",
            )
        ]
    from .routing import get_default_application

    try:
        get_default_application()
    except ImproperlyConfigured as error:
        return [
            Error(
                str(error),
                hint=f"Correct the setting ASGI_APPLICATION (it is {path!r}) or what it names: "
                'the dotted path of a module and a name in it, as in "mysite.asgi.application".',
                id="channels.E001",
            )
        ]
    return []


def check_order_of_apps(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """No app that has a runserver of its own comes before channels."""
    if _left_out(app_configs):
        return []
    names = [config.name for config in apps.get_app_configs()]
    before = names[: names.index("channels")]
    found: list[CheckMessage] = []
    if "django.contrib.staticfiles" in before:
        found.append(
            Warning(
                "django.contrib.staticfiles comes before channels in INSTALLED_APPS, so "
                "runserver is Django's own, which serves no WebSockets.",
                hint='Put "channels" before "django.contrib.staticfiles" in INSTALLED_APPS.',
                id="channels.W002",
            )
        )
    if "daphne" in before:
        found.append(
            Warning(
                "daphne comes before channels in INSTALLED_APPS, so runserver is daphne's.",
                hint='Remove "daphne" from INSTALLED_APPS, or put "channels" before it.',
                id="channels.W003",
            )
        )
    return found


def check_ends_of_sessions(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """The settings that say when a session's WebSockets close have values of their kind."""
    if _left_out(app_configs):
        return []
    from .security.revalidation import revalidate_seconds

    found: list[CheckMessage] = []
    closes = getattr(settings, "CHANNELS_CLOSE_ON_LOGOUT", True)
    if not isinstance(closes, bool):
        found.append(
            Warning(
                f"CHANNELS_CLOSE_ON_LOGOUT is {closes!r:.60}, which counts as {bool(closes)}.",
                hint="Set it to True or False, without quotes.",
                id="channels.W004",
            )
        )
    try:
        revalidate_seconds()
    except ImproperlyConfigured as error:
        found.append(
            Warning(
                str(error),
                hint="Until then every WebSocket behind AuthMiddleware fails. Set a number such "
                "as 300, without quotes.",
                id="channels.W005",
            )
        )
    return found
