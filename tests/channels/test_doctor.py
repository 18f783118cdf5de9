"""`channels doctor`: what it says of projects, and what it does not say."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from calls import Recorder
from django.core.checks import Warning
from django.core.management import call_command
from django.urls import include, path
from django_process import write
from tests.docs.doc_pages import ROOT, blocks

from channels.auth import AuthMiddlewareStack
from channels.doctor import examine, is_error
from channels.doctor.findings import Finding, Level, Place
from channels.doctor.project import Copy, Layer, Project
from channels.doctor.report import Shape, as_values, lines, shape_of
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


# -- the look of it --------------------------------------------------------------

FINDINGS = [
    Finding(Level.OK, "Django", "5.2"),
    Finding(
        Level.WARNING,
        "INSTALLED_APPS",
        "daphne is among them, " + "and " * 12 + "so on.",
        "Take out this line:",
        '"daphne",',
        Place("settings.py", 3, '"daphne",'),
    ),
]


def test_the_report_is_a_table_whose_lines_of_code_are_whole() -> None:
    assert list(lines("mysite.settings", FINDINGS, Shape(width=76)))[1:] == [
        "",
        "ok       Django          5.2",
        "warning  INSTALLED_APPS  daphne is among them, and and and and and and and",
        "                         and and and and and so on.",
        "                         settings.py, line 3: Take out this line:",
        '                             "daphne",',
        "",
        "1 warning.",
    ]


def test_colours_are_for_terminals_that_want_them() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert shape_of(Terminal(), {}).coloured == (os.name != "nt")
    assert not shape_of(Terminal(), {"NO_COLOR": "1"}).coloured
    assert not shape_of(Terminal(), {"TERM": "dumb"}).coloured
    assert not shape_of(io.StringIO(), {}).coloured
    coloured = "\n".join(lines("settings", FINDINGS, Shape(76, coloured=True)))
    plain = "\n".join(lines("settings", FINDINGS, Shape(76)))
    assert "\x1b[33mwarning\x1b[0m  INSTALLED_APPS" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_the_values_for_programs_are_those_of_the_table() -> None:
    told = json.loads(json.dumps(as_values("mysite.settings", FINDINGS)))
    assert told["settings"] == "mysite.settings"
    assert told["findings"][0]["file"] is None
    assert told["findings"][1] == {
        "level": "warning",
        "subject": "INSTALLED_APPS",
        "text": FINDINGS[1].text,
        "advice": "Take out this line:",
        "code": '"daphne",',
        "file": "settings.py",
        "line": 3,
    }


def test_only_errors_are_errors() -> None:
    assert not any(map(is_error, FINDINGS))
    assert is_error(FINDINGS[0]._replace(level=Level.ERROR))


# -- whole projects --------------------------------------------------------------


@pytest.fixture
def mysite(tmp_path: Path) -> Path:
    """The project that the README makes."""
    call_command("startproject", "mysite", str(tmp_path))
    for block in blocks(ROOT / "README.md"):
        kind, _, name = block.mark.partition(": ")
        if kind in ("file", "append"):
            with (tmp_path / name).open("a" if kind == "append" else "w") as file:
                file.write(block.code)
    return tmp_path


def doctor(
    folder: Path, *arguments: str, settings: str | None = "mysite.settings"
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    if settings is not None:
        environment["DJANGO_SETTINGS_MODULE"] = settings
    return subprocess.run(
        [sys.executable, "-P", "-m", "channels", "doctor", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def levels(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The level of each subject, of a report in JSON."""
    return {found["subject"]: found["level"] for found in json.loads(result.stdout)["findings"]}


@pytest.mark.slow
def test_of_the_readmes_project_nothing_is_said(mysite: Path) -> None:
    result = doctor(mysite)
    assert result.stdout.endswith("All is well.\n"), result.stdout
    assert (result.stderr, result.returncode) == ("", 0)
    told = doctor(mysite, "mysite.asgi:application", "--json", settings=None)
    assert set(levels(told).values()) == {"ok"}


