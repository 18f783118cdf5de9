"""`channels serve`: what it serves, and one sentence for whatever is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from channels import __version__

HELLO = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})
not_callable = 5
"""


def channels(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return subprocess.Popen(
        [sys.executable, "-m", "channels", *arguments],
        cwd=folder,
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = channels(folder, *arguments, **environment)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def fetch(process: subprocess.Popen[str]) -> bytes:
    """Fetch / from a starting server, then stop it."""
    assert process.stderr is not None
    line = process.stderr.readline()
    if "Listening on " not in line:
        process.kill()
        raise AssertionError(line + process.stderr.read())
    with urllib.request.urlopen(line.partition("Listening on ")[2].strip(), timeout=5) as response:
        body: bytes = response.read()
    return body


def stop(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(HELLO)
    return tmp_path


def test_the_version_is_told(folder: Path) -> None:
    assert outcome(folder, "--version") == (0, f"channels {__version__}\n", "")


def test_an_application_of_the_current_folder_is_served(folder: Path) -> None:
    process = channels(folder, "serve", "hello:app", "-p", "0", "--access-log", "-")
    assert fetch(process) == b"hello"
    line = stop(process)
    assert line.startswith("127.0.0.1:")
    assert line.endswith('] "GET /" 200 5\n')


def test_the_access_log_can_be_a_file(folder: Path) -> None:
    process = channels(folder, "serve", "hello:app", "-p", "0", "--access-log", "log")
    assert fetch(process) == b"hello"
    assert stop(process) == ""
    assert '"GET /" 200 5' in (folder / "log").read_text()


def test_without_an_argument_the_settings_say_what_is_served(folder: Path) -> None:
    (folder / "site_settings.py").write_text("ASGI_APPLICATION = 'hello.app'\n")
    process = channels(folder, "serve", "-p", "0", DJANGO_SETTINGS_MODULE="site_settings")
    assert fetch(process) == b"hello"
    stop(process)


def test_django_is_not_needed(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('django', 'asgiref'):\n"
        "            raise ModuleNotFoundError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    process = channels(folder, "serve", "hello:app", "-p", "0", PYTHONPATH=str(folder))
    assert fetch(process) == b"hello"
    stop(process)


def test_a_consumer_class_is_an_application(folder: Path) -> None:
    (folder / "consumer.py").write_text(
        "from hello import app\n"
        "class Consumer:\n"
        "    @classmethod\n"
        "    def as_asgi(cls):\n"
        "        return app\n"
    )
    process = channels(folder, "serve", "consumer:Consumer", "-p", "0")
    assert fetch(process) == b"hello"
    stop(process)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serve"], "Say which application to serve"),
        (["serve", "hello"], "given as module.path:name, but came 'hello'"),
        (["serve", "nowhere:app"], "Cannot import 'nowhere': No module named 'nowhere'."),
        (["serve", "./hello.py:app"], "given as module.path:name, but came './hello.py:app'"),
        (["serve", "inner:app"], "Cannot import 'inner': No module named 'missing_library' ("),
        (["serve", "inner:app"], "inner.py, line 1)."),
        (["serve", "misspelt:app"], "SyntaxError: invalid syntax (misspelt.py, line 2).\n"),
        (["serve", "broken:app"], "Cannot import 'broken': ZeroDivisionError: division by zero"),
        (["serve", "hello:nothing"], "Module 'hello' has no 'nothing'."),
        (["serve", "hello:not_callable"], "5 cannot be called"),
        (["serve", "hello:app", "-p", "99999"], "port is a number from 0 to 65535, not 99999."),
        (["serve", "hello:app", "-p", "many"], "invalid int value: 'many'"),
        (["serve", "hello:app", "-u", "x", "-p", "1"], "cannot be combined"),
        (["serve", "hello:app", "-u", ""], "unix_socket is a path, not ''."),
        (["serve", "hello:app", "-u", "x" * 200], "too long"),
        (["serve", "hello:app", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["serve", "hello:app", "--access-log", "no/such"], "Cannot write the access log"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "required"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_status_1(
    folder: Path, arguments: list[str], expected: str
) -> None:
    (folder / "inner.py").write_text("import missing_library\n")
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "misspelt.py").write_text("\ndef f(:\n")
    status, out, err = outcome(folder, *arguments)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert expected in err


def test_a_port_that_is_taken_is_one_sentence_and_exit_status_1(folder: Path, serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    port = serve(app).port
    status, _, err = outcome(folder, "serve", "hello:app", "-p", str(port))
    assert status == 1
    assert err == f"Cannot listen on 127.0.0.1 port {port}: the address is already in use.\n"


def test_an_application_that_cannot_start_is_one_sentence_and_exit_status_1(folder: Path) -> None:
    (folder / "failing.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    status, _, err = outcome(folder, "serve", "failing:app", "-p", "0")
    assert (status, err) == (1, "The application could not start: no database\n")


def test_an_application_of_the_settings_that_is_no_path_is_told(folder: Path) -> None:
    (folder / "site_settings.py").write_text("ASGI_APPLICATION = 'application'\n")
    status, _, err = outcome(folder, "serve", DJANGO_SETTINGS_MODULE="site_settings")
    assert status == 1
    assert err.count("\n") == 1
    assert "ASGI_APPLICATION of 'site_settings' is a dotted path" in err
