"""Messages as bytes: what comes out equals what went in, to the types of the last value."""

from __future__ import annotations

import enum
import io
import math
import struct
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import models
from django.http import QueryDict
from django.utils import translation
from django.utils.functional import SimpleLazyObject, lazy
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, ngettext_lazy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from channels.exceptions import ChannelsError
from channels.layers.codec import MAX_DEPTH, DamagedMessage, decode, encode


def there_and_back(value: Any) -> Any:
    return decode(encode({"type": "x", "value": value}))["value"]


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down; NaN is NaN, and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=False)
        return len(a) == len(b) and all(same(x, y) for x, y in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, float):
        return math.copysign(1, a) == math.copysign(1, b) and (a == b or (a != a and b != b))
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, (datetime, time)):
        return same_zone(a, b) and a.replace(tzinfo=None) == b.replace(tzinfo=None)
    return bool(a == b)


def same_zone(a: Any, b: Any) -> bool:
    if isinstance(a.tzinfo, ZoneInfo):
        zones = isinstance(b.tzinfo, ZoneInfo) and a.tzinfo.key == b.tzinfo.key
    else:
        zones = a.tzinfo == b.tzinfo and a.tzname() == b.tzname()
    return bool(zones and a.fold == b.fold)


# Fifty times as many found nothing more. The machine's load is not what is tested.
few = settings(max_examples=25, deadline=None, database=None)

PARIS = ZoneInfo("Europe/Paris")
CET = timezone(timedelta(hours=1), "CET")
ODD = timezone(-timedelta(hours=3, minutes=7, seconds=5, microseconds=9))

zones = st.one_of(
    st.none(),
    st.sampled_from([UTC, CET, ODD, PARIS, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata")]),
)
moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=zones)
hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 70), max_value=1 << 70),
    st.floats(allow_nan=False),
    st.text(),
    st.text(st.characters(codec=None, categories=["Cs", "Lu"])),
    st.binary(max_size=30),
    moments,
    st.dates(),
    st.times(timezones=zones),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
)
leaves = st.one_of(
    hashable_leaves,
    st.binary(max_size=30).map(bytearray),
    st.just(math.nan),
    st.just(Decimal("NaN")),
    st.complex_numbers(),
)
keys = st.recursive(
    hashable_leaves,
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(keys, max_size=3),
        st.frozensets(keys, max_size=3),
    ),
    max_leaves=12,
)


@few
@given(st.dictionaries(st.one_of(st.text(), keys), values, max_size=4))
def test_every_message_comes_back_as_it_was(message: dict[Any, Any]) -> None:
    once = decode(encode(message))
    assert same(once, message)
    assert same(decode(encode(once)), once)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        (1 << 64) - 1,
        1 << 64,
        -(1 << 63),
        -(1 << 63) - 1,
        10**5000,
        -(1 << 71),
        0.1,
        -0.0,
        math.inf,
        math.nan,
        "",
        "snö",
        "half a pair \ud83d",
        b"\x00\xff",
        bytearray(b"ab"),
        [],
        (),
        set(),
        frozenset(),
        {},
        [(1, [2, (3,)])],
        {1: "int", True + 1: "two", (1, 2): "tuple", None: 0, b"k": 1, frozenset({1}): 2},
        {(1, (2, "\ud800")): {3, (4,)}},
        {1 << 80: 1},
        {"a": {"b": [{"c": {1, 2}}]}},
        datetime(2024, 2, 29, 12, 30, 1, 5),
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(2024, 2, 29, tzinfo=CET),
        datetime(2024, 2, 29, tzinfo=ODD),
        datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=1),
        datetime(2024, 10, 27, 2, 30, fold=1),
        datetime.min,
        datetime.max,
        date(1, 1, 1),
        time(1, 2, 3, 4),
        time(1, 2, tzinfo=CET),
        time(1, 2, tzinfo=PARIS, fold=1),
        timedelta.min,
        timedelta(microseconds=-1),
        UUID(int=5),
        Decimal("1.10"),
        Decimal("-0E+7"),
        Decimal("sNaN"),
        Decimal("1E+999999"),
        1 + 2j,
        complex(-0.0, math.inf),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(there_and_back(value), value)


def test_utc_comes_back_as_the_same_object() -> None:
    assert there_and_back(datetime(2024, 1, 1, tzinfo=UTC)).tzinfo is UTC
    assert there_and_back(datetime(2024, 1, 1, tzinfo=PARIS)).tzinfo is PARIS


def test_a_message_of_plain_values_is_ordinary_messagepack() -> None:
    message = {"type": "chat", "data": {"list": [1, 2.5, None, {"deep": True}], 7: b"x"}}
    assert msgpack.decode(encode(message)) == message


def test_a_memoryview_is_decoded_too() -> None:
    message = {"type": "x", "items": (1, {2})}
    framed = memoryview(b"head" + encode(message))
    assert decode(framed[4:]) == message


# -- kinds that become another -----------------------------------------------


class Number(enum.IntEnum):
    ONE = 1


class Colour(models.TextChoices):
    RED = "r", "Red"


