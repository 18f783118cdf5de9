"""Daphne beside us, in a project that began with the Django project's tutorial.

That tutorial puts "daphne" first in INSTALLED_APPS, for the sake of its runserver, and
leaves "channels" out. Both stays possible: the earlier of the two has the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.compat.servers import Site, running
from tests.waiting import WITHIN

pytestmark = pytest.mark.slow

OTHERS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
)

SETTINGS = """
import os
SECRET_KEY = "x"
DEBUG = True
INSTALLED_APPS = os.environ["APPS"].split()
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
ROOT_URLCONF = "mysite.urls"
STATIC_URL = "/static/"
STATICFILES_DIRS = ["assets"]
ASGI_APPLICATION = "mysite.asgi.application"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
"""

URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("sync/", lambda request: HttpResponse("a page"))]
"""

CONSUMERS = """
import json
from asgiref.sync import async_to_sync
from channels.generic.websocket import WebsocketConsumer

class ChatConsumer(WebsocketConsumer):
    def connect(self):
        self.group = "chat_" + self.scope["url_route"]["kwargs"]["room"]
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept()

    def disconnect(self, close_code):
        async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)

    def receive(self, text_data):
        event = {"type": "chat.message", "message": json.loads(text_data)["message"]}
        async_to_sync(self.channel_layer.group_send)(self.group, event)

    def chat_message(self, event):
        self.send(text_data=json.dumps({"message": event["message"]}))
"""

ASGI = r"""
import os
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django_application = get_asgi_application()

from mysite.consumers import ChatConsumer

routes = [re_path(r"ws/chat/(?P<room>\w+)/$", ChatConsumer.as_asgi())]
application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes))),
    }
)
"""

FILES = {"settings.py": SETTINGS, "urls.py": URLS, "consumers.py": CONSUMERS, "asgi.py": ASGI}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "mysite").mkdir()
    (folder / "mysite" / "__init__.py").touch()
    for name, text in FILES.items():
        (folder / "mysite" / name).write_text(text)
    (folder / "assets").mkdir()
    (folder / "assets" / "note.txt").write_text("a static file")
    return folder


def environment(project: Path, apps: str) -> dict[str, str]:
    return {
        "APPS": " ".join([apps, *OTHERS]),
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(project), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def serving(project: Path, apps: str, *command: str) -> Iterator[Site]:
    log = project / f"{apps.replace(' ', '-')}-{command[0]}.log"
    with running(command, project, environment(project, apps), log) as site:
        site.wait_ready()
        yield site


def assert_serves_the_chat(site: Site) -> None:
    assert site.get("/sync/").body == b"a page"
    with site.websocket("/ws/chat/lobby/") as one, site.websocket("/ws/chat/lobby/") as two:
        one.send('{"message": "hello"}')
        assert one.recv(WITHIN) == two.recv(WITHIN) == '{"message": "hello"}'


def output_of(project: Path, apps: str, *command: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", "django", *command],
        cwd=project,
        env={**os.environ, **environment(project, apps)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


RUNSERVER = ("django", "runserver", "{port}", "--noreload")
# What stands in INSTALLED_APPS, and whose runserver that gives.
ORDERS = {"daphne": "Daphne", "daphne channels": "Daphne", "channels daphne": "Channels"}


@pytest.mark.parametrize("apps", ORDERS)
def test_the_earlier_of_the_two_has_runserver_and_both_serve_the_chat(
    project: Path, apps: str
) -> None:
    with serving(project, apps, *RUNSERVER) as site:
        assert_serves_the_chat(site)
        assert site.get("/static/note.txt").body == b"a static file"
        assert f"Starting ASGI/{ORDERS[apps]} version" in site.output
        assert "WebSocket CONNECT /ws/chat/lobby/" in site.output
        assert "Traceback" not in site.output


def test_daphnes_own_command_serves_the_chat(project: Path) -> None:
    command = ("daphne", "-p", "{port}", "mysite.asgi:application")
    with serving(project, "daphne", *command) as site:
        assert_serves_the_chat(site)
        assert "Traceback" not in site.output


@pytest.mark.parametrize("apps", ORDERS)
def test_check_warns_only_where_daphne_hides_our_runserver(project: Path, apps: str) -> None:
    told = output_of(project, apps, "check")
    hidden = apps == "daphne channels"
    assert ("(channels.W003) daphne comes before channels" in told) is hidden
    assert ("System check identified no issues" in told) is not hidden
