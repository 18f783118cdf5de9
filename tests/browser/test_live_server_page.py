"""A page of the test case with a live server, in a real browser, and its WebSocket."""

from __future__ import annotations

import io
import json
import unittest
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from channels.testing import ChannelsLiveServerTestCase

pytestmark = pytest.mark.slow

PATIENCE = 15_000  # ms
PAGE = """<!doctype html><title>Users</title><body><script>
const socket = new WebSocket(`ws://${location.host}/names/`);
socket.onmessage = (event) => { document.body.textContent = event.data; };
socket.onopen = () => socket.send("grace");
</script>"""


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


class Names(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        User.objects.create(username=text_data)
        self.send(text_data=json.dumps(names()))


def names() -> list[str]:
    return list(User.objects.order_by("username").values_list("username", flat=True))


urlpatterns = [path("page/", page)]
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(URLRouter([path("names/", Names)])),
    }
)


@pytest.fixture
def unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright keeps a loop running in the test's thread, which Django then refuses."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


@pytest.fixture
def project(unsafe: None, db: None) -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF=__name__, ASGI_APPLICATION=f"{__name__}.application", ALLOWED_HOSTS=[]
    ):
        yield


def test_a_browser_sees_what_the_test_made_and_the_test_what_it_did(
    project: None, browser: Any
) -> None:
    class Case(ChannelsLiveServerTestCase):
        def test_it(self) -> None:
            User.objects.create(username="ada")
            context = browser.new_context(base_url=self.live_server_url)
            opened = context.new_page()
            opened.goto("/page/")
            opened.get_by_text('["ada", "grace"]').wait_for(timeout=PATIENCE)
            context.close()
            assert names() == ["ada", "grace"]

    tests = unittest.TestLoader().loadTestsFromTestCase(Case)
    result = unittest.TextTestRunner(io.StringIO()).run(tests)
    assert [text for _, text in result.errors + result.failures] == []
    assert result.testsRun == 1