class Loud(str):
    def __str__(self) -> str:
        return "LOUD"


class Frozen(datetime):
    def isoformat(self, *args: Any) -> str:
        return "never"


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (mark_safe("<b>"), "<b>"),
        (Colour.RED, "r"),
        (Number.ONE, 1),
        (Loud("quiet"), "quiet"),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[Number.ONE]), {"a": [1]}),
        (QueryDict("a=1&a=2"), {"a": ["1", "2"]}),
        (Point(1, 2), (1, 2)),
        (Frozen(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)),
        ({Colour.RED: 1}, {"r": 1}),
        ({Number.ONE}, {1}),
        (type("Float", (float,), {})(1.5), 1.5),
        (type("Bytes", (bytes,), {})(b"a"), b"a"),
        (type("Array", (bytearray,), {})(b"a"), bytearray(b"a")),
        (type("Set", (set,), {})({1}), {1}),
        (type("Frozenset", (frozenset,), {})({1}), frozenset({1})),
        (type("Date", (date,), {})(2024, 1, 2), date(2024, 1, 2)),
        (type("Time", (time,), {})(1, tzinfo=CET, fold=1), time(1, tzinfo=CET, fold=1)),
        (type("Delta", (timedelta,), {})(1), timedelta(1)),
        (type("Uuid", (UUID,), {})(int=3), UUID(int=3)),
        (type("Money", (Decimal,), {})("1.10"), Decimal("1.10")),
        (type("Complex", (complex,), {})(1), 1 + 0j),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_a_subclass_becomes_its_base(value: Any, becomes: Any) -> None:
    assert same(there_and_back(value), becomes)


def test_a_lazy_string_becomes_the_text_it_is_now() -> None:
    with translation.override("de"):
        data = encode({"type": "x", "text": gettext_lazy("Monday"), gettext_lazy("May"): 1})
    assert decode(data) == {"type": "x", "text": "Montag", "Mai": 1}


def test_a_lazy_plural_with_its_number_becomes_text() -> None:
    value = ngettext_lazy("%d bird", "%d birds") % 2
    assert there_and_back(value) == "2 birds"


def test_any_mapping_is_a_message() -> None:
    assert decode(encode(MappingProxyType({"type": "x"}))) == {"type": "x"}
    assert decode(encode(OrderedDict(type="x"))) == {"type": "x"}


