"""System checks: what a project most often gets wrong, said before it is run.

channels.E001  ASGI_APPLICATION names something that cannot be imported
channels.W001  ASGI_APPLICATION is not set
channels.W002  django.contrib.staticfiles comes before channels
channels.W003  daphne comes before channels
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
