"""`manage.py runserver`: its options and lines, and the whole of it as a process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.core.management.color import no_style
from django.test import override_settings
from django_process import Running, django, write
from tests.asgi import application
from tests.ports import free_port
from tests.waiting import WITHIN
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from channels.management.commands.runserver import ActionLines, Command

# -- lines ---------------------------------------------------------------------

REQUEST = {"method": "GET", "path": "/a", "client": "127.0.0.1:5", "time_taken": 0.0123, "size": 1}


@pytest.mark.parametrize(
    ("protocol", "action", "details", "line", "level"),
    [
        ("http", "complete", {"status": 200}, "HTTP GET /a 200 [0.01, 127.0.0.1:5]", "INFO"),
        ("http", "complete", {"status": 302}, "HTTP GET /a 302 [0.01, 127.0.0.1:5]", "INFO"),
        ("http", "complete", {"status": 404}, "HTTP GET /a 404 [0.01, 127.0.0.1:5]", "WARNING"),
        ("http", "complete", {"status": 403}, "HTTP GET /a 403 [0.01, 127.0.0.1:5]", "WARNING"),
        ("http", "complete", {"status": 500}, "HTTP GET /a 500 [0.01, 127.0.0.1:5]", "ERROR"),
        ("websocket", "connecting", {}, "WebSocket HANDSHAKING /a [127.0.0.1:5]", "INFO"),
        ("websocket", "connected", {}, "WebSocket CONNECT /a [127.0.0.1:5]", "INFO"),
        ("websocket", "rejected", {}, "WebSocket REJECT /a [127.0.0.1:5]", "INFO"),
        ("websocket", "disconnected", {}, "WebSocket DISCONNECT /a [127.0.0.1:5]", "INFO"),
        (
            "websocket",
            "connected",
            {"path": "/b\nc"},
            "WebSocket CONNECT /b\\nc [127.0.0.1:5]",
            "INFO",
        ),
    ],
)
def test_what_happens_is_told_in_one_line(
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    action: str,
    details: dict[str, Any],
    line: str,
    level: str,
) -> None:
    with caplog.at_level(logging.INFO, logger="django.channels.server"):
        ActionLines(no_style())(protocol, action, {**REQUEST, **details})
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname) == (line, level)
    assert record.name == "django.channels.server"


# -- options -------------------------------------------------------------------


def options(*arguments: str) -> tuple[Command, dict[str, Any]]:
    command = Command()
    parser = command.create_parser("manage.py", "runserver")
    command.addr, command.port = "127.0.0.1", "8000"
    return command, vars(parser.parse_args(list(arguments)))


def test_runserver_is_ours_when_channels_comes_before_staticfiles() -> None:
    assert get_commands()["runserver"] == "channels"
    assert isinstance(load_command_class("channels", "runserver"), Command)


def test_limits_reach_the_server() -> None:
    command, given = options(
        "--http_timeout=7", "--websocket_handshake_timeout=3", "--websocket-max-message-size=99"
    )
    config = command._config(given)
    assert (config.http_timeout, config.websocket_accept_timeout) == (7, 3)
    assert (config.websocket_max_message_size, config.websocket_max_frame_size) == (99, 1 << 20)


@override_settings(
    DAPHNE_WEBSOCKET_MAX_MESSAGE_SIZE=5,
    DAPHNE_WEBSOCKET_MAX_FRAME_SIZE=0,
    FORCE_SCRIPT_NAME="/root",
)
def test_settings_written_for_daphne_are_read() -> None:
    command, given = options()
    config = command._config(given)
    assert (config.websocket_max_message_size, config.websocket_max_frame_size) == (5, 0)
    assert config.root_path == "/root"


@pytest.mark.parametrize(
    ("debug", "arguments", "served"),
    [
        (False, (), False),
        (True, (), True),
        (False, ("--insecure",), True),
        (True, ("--nostatic",), False),
    ],
)
def test_static_files_are_served_where_django_serves_them(
    debug: bool, arguments: tuple[str, ...], served: bool
) -> None:
    command, given = options(*arguments)
    with override_settings(DEBUG=debug):
        found = command.get_application(given)
    assert isinstance(found, ASGIStaticFilesHandler) is served
    assert served or found is application


@override_settings(ASGI_APPLICATION=None)
def test_a_missing_application_is_told() -> None:
    with pytest.raises(CommandError, match="You have not set ASGI_APPLICATION, which is needed"):
        call_command("runserver")


@override_settings(ASGI_APPLICATION="tests.missing.application")
def test_an_application_that_cannot_be_imported_is_told() -> None:
    with pytest.raises(CommandError, match="No module named 'tests.missing'"):
        call_command("runserver", use_reloader=False, skip_checks=True)


def test_an_impossible_port_is_told() -> None:
    with pytest.raises(CommandError, match="from 0 to 65535, not 70000"):
        call_command("runserver", "70000", use_reloader=False, skip_checks=True)


# -- as a process --------------------------------------------------------------

PROJECT = {
    "settings.py": """
SECRET_KEY = "x"
DEBUG = True
INSTALLED_APPS = ["channels", "django.contrib.staticfiles"]
ROOT_URLCONF = "urls"
STATIC_URL = "/static/"
STATICFILES_DIRS = ["assets"]
ASGI_APPLICATION = "asgi.application"
WSGI_APPLICATION = None
""",
    "urls.py": """