def test_django_is_not_imported_for_it() -> None:
    program = (
        "import sys; sys.modules['django'] = None\n"
        "import importlib.util, types\n"
        "package = types.ModuleType('channels.layers')\n"
        "import channels\n"
        "package.__path__ = [channels.__path__[0] + '/layers']\n"
        "sys.modules['channels.layers'] = package\n"
        "from channels.layers.codec import encode, decode\n"
        "print(decode(encode({'a': (1,)})))\n"
        "try: encode({'a': object})\n"
        "except TypeError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "{'a': (1,)}\nrefused\n", done.stderr


# -- what cannot be carried -----------------------------------------------------


class Foo:
    def __repr__(self) -> str:
        return "<Foo of a long story" + "!" * 100 + ">"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Plain(enum.Enum):
    A = 1


class OddZone(tzinfo):
    def utcoffset(self, moment: Any) -> timedelta:
        return timedelta(0)

    def dst(self, moment: Any) -> None:
        return None

    def tzname(self, moment: Any) -> str:
        return "odd"


def nameless_zone() -> ZoneInfo:
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    kind = struct.pack(">lbb", 3600, 0, 0)
    return ZoneInfo.from_file(io.BytesIO(b"TZif" + bytes(16) + counts + kind + b"XYZ\0"))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"a": [Foo()]}, "message['a'][0] is a Foo, which layers cannot carry: <Foo of a long"),
        ({"a": {"b": (1, {2: Foo()})}}, "message['a']['b'][1][2] is a Foo"),
        ({"a": {1, Foo()}}, "an item of message['a'] is a Foo"),
        ({"a": {Foo(): 1}}, "a key of message['a'] is a Foo"),
        ({"a": {(1, Foo()): 1}}, "a key of message['a'][1] is a Foo"),
        ({Foo(): 1}, "a key of message is a Foo"),
        ({"a": Broken()}, "is a Broken, which layers cannot carry: <its repr raises RuntimeError>"),
        ({"user": User(pk=1)}, "message['user'] is a User, which layers cannot carry. Send its id"),
        ({"a": memoryview(b"x")}, "is a memoryview, which layers cannot carry. Send bytes() of"),
        ({"a": Plain.A}, "is a Plain, which layers cannot carry. Send its value."),
        ({"a": deque([1])}, "is a deque, which layers cannot carry. Send its id, or what of it"),
        ({"a": lambda: 1}, "message['a'] is a function"),
        ({"a": Foo}, "message['a'] is a type"),
        ({"a": lazy(lambda: 5, int)()}, "message['a'] is a __proxy__"),
        ({"a": datetime(2024, 1, 1, tzinfo=OddZone())}, "message['a'] has the time zone <"),
        ({"a": datetime(2024, 1, 1, tzinfo=nameless_zone())}, "has the time zone zoneinfo.Zone"),
        ({"a": range(3)}, "message['a'] is a range"),
        ({10**5000: Foo()}, "message[<its repr raises ValueError>] is a Foo"),
        ([1], "message is not a dict: [1]"),
        (None, "message is not a dict: None"),
    ],
)
def test_what_cannot_be_carried_is_named_with_its_place(message: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        encode(message)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_lazy_object_is_neither_loaded_nor_taken_for_what_it_would_load() -> None:
    def load() -> str:
        raise AssertionError("loaded")

    with pytest.raises(TypeError, match="message\\['user'\\] is a SimpleLazyObject"):
        encode({"type": "x", "user": SimpleLazyObject(load)})


def test_a_query_is_refused_without_being_run() -> None:
    # There is no database here: to run it would raise another error.
    with pytest.raises(TypeError, match=r"message\['users'\] is a QuerySet"):
        encode({"type": "x", "users": User.objects.using("nowhere").all()})


def nested(levels: int, within: Any = list) -> Any:
    value: Any = within()
    for _ in range(levels - 1):
        value = within([value])
    return value


@pytest.mark.parametrize("within", [list, tuple])
def test_a_message_may_nest_to_the_limit_and_not_deeper(within: Any) -> None:
    message = {"a": nested(MAX_DEPTH - 1, within)}
    assert same(decode(encode(message)), message)
    with pytest.raises(ValueError, match=r"^message\['a'\]\[0\]\[0\].* is nested deeper than 100"):
        encode({"a": nested(MAX_DEPTH, within)})


def test_what_contains_itself_is_one_plain_sentence() -> None:
    message: dict[str, Any] = {"type": "x"}
    message["me"] = message
    with pytest.raises(ValueError, match="Does it contain itself") as caught:
        encode(message)
    assert len(str(caught.value)) < 400
    again: list[Any] = []
    again.extend([again, again])
    with pytest.raises(ValueError, match="Does it contain itself"):
        encode({"a": again})


# -- bytes from elsewhere ----------------------------------------------------------


def extension(code: int, data: bytes) -> bytes:
    return msgpack.encode({"a": msgpack.Ext(code, data)})


def pack(*values: Any) -> bytes:
    return msgpack.encode(values)


def tuples(levels: int) -> bytes:
    data = msgpack.encode([])
    for _ in range(levels):
        data = msgpack.encode([msgpack.Ext(2, data)])
    return extension(2, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xa1\xff",
        b"\x81\xa1\xff\x01",
        b"\x01",
        b"\x90",
        msgpack.encode("text"),
        encode({"a": 1})[:-1],
        encode({"a": 1}) + b"\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 1_000_000,
        b"\x81\x80\x01",
        extension(0, b""),
        extension(99, b""),
        extension(-7, b""),
        extension(1, pack(1)),
        extension(1, pack(("a", 1, 2))),
        extension(1, pack(([], 1))),
        extension(2, b""),
        extension(2, msgpack.encode(5)),
        extension(2, msgpack.encode("text")),
        extension(3, pack([])),
        extension(4, pack({})),
        extension(6, b"\xff"),
        extension(8, b""),
        extension(8, pack("yesterday", 0, None, None)),
        extension(8, pack("2024-01-01", 7, None, None)),
        extension(8, pack("2024-01-01", 0, "No/Where", None)),
        extension(8, pack("2024-01-01", 0, "../../etc/passwd", None)),
        extension(8, pack("2024-01-01", 0, "/etc/passwd", None)),
        extension(8, pack("2024-01-01", 0, "Europe", None)),
        extension(8, pack("2024-01-01", 0, 5, None)),
        extension(8, pack("2024-01-01", 0, None, 5)),
        extension(8, pack(1, 2, 3)),
        extension(9, b"2024-13-01"),
        extension(9, b"\xff"),
        extension(10, pack("25:00", 0, None, None)),
        extension(11, pack(10**12, 0, 0)),
        extension(11, pack("a", 0, 0)),
        extension(11, msgpack.encode(5)),
        extension(12, b"short"),
        extension(13, b"ten"),
        extension(13, b"1e9999999999999999999999"),
        extension(14, pack("1", "2")),
        tuples(MAX_DEPTH),
        tuples(1000),
    ],
    ids=lambda data: data[:24].hex(),
)
def test_damaged_bytes_are_one_error(data: bytes) -> None:
    with pytest.raises(DamagedMessage) as caught:
        decode(data)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ChannelsError)


@few
@given(st.binary(max_size=200))
@example(b"\x81\x01\xd6\xff\x00\x00\x00\x00")
def test_any_bytes_are_a_message_or_damaged(data: bytes) -> None:
    try:
        message = decode(data)
    except DamagedMessage:
        return
    assert same(decode(encode(message)), message)


@few
@given(st.dictionaries(keys, values, max_size=3), st.data())
def test_a_message_with_a_changed_byte_is_a_message_or_damaged(
    message: dict[Any, Any], data: st.DataObject
) -> None:
    raw = bytearray(encode(message))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    try:
        assert type(decode(bytes(raw))) is dict
    except DamagedMessage:
        return
