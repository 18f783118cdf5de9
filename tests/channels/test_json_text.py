"""JSON through msgspec and through json: nobody can tell which it was."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.generic.json_text import dumps, loads
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.testing import WebsocketCommunicator

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1 << 63, 1 << 64, -(1 << 63) - 1])
    | st.floats()
    | st.text(st.characters())
)
keys = st.text() | st.integers() | st.floats() | st.booleans() | st.none()
contents = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


def exact(value: Any) -> str:
    """Tells 1 from 1.0 and True, and NaN from everything but itself."""
    return repr(value)


@given(contents)
def test_what_is_written_means_what_json_would_have_written(content: Any) -> None:
    assert exact(json.loads(dumps(content))) == exact(json.loads(json.dumps(content)))
    assert exact(loads(json.dumps(content))) == exact(content_after_json(content))


def content_after_json(content: Any) -> Any:
    return json.loads(json.dumps(content))


@given(st.text('0123456789eE+-.[]{}",: \\utfalsn\n', max_size=12))
def test_every_text_is_read_or_refused_as_json_does(text: str) -> None:
    assert outcome(loads, text) == outcome(json.loads, text)


def outcome(read: Any, text: str) -> Any:
    try:
        return exact(read(text))
    except ValueError as error:
        return type(error), str(error)


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


@pytest.mark.parametrize(
    "content",
    [
        {"message": "hello", "n": 1, "on": True, "none": None, "list": [1, "a"], "in": {"a": 1}},
        {"pair": (1, 2)},
        {"tab": '\t"\\/\x01'},
        {"float": 1.5},
        {"colour": Colour.RED, "text": Text("a"), 3: "three", None: 0, True: 1, 1.5: 2},
        {"nan": math.nan, "infinite": [math.inf, -math.inf]},
        {"large": 1 << 70},
        {"half": "\ud800"},
        {},
        [],
        [{"a": [{"b": []}]}],
        "text",
    ],
)
def test_texts_are_the_same_where_they_are_ascii(content: Any) -> None:
    assert dumps(content) == json.dumps(content)


def test_characters_beyond_ascii_stand_for_themselves_in_small_objects() -> None:
    assert dumps({"name": "Zoë"}) == '{"name": "Zoë"}'


@pytest.mark.parametrize(
    "content", [{"at": datetime.date(2026, 1, 1)}, {"set": {1}}, {"bytes": b"a"}, {(1, 2): 3}]
)
def test_what_json_refuses_is_refused_in_its_words(content: Any) -> None:
    with pytest.raises(TypeError) as ours:
        dumps(content)
    with pytest.raises(TypeError) as pythons:
        json.dumps(content)
    assert str(ours.value) == str(pythons.value)


@pytest.mark.parametrize("text", ["{", "", "NaN1", '{"a": 1,}', "'a'", "\ufeff{}", "[" * 100_000])
def test_what_cannot_be_read_fails_as_in_json(text: str) -> None:
    errors = (ValueError, RecursionError)
    with pytest.raises(errors) as ours:
        loads(text)
    with pytest.raises(errors) as pythons:
        json.loads(text)
    assert type(ours.value) is type(pythons.value)


class Shouting(AsyncJsonWebsocketConsumer):
    @classmethod
    async def encode_json(cls, content: Any) -> str:
        return json.dumps(content).upper()

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        return {"decoded": text_data}

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(content)


class SyncShouting(JsonWebsocketConsumer):
    @classmethod
    def encode_json(cls, content: Any) -> str:
        return json.dumps(content).upper()

    @classmethod
    def decode_json(cls, text_data: str) -> Any:
        return {"decoded": text_data}

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json(content)


@pytest.mark.parametrize("consumer", [Shouting, SyncShouting])
def test_a_codec_of_the_projects_own_always_wins(consumer: Any) -> None:
    async def test() -> str:
        async with WebsocketCommunicator(consumer, "/") as client:
            await client.connect()
            await client.send_to("x")
            return str(await client.receive_from())

    assert asyncio.run(test()) == '{"DECODED": "X"}'
