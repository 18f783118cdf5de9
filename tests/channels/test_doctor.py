"""`channels doctor`: what it says of projects, and what it does not say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from calls import Recorder
from django.core.checks import Warning
from django.urls import include, path
from django_process import write

from channels.auth import AuthMiddlewareStack
from channels.doctor import examine
from channels.doctor.findings import Finding, Level, Place
from channels.doctor.project import Copy, Layer, Project
from channels.doctor.sources import place_of
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator

VERSIONS = {"python": "3.12.1", "django": "5.2.1", "asgiref": "3.13.0", "uvloop": "0.21.0"}
LAYER = Layer("default", "channels.layers.local.LocalChannelLayer", {})
REDIS = "channels_redis.core.RedisChannelLayer"
SETTINGS_FILE = """
INSTALLED_APPS = [
    "daphne",
    "channels",
    "django.contrib.staticfiles",
]
ASGI_APPLICATION = "mysite.asgi.application"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": ["redis://:topsecret@localhost:6379"]},
    }
}
"""


class Chat(AsyncWebsocketConsumer):
    groups = ["chat"]


def project(**changes: Any) -> Project:
    """A project in which all is well, but for these changes."""
    settings = {"DEBUG": True, "ALLOWED_HOSTS": [], "ASGI_APPLICATION": "mysite.asgi.application"}
    whole: dict[str, Any] = {
        "settings_module": "settings_of_the_doctor",
        "settings": SimpleNamespace(**settings | changes.pop("settings", {})),
        "application": ProtocolTypeRouter({"websocket": URLRouter([path("chat/", Chat)])}),
        "path": "mysite.asgi:application",
        "apps": ("channels", "django.contrib.staticfiles"),
        "runserver": "channels",
        "versions": VERSIONS,
        "package": "/site/channels/__init__.py",
        "copies": (Copy("channels", "4.9.0", "/site/channels/__init__.py"),),
        "layers": (LAYER,),
    }
    return Project(**whole | changes)


def alarms(**changes: Any) -> list[Finding]:
    return [found for found in examine(project(**changes)) if found.level is not Level.OK]


def alarm(**changes: Any) -> Finding:
    (found,) = alarms(**changes)
    return found


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings above, as a module that has been imported."""
    (tmp_path / "settings_of_the_doctor.py").write_text(SETTINGS_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    __import__("settings_of_the_doctor")
    yield
    del sys.modules["settings_of_the_doctor"]


# -- what is said ----------------------------------------------------------------


def test_of_a_project_in_order_nothing_is_said() -> None:
    assert alarms() == []


def test_versions_that_are_too_old_are_errors() -> None:
    found = alarm(versions={**VERSIONS, "django": "4.2.1"})
    assert (found.level, found.subject) == (Level.ERROR, "Django")
    assert found.code == 'python -m pip install --upgrade "django>=5.2"'
    assert alarm(versions={**VERSIONS, "asgiref": "3.9"}).subject == "asgiref"
    assert alarm(versions={**VERSIONS, "python": "3.10.4"}).subject == "Python"
    assert alarms(versions={**VERSIONS, "django": "6.0a1"}) == []


@pytest.mark.skipif(os.name != "posix", reason="uvloop is not for this system")
def test_a_missing_uvloop_is_a_hint() -> None:
    versions = {name: version for name, version in VERSIONS.items() if name != "uvloop"}
    found = alarm(versions=versions)
    assert (found.level, found.code) == (Level.HINT, "python -m pip install uvloop")


@pytest.mark.parametrize(
    "copies",
    [
        (
            Copy("channels", "4.9.0", "/site/channels/__init__.py"),
            Copy("channels", "4.3.2", "/site/channels/__init__.py"),
        ),
        (Copy("other", "1.0", "/user/channels/__init__.py"),),
    ],
    ids=["twice in one place", "in another place"],
)
def test_two_packages_of_the_same_name_are_an_error(copies: Any) -> None:
    found = alarm(copies=copies)
    assert found.level is Level.ERROR
    assert found.code.startswith("python -m pip uninstall")


def test_a_folder_of_the_same_name_is_an_error() -> None:
    assert "manage.py imports /home/me/channels" in alarm(shadow="/home/me/channels").text


@pytest.mark.usefixtures("settings_file")
def test_daphne_in_the_apps_is_told_with_the_line_to_take_out() -> None:
    apps = ("daphne", "channels", "django.contrib.staticfiles")
    found = alarm(apps=apps, runserver="daphne")
    assert found.level is Level.WARNING
    assert found.advice == "Take out this line:"
    assert found.code == '"daphne",'
    assert found.place == Place("settings_of_the_doctor.py", 3, '"daphne",')
    behind = alarm(apps=("channels", "daphne"))
    assert (behind.level, behind.code) == (Level.HINT, '"daphne",')
    alone = alarm(apps=("daphne",), runserver="daphne")
    assert (alone.level, alone.code) == (Level.WARNING, '"channels",')


def test_daphne_in_apps_that_cannot_be_read_is_told_without_a_line() -> None:
    found = alarm(apps=("daphne", "channels"), runserver="daphne")
    assert (found.advice, found.place) == ('Take "daphne" out of INSTALLED_APPS.', None)


def test_daphne_that_is_only_installed_is_no_alarm() -> None:
    assert alarms(versions={**VERSIONS, "daphne": "4.2.3"}) == []
    told = examine(project(versions={**VERSIONS, "daphne": "4.2.3"}))
    assert any("nothing in the settings needs it" in found.text for found in told)


def test_what_the_system_checks_say_of_the_order_is_said_here_too() -> None:
    message = Warning("staticfiles comes before channels", hint="Put it", id="channels.W002")
    found = alarm(order_of_apps=(message,))
    assert (found.level, found.text) == (Level.WARNING, message.msg)


def test_without_channels_among_the_apps_there_is_a_hint() -> None:
    found = alarm(apps=("django.contrib.staticfiles",), runserver="django.contrib.staticfiles")
    assert (found.level, found.code) == (Level.HINT, '"channels",')


def test_apps_that_cannot_be_loaded_are_an_error_and_nothing_is_guessed_behind_it() -> None:
    found = alarm(apps_error="ModuleNotFoundError: No module named 'nowhere'", apps=(), layers=())
    assert found.level is Level.ERROR
    assert "No module named 'nowhere'" in found.text


def test_no_allowed_hosts_without_debug_are_an_error() -> None:
    found = alarm(settings={"DEBUG": False})
    assert (found.level, found.subject) == (Level.ERROR, "ALLOWED_HOSTS")
    assert alarms(settings={"DEBUG": False, "ALLOWED_HOSTS": ["example.com"]}) == []


def test_an_application_that_is_not_set_or_cannot_be_imported_is_told() -> None:
    missing = alarm(settings={"ASGI_APPLICATION": None}, application=None, path="")
    assert (missing.level, missing.subject) == (Level.WARNING, "ASGI_APPLICATION")
    broken = alarm(application=None, error="Cannot import 'mysite.asgi': boom.")
    assert (broken.level, broken.text) == (Level.ERROR, "Cannot import 'mysite.asgi': boom.")


def test_an_application_that_needs_the_apps_before_they_are_there_is_an_error() -> None:
    found = alarm(too_early="Cannot import 'mysite.asgi': Apps aren't loaded yet.")
    assert found.level is Level.ERROR
    assert found.code == "application = get_asgi_application()"


# -- origins ---------------------------------------------------------------------


class Foreign:
    """Middleware of which nothing is known."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.inner(scope, receive, send)


def sockets(application: Any) -> dict[str, Any]:
    return {"application": ProtocolTypeRouter({"websocket": application})}


ROUTES = URLRouter([path("api/", include([path("chat/<slug:room>/", Chat)]))])


def test_cookies_without_a_look_at_the_origin_are_a_warning_that_names_the_routes() -> None:
    found = alarm(**sockets(AuthMiddlewareStack(ROUTES)))
    assert found.level is Level.WARNING
    assert "'api/chat/<slug:room>/'" in found.text
    assert "AllowedHostsOriginValidator" in found.code
    mixed = [path("a/", AuthMiddlewareStack(Chat)), path("b/", Chat)]
    assert "'a/':" in alarm(**sockets(URLRouter(mixed))).text


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(ROUTES, id="no cookies"),
        pytest.param(OriginValidator(AuthMiddlewareStack(ROUTES), ["a.org"]), id="outside"),
        pytest.param(AuthMiddlewareStack(OriginValidator(ROUTES, ["a.org"])), id="inside"),
        pytest.param(Foreign(AuthMiddlewareStack(ROUTES)), id="perhaps by somebody else"),
        pytest.param(Recorder(), id="cannot be seen"),
    ],
)
def test_where_origins_are_looked_at_or_it_cannot_be_known_there_is_no_alarm(
    application: Any,
) -> None:
    assert alarms(**sockets(application)) == []


def test_a_validator_that_lets_everybody_in_is_a_warning_outside_of_debug() -> None:
    everybody = sockets(OriginValidator(AuthMiddlewareStack(ROUTES), ["*"]))
    found = alarm(**everybody, settings={"DEBUG": False, "ALLOWED_HOSTS": ["*"]})
    assert "allows '*'" in found.text
    assert alarms(**everybody) == []


# -- layers ----------------------------------------------------------------------


def test_a_missing_layer_is_a_hint_and_an_error_where_consumers_join_groups() -> None:
    line = 'CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.local.LocalChannelLayer"}}'
    needed = alarm(layers=())
    assert (needed.level, needed.code) == (Level.ERROR, line)
    assert "Chat joins groups" in needed.text
    without = alarm(layers=(), **sockets(URLRouter([path("", Recorder())])))
    assert (without.level, without.code) == (Level.HINT, line)


def test_the_layer_in_memory_is_a_hint_with_the_line_to_write() -> None:
    layer = LAYER._replace(backend="channels.layers.InMemoryChannelLayer")
    found = alarm(layers=(layer,))
    assert found.level is Level.HINT
    assert found.code == '"BACKEND": "channels.layers.local.LocalChannelLayer",'


def test_a_local_layer_that_nobody_hosts_at_the_moment_is_no_alarm() -> None:
    assert alarms(layers=(LAYER._replace(asleep=True),)) == []


def test_a_layer_that_does_not_work_is_an_error() -> None:
    found = alarm(layers=(LAYER._replace(error="ConnectionError: refused"),))
    assert found.level is Level.ERROR
    assert "LocalChannelLayer does not work: ConnectionError: refused" in found.text


def test_routing_in_the_layers_is_told_as_of_channels_1() -> None:
    error = "InvalidChannelLayerError: ROUTING key found for default - this is no longer needed"
    found = alarm(layers=(LAYER._replace(error=error),))
    assert (found.level, found.advice) == (Level.ERROR, "Take out this line:")


@pytest.mark.usefixtures("settings_file")
def test_redis_that_gives_up_too_early_is_a_warning_with_the_configuration_to_write() -> None:
    hosts = ["redis://:topsecret@localhost:6379", ("b", 6379), {"host": "c", "password": "other"}]
    layer = Layer("default", REDIS, {"hosts": hosts})
    found = alarm(layers=(layer,), redis_timeout=5, versions={**VERSIONS, "redis": "8.1.0"})
    assert found.level is Level.WARNING
    assert found.code == (
        '"hosts": [{"address": "redis://:********@localhost:6379", "socket_timeout": None}, '
        '{"host": "b", "port": 6379, "socket_timeout": None}, '
        '{"host": "c", "password": "********", "socket_timeout": None}],'
    )
    assert found.place is not None
    assert found.place.line == 11
    assert "topsecret" not in str(found)


@pytest.mark.parametrize(
    ("hosts", "timeout"),
    [
        ([{"address": "redis://a", "socket_timeout": None}], 5),
        (["redis://a?socket_timeout=30"], 5),
        (["redis://a"], None),
        (["redis://a"], 30),
    ],
)
def test_redis_that_waits_long_enough_is_no_alarm(hosts: Any, timeout: float | None) -> None:
    layer = Layer("default", REDIS, {"hosts": hosts})
    assert alarms(layers=(layer,), redis_timeout=timeout) == []


def test_options_that_the_pubsub_layer_ignores_are_a_warning() -> None:
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    layer = Layer("default", backend, {"hosts": ["redis://a"], "capacity": 1, "expiry": 2})
    assert "'capacity', 'expiry'" in alarm(layers=(layer,), redis_timeout=5).text
    assert alarms(layers=(layer._replace(config={"prefix": "x"}),), redis_timeout=5) == []


# -- places ----------------------------------------------------------------------


def test_a_place_is_found_through_modules_that_settings_are_taken_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "doctored/__init__.py": "",
        "doctored/base.py": 'APPS = ["daphne"]\nif True:\n    INSTALLED_APPS = ["a", *APPS]\n',
        "doctored/local.py": "from .base import *\nINSTALLED_APPS.insert(\n    0,\n    'b.B',\n)\n",
    }
    write(tmp_path, files)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    __import__("doctored.local")

    def place(setting: str, element: str | None = None) -> Any:
        return place_of("doctored.local", setting, element)

    assert place("INSTALLED_APPS") == ("doctored/local.py", 2, "INSTALLED_APPS.insert(")
    assert place("INSTALLED_APPS", "b") == ("doctored/local.py", 4, "'b.B',")
    assert place("INSTALLED_APPS", "a")[:2] == ("doctored/base.py", 3)
    assert place("INSTALLED_APPS", "daphne") is None
    assert place_of("not.imported", "INSTALLED_APPS") is None


class Old(Chat):
    async def websocket_message(self, event: Any) -> None:
        raise AssertionError("no layer message may come here")

    async def websocket_receive(self, message: Any) -> None:
        await super().websocket_receive(message)


def test_a_handler_that_no_layer_message_reaches_is_named() -> None:
    application = ProtocolTypeRouter({"websocket": URLRouter([path("a/", Old), path("b/", Chat)])})
    found = [one for one in examine(project(application=application)) if one.subject == "handlers"]
    assert [one.level for one in found] == [Level.HINT]
    assert found[0].text.startswith("Old.websocket_message is reached by no layer message")
    assert "a type of its own" in found[0].advice
