"""ProtocolTypeRouter and ChannelNameRouter, and the application that the settings name."""

from __future__ import annotations

from typing import Any

import pytest
from calls import CONNECT, DISCONNECT, Recorder, call, http_scope, websocket_scope
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings

from channels.consumer import AsyncConsumer
from channels.http import AsgiHandler
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, get_default_application


class Greeter(AsyncConsumer):
    async def websocket_connect(self, message: Any) -> None:
        await self.send({"type": "websocket.accept"})


# -- by type -------------------------------------------------------------------


def test_each_scope_goes_to_the_application_for_its_type() -> None:
    sockets, robots = Recorder(), Recorder()
    router = ProtocolTypeRouter({"websocket": sockets, "telegram": robots})
    call(router, {"type": "telegram", "chat": 1})
    assert robots.scope["chat"] == 1
    assert sockets.scopes == []


def test_a_type_nobody_is_configured_for_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="No application configured for scope type 'mqtt'"):
        call(ProtocolTypeRouter({}), {"type": "mqtt"})


def test_without_an_http_entry_djangos_views_answer() -> None:
    sent = call(ProtocolTypeRouter({}), http_scope("/hello/"), [{"type": "http.request"}])
    assert sent[0]["status"] == 200
    assert b"Hello" in sent[1]["body"]


def test_an_http_entry_is_left_alone() -> None:
    pages = Recorder()
    call(ProtocolTypeRouter({"http": pages}), http_scope())
    assert pages.scope["type"] == "http"


def test_djangos_own_handler_is_replaced_by_ours_with_its_middleware_made_once() -> None:
    given = ASGIHandler()
    router = ProtocolTypeRouter({"http": given})
    handler: Any = router.application_mapping["http"]
    assert type(handler) is AsgiHandler
    assert handler._middleware_chain is given._middleware_chain
    sent = call(router, http_scope("/hello/"), [{"type": "http.request"}])
    assert sent[0]["status"] == 200


def test_djangos_own_handler_stays_when_asked_to_or_when_it_is_a_subclass() -> None:
    class Special(ASGIHandler):
        pass

    given, special = ASGIHandler(), Special()
    kept = ProtocolTypeRouter({"http": given}, replace_django_handler=False)
    assert kept.application_mapping["http"] is given
    assert ProtocolTypeRouter({"http": special}).application_mapping["http"] is special


def test_lifespan_is_answered_where_nothing_is_configured_for_it() -> None:
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = call(ProtocolTypeRouter({}), {"type": "lifespan"}, events)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_a_lifespan_entry_gets_the_scope() -> None:
    startup = Recorder()
    call(ProtocolTypeRouter({"lifespan": startup}), {"type": "lifespan"})
    assert startup.scope["type"] == "lifespan"


def test_a_consumer_class_will_do_for_an_application() -> None:
    sent = call(
        ProtocolTypeRouter({"websocket": Greeter}), websocket_scope(), [CONNECT, DISCONNECT]
    )
    assert sent == [{"type": "websocket.accept"}]


# -- by channel name -----------------------------------------------------------


def test_a_channels_scope_goes_to_the_application_for_its_name() -> None:
    app = Recorder()
    call(ChannelNameRouter({"thumbnails": app}), {"type": "channel", "channel": "thumbnails"})
    assert app.scope["channel"] == "thumbnails"


def test_a_channel_name_router_says_what_is_wrong_with_a_scope() -> None:
    router = ChannelNameRouter({})
    with pytest.raises(ValueError, match="got a scope without a 'channel' key"):
        call(router, {"type": "channel"})
    with pytest.raises(ValueError, match="No application configured for channel name 'x'"):
        call(router, {"type": "channel", "channel": "x"})


# -- the setting ---------------------------------------------------------------


def test_the_default_application_is_what_the_setting_names() -> None:
    from tests.asgi import application

    assert get_default_application() is application


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "Cannot find ASGI_APPLICATION setting."),
        ("nodots", "Cannot find ASGI_APPLICATION setting."),
        ("tests.missing.application", "Cannot import ASGI_APPLICATION module 'tests.missing'"),
        ("tests.missing.application", "No module named 'tests.missing'"),
        ("tests.asgi.app", "Cannot find 'app' in ASGI_APPLICATION module tests.asgi"),
    ],
)
def test_a_wrong_setting_is_told_in_one_sentence(value: str | None, text: str) -> None:
    with override_settings(ASGI_APPLICATION=value), pytest.raises(ImproperlyConfigured) as caught:
        get_default_application()
    assert text in str(caught.value)