@pytest.mark.slow
def test_a_project_of_the_daphne_kind_is_told_what_to_change(mysite: Path) -> None:
    with (mysite / "mysite/settings.py").open("a") as file:
        file.write("DEBUG = False\nINSTALLED_APPS.insert(0, 'daphne')\n")
        file.write(
            'CHANNEL_LAYERS["default"]["BACKEND"] = "channels.layers.InMemoryChannelLayer"\n'
        )
        file.write("print('settings')\n")
    result = doctor(mysite)
    assert result.returncode == 1, result.stdout
    assert "runserver is daphne's and not that of channels" in result.stdout
    assert re.search(
        r"mysite/settings\.py, line \d+: Take \"daphne\" out of this line:\n"
        r" +INSTALLED_APPS\.insert\(0, 'daphne'\)\n",
        result.stdout,
    )
    assert "1 error, 1 warning, 1 hint.\n" in result.stdout
    assert result.stderr.startswith("settings\n")
    told = levels(doctor(mysite, "--json"))
    assert told["ALLOWED_HOSTS"] == "error"
    assert told["INSTALLED_APPS"] == "warning"
    assert told["CHANNEL_LAYERS"] == "hint"


@pytest.mark.slow
def test_a_redis_that_is_not_there_is_an_error_without_its_password(mysite: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        layer = {"BACKEND": REDIS, "CONFIG": {"hosts": [f"redis://:hidden@127.0.0.1:{port}"]}}
        with (mysite / "mysite/settings.py").open("a") as file:
            file.write(f'CHANNEL_LAYERS = {{"default": {layer}}}\n')
        result = doctor(mysite)
    assert result.returncode == 1
    assert "does not work: ConnectionError" in result.stdout
    assert '"socket_timeout": None' in result.stdout
    assert "hidden" not in result.stdout + result.stderr
    assert result.stderr == ""


@pytest.mark.slow
def test_models_that_are_imported_too_early_are_an_error(mysite: Path) -> None:
    code = (mysite / "mysite/asgi.py").read_text()
    early = "from django.contrib.auth.models import User\n"
    (mysite / "mysite/asgi.py").write_text(early + code)
    result = doctor(mysite, "--json")
    assert levels(result)["application"] == "ok"
    (error,) = (f for f in json.loads(result.stdout)["findings"] if f["level"] == "error")
    assert "AppRegistryNotReady" in error["text"]
    assert "asgi.py, line 1)" in error["text"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "settings", "text"),
    [
        ({}, None, "Say which project to look at"),
        ({}, "nowhere", "Cannot import 'nowhere': No module named 'nowhere'."),
        ({"settings.py": "1 / 0\n"}, "settings", "ZeroDivisionError: division by zero"),
        ({"settings.py": "A = (\n"}, "settings", "Cannot import 'settings': SyntaxError"),
    ],
)
def test_settings_that_cannot_be_had_are_one_sentence(
    tmp_path: Path, files: dict[str, str], settings: str | None, text: str
) -> None:
    result = doctor(write(tmp_path, files), settings=settings)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert text in line


@pytest.mark.slow
def test_what_a_project_gets_wrong_is_a_finding_and_no_traceback(mysite: Path) -> None:
    settings = mysite / "mysite/settings.py"
    whole = settings.read_text()
    settings.write_text(whole + "INSTALLED_APPS.append('nowhere')\n")
    assert levels(doctor(mysite, "--json"))["INSTALLED_APPS"] == "error"
    (mysite / "mysite/consumers.py").write_text("1 / 0\n")
    settings.write_text(whole + "CHANNEL_LAYERS['default']['ROUTING'] = 'x.routing'\n")
    result = doctor(mysite)
    assert "ZeroDivisionError: division by zero" in result.stdout
    assert "ROUTING is of Channels 1" in result.stdout
    assert "CHANNEL_LAYERS['default']['ROUTING'] = 'x.routing'" in result.stdout
    assert "2 errors.\n" in result.stdout
    assert result.stderr == ""