from django.http import HttpResponse
from django.urls import path
from page import TEXT
urlpatterns = [path("", lambda request: HttpResponse(TEXT))]
""",
    "page.py": "TEXT = 'first'\n",
    "asgi.py": """
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter, url

class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "fail":
            raise LookupError("a consumer's own mistake")
        await self.send(text_data=text_data)

application = ProtocolTypeRouter({"websocket": URLRouter([url(r"^echo/$", Echo)])})
""",
    "assets/note.txt": "a static file",
}


class Serving:
    """A runserver process, and what its address answers."""

    def __init__(self, running: Running, port: int) -> None:
        self.process, self.port = running.process, port
        self.eventually, self.says, self.end = running.eventually, running.says, running.end
        self._running = running

    @property
    def output(self) -> str:
        return self._running.output

    @property
    def lines(self) -> list[str]:
        return self._running.lines

    def get(self, path: str) -> str | None:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        return None


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path, PROJECT)


@contextlib.contextmanager
def runserver(project: Path, *arguments: str) -> Iterator[Serving]:
    port = free_port()
    with django(project, "runserver", str(port), *arguments) as running:
        yield Serving(running, port)


def press_ctrl_c(running: Serving) -> int:
    os.killpg(running.process.pid, signal.SIGINT)
    return running.end()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--noreload",)])
def test_it_serves_pages_files_and_sockets_and_ends_without_a_word(
    project: Path, arguments: tuple[str, ...]
) -> None:
    with runserver(project, *arguments) as running:
        assert running.eventually(lambda: running.get("/")) == "first"
        assert running.get("/static/note.txt") == "a static file"
        with connect(f"ws://127.0.0.1:{running.port}/echo/") as client:
            client.send("hello")
            assert client.recv(5) == "hello"
        for text in (
            f"Starting ASGI/Channels version 4.9.0 development server at http://127.0.0.1:{running.port}/",
            "HTTP GET / 200 [",
            "HTTP GET /static/note.txt 200 [",
            "WebSocket HANDSHAKING /echo/ [127.0.0.1:",
            "WebSocket CONNECT /echo/ [127.0.0.1:",
            "WebSocket DISCONNECT /echo/ [127.0.0.1:",
        ):
            running.says(text)
        with connect(f"ws://127.0.0.1:{running.port}/echo/"):
            assert press_ctrl_c(running) == 0
        assert "Traceback" not in running.output


@pytest.mark.slow
def test_a_consumers_traceback_is_in_the_console(project: Path) -> None:
    with runserver(project, "--noreload") as running:
        running.eventually(lambda: running.get("/"))
        with connect(f"ws://127.0.0.1:{running.port}/echo/") as client:
            client.send("fail")
            running.says("LookupError: a consumer's own mistake")
        running.says("WebSocket DISCONNECT /echo/")
        assert running.output.count("LookupError: a consumer's own mistake") == 1
        assert "Echo" in running.output


def change_and_wait(project: Path, client: ClientConnection) -> bool:
    """Whether the server let the client go; the reloader overlooks what changed while it began."""
    (project / "page.py").write_text("TEXT = 'second one'\n")
    try:
        client.recv(2)
    except TimeoutError:
        return False
    except ConnectionClosed:
        return True
    raise AssertionError("nobody sent a message")


@pytest.mark.slow
def test_a_changed_file_reloads_and_open_sockets_hear_of_it(project: Path) -> None:
    with runserver(project) as running:
        running.eventually(lambda: running.get("/") == "first")
        with connect(f"ws://127.0.0.1:{running.port}/echo/") as client:
            running.eventually(lambda: change_and_wait(project, client))
            assert client.close_code == 1012
        running.eventually(lambda: running.get("/") == "second one")
        assert press_ctrl_c(running) == 0
        assert "Traceback" not in running.output


@pytest.mark.slow
def test_an_import_that_fails_is_shown_and_served_again_when_mended(project: Path) -> None:
    (project / "asgi.py").write_text("import consumers\n" + PROJECT["asgi.py"])
    consumers = project / "consumers.py"
    consumers.write_text("import a_library_that_is_missing\n")
    with runserver(project) as running:
        running.says("No module named 'a_library_that_is_missing'")
        running.says('consumers.py", line 1')
        running.eventually(lambda: consumers.write_text("# mended") and running.get("/") == "first")
        assert press_ctrl_c(running) == 0


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--noreload",)])
def test_a_taken_port_is_one_sentence_and_status_1(
    project: Path, arguments: tuple[str, ...]
) -> None:
    with runserver(project, *arguments) as first:
        first.eventually(lambda: first.get("/"))
        command = [sys.executable, "-m", "django", "runserver", str(first.port), *arguments]
        second = subprocess.run(
            command,
            cwd=project,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            timeout=WITHIN,
        )
    assert second.returncode == 1
    assert "already in use" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_noasgi_leaves_it_to_djangos_own_server(project: Path) -> None:
    with runserver(project, "--noasgi", "--noreload") as running:
        assert running.eventually(lambda: running.get("/")) == "first"
        assert running.get("/static/note.txt") == "a static file"
        running.says("Starting development server at")
        assert press_ctrl_c(running) == 0
