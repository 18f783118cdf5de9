"""`channels doctor` as somebody types it, in whole projects."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django_process import write
from tests.docs.doc_pages import ROOT, blocks

pytestmark = pytest.mark.slow


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


def test_of_the_readmes_project_nothing_is_said(mysite: Path) -> None:
    result = doctor(mysite)
    assert result.stdout.endswith("All is well.\n"), result.stdout
    assert (result.stderr, result.returncode) == ("", 0)
    told = doctor(mysite, "mysite.asgi:application", "--json", settings=None)
    assert set(levels(told).values()) == {"ok"}


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


def test_a_redis_that_is_not_there_is_an_error_without_its_password(mysite: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        hosts = [f"redis://:hidden@127.0.0.1:{port}"]
        layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": hosts}}
        with (mysite / "mysite/settings.py").open("a") as file:
            file.write(f'CHANNEL_LAYERS = {{"default": {layer}}}\n')
        result = doctor(mysite)
    assert result.returncode == 1
    assert "does not work: ConnectionError" in result.stdout
    assert '"socket_timeout": None' in result.stdout
    assert "hidden" not in result.stdout + result.stderr
    assert result.stderr == ""


def test_models_that_are_imported_too_early_are_an_error(mysite: Path) -> None:
    code = (mysite / "mysite/asgi.py").read_text()
    early = "from django.contrib.auth.models import User\n"
    (mysite / "mysite/asgi.py").write_text(early + code)
    result = doctor(mysite, "--json")
    assert levels(result)["application"] == "ok"
    (error,) = (f for f in json.loads(result.stdout)["findings"] if f["level"] == "error")
    assert "AppRegistryNotReady" in error["text"]
    assert "asgi.py, line 1)" in error["text"]


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
