"""The WebSocket consumers, in both colours, against one table of expectations."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from channels.exceptions import AcceptConnection, DenyConnection, InvalidChannelLayerError
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.testing import WebsocketCommunicator

COLOURS = pytest.mark.parametrize("colour", ["sync", "async"])


@pytest.fixture(autouse=True)
def layer() -> InMemoryChannelLayer:
    made = InMemoryChannelLayer()
    channel_layers.set("default", made)
    return made


def run(test: Callable[[], Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(20):
            return await test()

    return asyncio.run(bounded())


def consumer(colour: str, script: dict[str, Any]) -> Any:
    """A consumer of one colour whose methods run what the script says.

    Each entry is a list of (method name, arguments) or an exception to raise.
    """

    class Sync(WebsocketConsumer):
        groups = script.get("groups")

        def perform(self, name: str) -> None:
            steps = script.get(name, [])
            if isinstance(steps, type):
                raise steps
            for method, arguments in steps:
                getattr(self, method)(**arguments)

        def connect(self) -> None:
            self.perform("connect")

        def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            script["heard"] = (text_data, bytes_data)
            self.perform("receive")

        def room_message(self, event: Any) -> None:
            self.send(text_data=event["text"])

        def disconnect(self, code: int) -> None:
            script.setdefault("disconnects", []).append(code)

    class Async(AsyncWebsocketConsumer):
        groups = script.get("groups")

        async def perform(self, name: str) -> None:
            steps = script.get(name, [])
            if isinstance(steps, type):
                raise steps
            for method, arguments in steps:
                await getattr(self, method)(**arguments)

        async def connect(self) -> None:
            await self.perform("connect")

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            script["heard"] = (text_data, bytes_data)
            await self.perform("receive")

        async def room_message(self, event: Any) -> None:
            await self.send(text_data=event["text"])

        async def disconnect(self, code: int) -> None:
            script.setdefault("disconnects", []).append(code)

    return {"sync": Sync, "async": Async}[colour]


ACCEPT = [("accept", {})]


@COLOURS
@pytest.mark.parametrize(
    ("connect", "expected"),
    [
        (ACCEPT, {"type": "websocket.accept", "subprotocol": None}),
        (AcceptConnection, {"type": "websocket.accept", "subprotocol": None}),
        (
            [("accept", {"subprotocol": "chat", "headers": [(b"a", b"b")]})],
            {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"a", b"b")]},
        ),
        ([("close", {})], {"type": "websocket.close"}),
        ([("close", {"code": 4001})], {"type": "websocket.close", "code": 4001}),
        (
            [("close", {"code": 4001, "reason": "no"})],
            {"type": "websocket.close", "code": 4001, "reason": "no"},
        ),
        (DenyConnection, {"type": "websocket.close"}),
    ],
)
def test_connect_answers(colour: str, connect: Any, expected: dict[str, Any]) -> None:
    script: dict[str, Any] = {"connect": connect}

    async def test() -> Any:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.send_input({"type": "websocket.connect"})
        answer = await client.receive_output()
        await client.disconnect()
        return answer

    assert run(test) == expected
    assert script["disconnects"] == [1000]


@COLOURS
@pytest.mark.parametrize(
    ("receive", "expected"),
    [
        ([("send", {"text_data": ""})], [{"type": "websocket.send", "text": ""}]),
        ([("send", {"bytes_data": b""})], [{"type": "websocket.send", "bytes": b""}]),
        (
            [("send", {"text_data": "a", "bytes_data": b"b"})],
            [{"type": "websocket.send", "text": "a"}],
        ),
        (
            [("send", {"text_data": "a", "close": True})],
            [{"type": "websocket.send", "text": "a"}, {"type": "websocket.close"}],
        ),
        (
            [("send", {"text_data": "a", "close": 4001})],
            [{"type": "websocket.send", "text": "a"}, {"type": "websocket.close", "code": 4001}],
        ),
    ],
)
def test_receive_answers(colour: str, receive: Any, expected: list[dict[str, Any]]) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "receive": receive}

    async def test() -> list[Any]:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.connect()
        await client.send_to(text_data="go")
        answers = [await client.receive_output() for _ in expected]
        await client.disconnect()
        return answers

    assert run(test) == expected


@COLOURS
@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        ({"text_data": "hello"}, ("hello", None)),
        ({"bytes_data": b"hello"}, (None, b"hello")),
        ({"text_data": ""}, ("", None)),
        ({"bytes_data": b""}, (None, b"")),
    ],
)
def test_receive_hears_one_of_text_and_bytes(colour: str, sent: Any, heard: Any) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "receive": [("send", {"text_data": "done"})]}

    async def test() -> None:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.connect()
        await client.send_to(**sent)
        await client.receive_from()
        await client.disconnect()

    run(test)
    assert script["heard"] == heard


@COLOURS
def test_both_keys_with_one_none_are_understood(colour: str) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "receive": [("send", {"text_data": "done"})]}

    async def test() -> None:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.connect()
        await client.send_input({"type": "websocket.receive", "text": None, "bytes": b"data"})
        await client.receive_from()
        await client.disconnect()

    run(test)
    assert script["heard"] == (None, b"data")


@COLOURS
def test_sending_nothing_is_an_error(colour: str) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "receive": [("send", {})]}

    async def test() -> None:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.connect()
        await client.send_to(text_data="go")
        with pytest.raises(ValueError, match="You must pass one of bytes_data or text_data"):
            await client.receive_output()

    run(test)
    assert script["disconnects"] == [1011]


@COLOURS
def test_groups_are_joined_before_connect_and_left_after(
    colour: str, layer: InMemoryChannelLayer
) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "groups": ["room"]}

    async def test() -> str:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.connect()
        await layer.group_send("room", {"type": "room.message", "text": "hello"})
        heard = await client.receive_from()
        await client.disconnect()
        assert layer.groups == {}
        return heard

    assert run(test) == "hello"


@COLOURS
def test_groups_without_a_layer_are_an_error_that_says_so(
    colour: str, settings_without_layers: None
) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "groups": ["room"]}

    async def test() -> None:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        with pytest.raises(
            InvalidChannelLayerError, match="BACKEND is unconfigured or doesn't support groups"
        ):
            await client.connect()

    run(test)


@pytest.fixture
def settings_without_layers() -> Any:
    from django.test import override_settings

    with override_settings(CHANNEL_LAYERS={}):
        yield


@COLOURS
def test_an_attribute_error_inside_a_layer_is_not_hidden(colour: str) -> None:
    class Broken(InMemoryChannelLayer):
        async def group_add(self, group: str, channel: str) -> None:
            raise AttributeError("a defect of the layer")

    channel_layers.set("default", Broken())
    script: dict[str, Any] = {"connect": ACCEPT, "groups": ["room"]}

    async def test() -> None:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        with pytest.raises(AttributeError, match="a defect of the layer"):
            await client.connect()

    run(test)


@COLOURS
@pytest.mark.parametrize("type_", ["close", "accept", "send", "receive", "connect", "groups"])
def test_a_layer_cannot_call_what_the_class_defines_for_itself(
    colour: str, layer: InMemoryChannelLayer, type_: str
) -> None:
    script: dict[str, Any] = {"connect": ACCEPT, "groups": ["room"]}

    async def test() -> str:
        client = WebsocketCommunicator(consumer(colour, script), "/")
        await client.connect()
        await layer.group_send("room", {"type": type_, "text": "x"})
        await layer.group_send("room", {"type": "room.message", "text": "still here"})
        heard = await client.receive_from()
        await client.disconnect()
        return heard

    assert run(test) == "still here"


def test_groups_default_to_a_list_of_the_instances_own() -> None:
    assert WebsocketConsumer().groups == []
    assert AsyncWebsocketConsumer("ignored", also="ignored").groups == []
    assert WebsocketConsumer().groups is not WebsocketConsumer().groups


# -- JSON ------------------------------------------------------------------


class SyncEcho(JsonWebsocketConsumer):
    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json(content, close=content == "bye")


class AsyncEcho(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(content, close=content == "bye")


JSON_COLOURS = pytest.mark.parametrize("echo", [SyncEcho, AsyncEcho])


@JSON_COLOURS
def test_json_goes_in_and_out(echo: Any) -> None:
    async def test() -> None:
        client = WebsocketCommunicator(echo, "/")
        await client.connect()
        for content in ({"a": [1, 2.5, None, "é"]}, [], "text", 0):
            await client.send_json_to(content)
            assert await client.receive_json_from() == content
        await client.send_json_to("bye")
        assert await client.receive_json_from() == "bye"
        assert (await client.receive_output())["type"] == "websocket.close"
        await client.disconnect()

    run(test)


@JSON_COLOURS
@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ({"text": ""}, "No text section for incoming WebSocket frame!"),
        ({"bytes": b"{}"}, "No text section for incoming WebSocket frame!"),
        ({"text": "{"}, "Expecting property name"),
    ],
)
def test_what_is_no_json_is_an_error(echo: Any, frame: dict[str, Any], error: str) -> None:
    async def test() -> None:
        client = WebsocketCommunicator(echo, "/")
        await client.connect()
        await client.send_input({"type": "websocket.receive", **frame})
        with pytest.raises(ValueError, match=error):
            await client.receive_output()

    run(test)


@JSON_COLOURS
def test_the_json_encoder_can_be_replaced(echo: Any) -> None:
    if echo is SyncEcho:

        class Sorted(SyncEcho):
            @classmethod
            def encode_json(cls, content: Any) -> str:
                return json.dumps(content, sort_keys=True)
    else:

        class Sorted(AsyncEcho):  # type: ignore[no-redef]
            @classmethod
            async def encode_json(cls, content: Any) -> str:
                return json.dumps(content, sort_keys=True)

    async def test() -> str:
        client = WebsocketCommunicator(Sorted, "/")
        await client.connect()
        await client.send_json_to({"b": 1, "a": 2})
        text = await client.receive_from()
        await client.disconnect()
        return text

    assert run(test) == '{"a": 2, "b": 1}'
