"""Rows: the default application, routers by protocol and by channel, and middleware."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, async_outcome, outcome, set_up_django

set_up_django(ROOT_URLCONF=__name__)

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from tests.compat.routing_calls import Seen, call, connecting

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.middleware import BaseMiddleware
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, get_default_application

row = Rows()
urlpatterns: list[Any] = []


# -- ASGI_APPLICATION ------------------------------------------------------------

project_application = Seen()


def default_with(value: Any) -> Any:
    with override_settings(ASGI_APPLICATION=value):
        return outcome(get_default_application)


@row(upstream=True)
def the_setting_names_the_default_application() -> Any:
    return default_with(f"{__name__}.project_application") is project_application


@row(
    upstream=[{"raises": "ImproperlyConfigured", "says": "Cannot find ASGI_APPLICATION setting."}]
    * 3
)
def without_the_setting_there_is_no_default_application() -> Any:
    return [outcome(get_default_application), default_with(None), default_with("nodots")]


@row(
    upstream={
        "raises": "ImproperlyConfigured",
        "says": "Cannot import ASGI_APPLICATION module 'no.such'",
    },
    ours={
        "raises": "ImproperlyConfigured",
        "says": "Cannot import ASGI_APPLICATION module 'no.such': No module named 'no'",
    },
)
def the_default_application_is_in_no_module() -> Any:
    return default_with("no.such.application")


@row(
    upstream={
        "raises": "ImproperlyConfigured",
        "says": f"Cannot find 'missing' in ASGI_APPLICATION module {__name__}",
    }
)
def the_default_application_is_not_in_its_module() -> Any:
    return default_with(f"{__name__}.missing")


# -- by protocol -------------------------------------------------------------------


@row(upstream=["answered", True])
async def the_type_of_the_scope_chooses_the_application() -> Any:
    seen = Seen()
    router = ProtocolTypeRouter(application_mapping={"websocket": seen})
    return [await call(router), router.application_mapping["websocket"] is seen]


@row(
    upstream={
        "raises": "ValueError",
        "says": "No application configured for scope type 'telegram'",
    }
)
async def a_scope_type_without_an_application() -> Any:
    return await call(ProtocolTypeRouter({"websocket": Seen()}), type="telegram")


@row(upstream={"raises": "KeyError", "says": "'type'"})
async def a_scope_without_a_type() -> Any:
    return await call(ProtocolTypeRouter({"websocket": Seen()}), type=None)


@row(upstream="answered")
async def a_protocol_of_ones_own() -> Any:
    return await call(ProtocolTypeRouter({"telegram": Seen()}), type="telegram")


@row(
    upstream={
        "raises": "ValueError",
        "says": "No application configured for scope type 'lifespan'",
    },
    ours=[["lifespan.startup.complete", None], ["lifespan.shutdown.complete", None]],
)
async def lifespan_without_an_application() -> Any:
    events = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return events.pop()

    async def send(event: Any) -> None:
        sent.append([event["type"], event.get("status")])

    router = ProtocolTypeRouter({"websocket": Seen()})
    return await async_outcome(router({"type": "lifespan"}, receive, send)) or sent


@row(
    upstream={"raises": "ValueError", "says": "No application configured for scope type 'http'"},
    ours=[["http.response.start", 404], ["http.response.body", None]],
)
async def http_without_an_application() -> Any:
    answered = False

    async def receive() -> Any:
        nonlocal answered
        if answered:
            # The client stays.
            import asyncio

            await asyncio.Event().wait()
        answered = True
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append([event["type"], event.get("status")])

    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": []}
    router = ProtocolTypeRouter({"websocket": Seen()})
    return await async_outcome(router(scope, receive, send)) or sent


@row(upstream=True)
def djangos_application_under_http_is_djangos_handler() -> Any:
    router = ProtocolTypeRouter({"http": get_asgi_application()})
    return isinstance(router.application_mapping["http"], ASGIHandler)


@row(upstream={"websocket": True}, ours={"http": False, "websocket": True})
def what_a_protocol_router_was_given() -> Any:
    seen = Seen()
    mapping = ProtocolTypeRouter({"websocket": seen}).application_mapping
    return {name: mapping[name] is seen for name in sorted(mapping)}


@row(upstream="TypeError", ours=None)
async def a_consumer_class_under_a_protocol() -> Any:
    class Telegram(AsyncConsumer):
        async def websocket_connect(self, message: Any) -> None:
            raise StopConsumer

    seen = await call(ProtocolTypeRouter({"telegram": Telegram}), type="telegram")
    return seen["raises"] if seen else seen


@row(upstream=["answered", "telegram"])
async def a_derived_protocol_router_may_look_first() -> Any:
    class Looking(ProtocolTypeRouter):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            self.last = scope["type"]
            return await super().__call__(scope, receive, send)

    router = Looking({"telegram": Seen()})
    return [await call(router, type="telegram"), router.last]


# -- by channel ---------------------------------------------------------------------------------


@row(upstream=["answered", True])
async def the_name_of_a_channel_chooses_the_application() -> Any:
    seen = Seen()
    router = ChannelNameRouter(application_mapping={"thumbnails": seen})
    answer = await call(router, type="channel", channel="thumbnails")
    return [answer, router.application_mapping["thumbnails"] is seen]


@row(
    upstream={
        "raises": "ValueError",
        "says": "No application configured for channel name 'thumbnails'",
    }
)
async def a_channel_without_an_application() -> Any:
    return await call(ChannelNameRouter({}), type="channel", channel="thumbnails")


@row(
    upstream={
        "raises": "ValueError",
        "says": "ChannelNameRouter got a scope without a 'channel' key. "
        "Did you make sure it's only being used for 'channel' type messages?",
    }
)
async def a_scope_without_a_channel() -> Any:
    return await call(ChannelNameRouter({}))


# -- middleware -----------------------------------------------------------------------------------


@row(upstream=[True, "answered", True, True])
async def middleware_passes_a_copy_of_the_scope_on() -> Any:
    seen = Seen()
    middleware: Any = BaseMiddleware(inner=seen)
    scope = {"type": "websocket", "path": "/", "headers": []}
    answer = await middleware(scope, connecting, None)
    return [
        middleware.inner is seen,
        answer,
        seen.scopes[0] == scope and seen.scopes[0] is not scope,
        # Shallow: what the server put there is the same.
        seen.scopes[0]["headers"] is scope["headers"],
    ]


@row(upstream=["answered", "tenant", False])
async def derived_middleware_adds_to_the_scope() -> Any:
    class Tenants(BaseMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            scope = dict(scope, tenant="tenant")
            return await super().__call__(scope, receive, send)

    seen, scope = Seen(), {"type": "websocket", "path": "/"}
    middleware: Any = Tenants(seen)
    answer = await middleware(scope, connecting, None)
    return [answer, seen.scopes[0]["tenant"], "tenant" in scope]
