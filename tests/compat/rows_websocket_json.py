"""The JSON consumers, in both colours."""

from __future__ import annotations

import json
from typing import Any

from tests.compat.behaviours import Rows, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, drive, text

set_up_django()

from tests.compat.colours import BASES, both, consumer  # noqa: E402

row = Rows()

CLOSED = {"type": "websocket.close"}


async def answered(*events: Any, **members: Any) -> Any:
    """What a JSON consumer sends after its accept; or how it ended."""

    async def observe(colour: str) -> Any:
        kind = consumer(colour, "json", **members)
        result = await drive(kind.as_asgi(), CONNECT, *events, DISCONNECT)
        return result["sent"][1:] if result["ended"] == "returned" else result["ended"]

    return await both(observe)


def echo(self: Any, content: Any, **kwargs: Any) -> Any:
    yield self.send_json(content)


async def texts(*contents: str, **members: Any) -> Any:
    seen = await answered(*map(text, contents), receive_json=echo, **members)
    return [event["text"] for event in seen] if isinstance(seen, list) else seen


@row(upstream=['{"a": [1, 2.5, null, true]}', '"x"', "[]", "0", "null"])
async def json_goes_there_and_back() -> Any:
    return await texts('{"a":[1,2.5,null,true]}', '"x"', "[]", "0", "null")


@row(upstream=[r'"\u00e9\u20ac\ud83d\ude00"', r'"</\u2028"'])
async def text_that_is_not_ascii_is_escaped() -> Any:
    return await texts('"é€😀"', '"</\u2028"')


@row(upstream=[r'{"a": "\u00e9"}'], ours=['{"a": "é"}'])
async def an_object_with_text_that_is_not_ascii() -> Any:
    return await texts('{"a": "é"}')


@row(upstream=["NaN", "[Infinity, -Infinity]"])
async def numbers_that_json_does_not_have_go_through() -> Any:
    return await texts("NaN", "[Infinity,-Infinity]")


@row(upstream=["123456789012345678901234567890", "1e+100", "-0.0"])
async def numbers_of_any_size_go_through() -> Any:
    return await texts("123456789012345678901234567890", "1e100", "-0.0")


def sending(content: Any, **more: Any) -> Any:
    def receive_json(self: Any, _: Any, **kwargs: Any) -> Any:
        yield self.send_json(content, **more)

    return receive_json


async def sent_as(content: Any, **more: Any) -> Any:
    return await answered(text("0"), receive_json=sending(content, **more))


@row(upstream=['{"1": "int", "null": "None", "true": "bool"}', "[1, 2]", '{"b": 1, "a": 2}'])
async def how_python_values_are_encoded() -> Any:
    keys = {1: "int", None: "None", "true": "bool"}
    seen = [await sent_as(content) for content in (keys, (1, 2), {"b": 1, "a": 2})]
    return [events[0]["text"] for events in seen]


@row(upstream={"raises": "TypeError", "says": "Object of type set is not JSON serializable"})
async def what_json_cannot_say_is_an_error() -> Any:
    return await sent_as({1})


@row(
    upstream=[
        [{"type": "websocket.send", "text": "1"}, CLOSED],
        [{"type": "websocket.send", "text": "1"}, {**CLOSED, "code": 4001}],
    ]
)
async def send_json_may_close() -> Any:
    return [await sent_as(1, close=True), await sent_as(1, close=4001)]


NO_TEXT = {"raises": "ValueError", "says": "No text section for incoming WebSocket frame!"}


@row(upstream=[NO_TEXT, NO_TEXT, NO_TEXT])
async def a_message_without_text_is_an_error() -> Any:
    event = {"type": "websocket.receive"}
    return [
        await answered({**event, "text": ""}),
        await answered({**event, "bytes": b"1"}),
        await answered({**event, "text": None, "bytes": b""}),
    ]


@row(
    upstream={
        "raises": "JSONDecodeError",
        "says": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    }
)
async def text_that_is_no_json_is_an_error() -> Any:
    return await answered(text("{no"))


@row(upstream=[{"seen": [[1, {}]]}, {"seen": [[1, {"extra": 2}]]}])
async def receive_hands_its_keywords_on_to_receive_json() -> Any:
    async def observe(extra: dict[str, Any]) -> Any:
        async def of(colour: str) -> Any:
            seen: list[Any] = []

            def receive_json(self: Any, content: Any, **kwargs: Any) -> Any:
                seen.append([content, kwargs])
                return
                yield

            def receive(self: Any, text_data: Any = None, bytes_data: Any = None) -> Any:
                yield BASES["json"][colour].receive(self, text_data, bytes_data, **extra)

            kind = consumer(colour, "json", receive_json=receive_json, receive=receive)
            await drive(kind.as_asgi(), CONNECT, text("1"), DISCONNECT)
            return {"seen": seen}

        return await both(of)

    return [await observe({}), await observe({"extra": 2})]


def encode(cls: Any, content: Any) -> Any:
    return f"encoded {content}"
    yield


def decode(cls: Any, text_data: Any) -> Any:
    return f"decoded {text_data}"
    yield


@row(upstream=["encoded 1"])
async def encode_json_may_be_overridden_as_class_method() -> Any:
    return await texts("1", encode_json=classmethod(encode))


@row(upstream=["encoded 1"])
async def encode_json_may_be_overridden_as_method() -> Any:
    return await texts("1", encode_json=encode)


@row(upstream=['"decoded 1"'])
async def decode_json_may_be_overridden_as_class_method() -> Any:
    return await texts("1", decode_json=classmethod(decode))


@row(upstream=['{"a": 1}'])
async def encode_json_may_be_replaced_on_the_instance() -> Any:
    """As a package does that takes the encoder from its settings."""

    async def observe(colour: str) -> Any:
        def blocking(content: Any) -> str:
            return json.dumps({"a": content})

        async def coroutine(content: Any) -> str:
            return json.dumps({"a": content})

        def connect(self: Any) -> Any:
            self.encode_json = blocking if colour == "sync" else coroutine
            yield self.accept()

        kind = consumer(colour, "json", connect=connect, receive_json=echo)
        result = await drive(kind.as_asgi(), CONNECT, text("1"), DISCONNECT)
        return [event["text"] for event in result["sent"][1:]]

    return await both(observe)


@row(upstream={"through send": [], "sent": ["1"]})
async def send_json_passes_an_overridden_send_by() -> Any:
    """It calls that of the class above, as upstream's does."""

    async def observe(colour: str) -> Any:
        through: list[Any] = []

        def send(self: Any, text_data: Any = None, bytes_data: Any = None, close: Any = 0) -> Any:
            through.append(text_data)
            yield super(type(self), self).send(text_data, bytes_data, close)

        kind = consumer(colour, "json", send=send, receive_json=echo)
        result = await drive(kind.as_asgi(), CONNECT, text("1"), DISCONNECT)
        return {
            "through send": through,
            "sent": [event["text"] for event in result["sent"][1:]],
        }

    return await both(observe)


@row(upstream=[])
async def receive_json_does_nothing_by_default() -> Any:
    return await answered(text("1"))
