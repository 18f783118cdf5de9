"""A log-out in one worker closes the WebSockets that another worker has."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_process import write
from tests.waiting import WITHIN, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.slow

SETTINGS = """
import os
SECRET_KEY = "x"
DEBUG = False
ALLOWED_HOSTS = ["*"]
HERE = os.path.dirname(os.path.abspath(__file__))
INSTALLED_APPS = [
    "channels", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "urls"
LOGOUT_REDIRECT_URL = "/worker/"
ASGI_APPLICATION = "asgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(HERE, "db.sqlite3"),
        "OPTIONS": {"timeout": 20},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.local.LocalChannelLayer",
        "CONFIG": {"directory": os.environ["BUS_FOLDER"]},
    }
}
"""
URLS = """
import os
from django.contrib.auth.views import LogoutView
from django.http import HttpResponse
from django.urls import path

urlpatterns = [
    path("worker/", lambda request: HttpResponse(str(os.getpid()))),
    path("logout/", LogoutView.as_view()),
]
"""
ASGI = """
import os
import django
django.setup()
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter

class Room(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send(f"{os.getpid()} {self.scope['user']}")

    async def disconnect(self, code):
        # One write: two workers share the pipe.
        os.write(1, b"disconnected with %d\\n" % code)

application = ProtocolTypeRouter({"websocket": AuthMiddlewareStack(Room)})
"""
# Prints the session's key.
PREPARE = """
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
client = Client()
client.force_login(User.objects.create_user("ada", password="engine"))
print(client.cookies["sessionid"].value)
"""


class Site:
    """Two workers, and the session of a user."""

    def __init__(self, process: subprocess.Popen[str], key: str) -> None:
        token = "t" * 32
        self.cookie = {"Cookie": f"sessionid={key}; csrftoken={token}", "X-CSRFToken": token}
        self._process = process
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_ready(self) -> None:
        address = re.compile(r"http://127\.0\.0\.1:(\d+)")
        try:
            found = wait_until(lambda: address.search(self.output))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from error
        self.port = int(found[1])
        wait_until(lambda: self.output.count("is ready") == 2, "two workers are ready")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line

    def open(self) -> tuple[ClientConnection, str]:
        # Closed by the test.
        address = f"ws://127.0.0.1:{self.port}/"
        client = connect(address, additional_headers=self.cookie).__enter__()
        pid, user = str(client.recv(timeout=WITHIN)).split()
        assert user == "ada"
        return client, pid

    def http(self) -> tuple[http.client.HTTPConnection, str]:
        """A connection that stays with the worker that took it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN)
        connection.request("GET", "/worker/")
        return connection, connection.getresponse().read().decode()

    def end(self) -> int:
        # The workers end with their supervisor.
        self._process.terminate()
        status = self._process.wait(WITHIN)
        self._reader.join(WITHIN)
        return status


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    files = {"settings.py": SETTINGS, "urls.py": URLS, "asgi.py": ASGI}
    # Not below tmp_path, which is too deep for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="channels-") as bus:
        environment = {
            **os.environ,
            "BUS_FOLDER": bus,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(write(tmp_path, files)),
            "PYTHONUNBUFFERED": "1",
        }
        how = {"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE}
        prepared = subprocess.run([sys.executable, "-c", PREPARE], check=True, timeout=60, **how)
        with subprocess.Popen(
            [sys.executable, "-m", "channels", "serve", "--workers", "2", "--port", "0"],
            stderr=subprocess.STDOUT,
            **how,
        ) as process:
            site = Site(process, prepared.stdout.strip())
            try:
                site.wait_ready()
                yield site
            finally:
                site.end()


def test_a_log_out_in_one_worker_closes_sockets_in_the_other(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        workers: dict[str, http.client.HTTPConnection] = {}
        sockets: list[tuple[ClientConnection, str]] = []
        while len(workers) < 2 or len({pid for _, pid in sockets}) < 2:
            connection, pid = site.http()
            workers[pid] = stack.enter_context(contextlib.closing(connection))
            client, pid = site.open()
            stack.callback(client.close)
            sockets.append((client, pid))
            assert len(sockets) < 200, "one worker took all"
        request = next(iter(workers.values()))
        request.request("POST", "/logout/", headers=site.cookie)
        assert request.getresponse().status == 302
        for client, pid in sockets:
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=WITHIN)
            assert closed.value.rcvd is not None, pid
            assert closed.value.rcvd.code == 4401
    wait_until(lambda: site.output.count("disconnected with 4401") == len(sockets))
    assert site.end() == 0
    assert "Traceback" not in site.output
    assert "ERROR" not in site.output
