"""How people wrote consumers for Channels 2 and 3, and what becomes of it."""

from __future__ import annotations

from typing import Any

from tests.compat.behaviours import Rows, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, drive, text

set_up_django()

from django.urls import re_path  # noqa: E402

from channels.consumer import AsyncConsumer  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402
from channels.testing import WebsocketCommunicator  # noqa: E402

row = Rows()

ACCEPTED = {"type": "websocket.accept", "subprotocol": None}


def shape(result: Any) -> Any:
    """What was sent, or the class of the error that ended it."""
    return result["sent"] if result["ended"] == "returned" else result["ended"]["raises"]


@row(upstream="TypeError", ours=[ACCEPTED])
async def a_consumer_class_in_a_protocol_router() -> Any:
    router = ProtocolTypeRouter({"websocket": WebsocketConsumer})
    return shape(await drive(router, CONNECT, DISCONNECT))


@row(upstream="TypeError", ours=[True, None])
async def a_consumer_class_for_a_communicator() -> Any:
    client = WebsocketCommunicator(WebsocketConsumer, "/")
    try:
        answer = await client.connect()
    except TypeError as error:
        return type(error).__name__
    await client.disconnect()
    return answer


@row(upstream="ImportError", ours=True)
def the_function_url() -> Any:
    try:
        from channels.routing import url
    except ImportError as error:
        return type(error).__name__
    return url is re_path


@row(upstream="ModuleNotFoundError", ours="AsgiHandler")
def the_module_http() -> Any:
    try:
        from channels.http import AsgiHandler
    except ModuleNotFoundError as error:
        return type(error).__name__
    return AsgiHandler.__name__


@row(upstream="no application", ours="an application")
def a_protocol_router_without_http() -> Any:
    router = ProtocolTypeRouter({"websocket": AsyncWebsocketConsumer.as_asgi()})
    return "an application" if "http" in router.application_mapping else "no application"


@row(upstream="TypeError", ours=[ACCEPTED])
async def a_connect_with_the_event() -> Any:
    class Log(WebsocketConsumer):
        def connect(self, message: Any) -> None:  # type: ignore[override]
            self.accept()

    return shape(await drive(Log.as_asgi(), CONNECT, DISCONNECT))


@row(upstream=[ACCEPTED, {"type": "websocket.send", "text": "a"}])
async def a_receive_with_a_keyword_of_its_own() -> Any:
    class Echo(WebsocketConsumer):
        def receive(self, *, text_data: Any) -> None:  # type: ignore[override]
            self.send(text_data=text_data)

    return shape(await drive(Echo.as_asgi(), CONNECT, text("a"), DISCONNECT))


@row(upstream=[1001])
async def a_disconnect_with_a_message_gets_the_code() -> Any:
    codes = []

    class Leaving(WebsocketConsumer):
        def disconnect(self, message: Any) -> None:
            codes.append(message)

    await drive(Leaving.as_asgi(), CONNECT, DISCONNECT)
    return codes


@row(upstream="ValueError", ours=[ACCEPTED, {"type": "websocket.send", "text": "pong"}])
async def a_consumer_without_websocket_disconnect() -> Any:
    class Ping(AsyncConsumer):
        async def websocket_connect(self, message: Any) -> None:
            await self.send(ACCEPTED)

        async def websocket_receive(self, message: Any) -> None:
            await self.send({"type": "websocket.send", "text": "pong"})

    return shape(await drive(Ping.as_asgi(), CONNECT, text("ping"), DISCONNECT))
