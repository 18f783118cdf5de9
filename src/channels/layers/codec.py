"""Messages as bytes, and the same messages from bytes.

What comes out equals what went in, `type(a) is type(b)` all the way down. The
format is MessagePack. A message of plain values, which most are, is looked
through in C and encoded as it is. What MessagePack does not know (a tuple, a
datetime, an integer of 70 bits) becomes an extension, and so costs extra only
where it is used.

A value that is not in the table raises a TypeError that names its place. Bytes
from elsewhere can do no harm: nothing in them is imported, called or nested
without bound, and what is wrong with them is one error, `DamagedMessage`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache, partial
from types import NoneType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import msgpack

from ..exceptions import ChannelsError, MessageTooLarge
from .kinds import Refusal, as_known, shown

# JSON from a browser that nests deeper is no message; and Python itself stops at
# 1000 frames, of which the caller has used some.
MAX_DEPTH: Final = 100

# What is immutable, and the same after any journey.
SCALARS: Final = frozenset({str, bytes, int, float, bool, NoneType})

# Far above what layers are for; the specification of channel layers asks for 1 MiB.
MAX_MESSAGE: Final = 8 << 20

_encode: Final = msgpack.Encoder().encode


class DamagedMessage(ChannelsError, ValueError):
    """Bytes that are no message of a layer: damaged, or from another version."""


def encode(message: Mapping[Any, Any]) -> bytes:
    """Return `message` as bytes.

    TypeError: a value that layers cannot carry. ValueError: nested too deep.
    """
    if type(message) is dict and _is_plain(message, MAX_DEPTH):
        try:
            return _encode(message)
        except (OverflowError, UnicodeEncodeError):
            # A large integer or half a surrogate pair: these need an extension.
            pass
    return _encode_anything(message)


def encode_message(message: Mapping[Any, Any]) -> bytes:
    """Return a message to send as bytes; as `encode`, and MessageTooLarge over the limit."""
    payload = encode(message)
    if len(payload) > MAX_MESSAGE:
        raise MessageTooLarge(
            f"A message of {len(payload)} bytes; layers carry up to {MAX_MESSAGE}. "
            "Store it elsewhere, and send where it is."
        )
    return payload


def decode(data: bytes | memoryview) -> dict[Any, Any]:
    """Return the message that was encoded as `data`; DamagedMessage if it is none."""
    try:
        message = _decoder(0).decode(data)
    except DamagedMessage:
        raise
    except (ValueError, RecursionError) as error:
        raise DamagedMessage(f"{len(data)} bytes are no layer message: {error}") from error
    if type(message) is not dict:
        raise DamagedMessage(
            f"A layer message is a dict, these bytes hold a {type(message).__name__}"
        )
    return message


# -- to bytes ----------------------------------------------------------------


def _is_plain(value: Any, depth: int) -> bool:
    """Tell whether MessagePack alone can carry a dict or list; integers are not measured."""
    kind = type(value)
    if kind is dict:
        if not SCALARS.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list:
        return False
    if SCALARS.issuperset(map(type, value)):
        return True
    if depth <= 1:
        return False
    # No generator, and no call for each scalar: twice as fast.
    for item in value:
        if type(item) not in SCALARS and not _is_plain(item, depth - 1):
            return False
    return True


def _encode_anything(message: Mapping[Any, Any]) -> bytes:
    if not isinstance(message, Mapping):
        raise TypeError(f"message is not a dict: {message!r:.60}")
    try:
        return _encode(_pack(message if isinstance(message, dict) else dict(message), MAX_DEPTH))
    except Refusal as refusal:
        raise refusal.error() from None


def _pack(value: Any, depth: int) -> Any:
    """Return `value` in terms of what MessagePack knows, and extensions."""
    kind = type(value)
    if kind is str and value.isascii():
        return value
    if kind not in _PACKERS:
        value, kind = as_known(value)
    return _PACKERS[kind](value, depth)


def _pack_itself(value: Any, depth: int) -> Any:
    return value


def _pack_str(value: str, depth: int) -> Any:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return msgpack.Ext(_TEXT, value.encode("utf-8", "surrogatepass"))
    return value


def _pack_int(value: int, depth: int) -> Any:
    if -(1 << 63) <= value < 1 << 64:
        return value
    size = value.bit_length() // 8 + 1
    return msgpack.Ext(_INT, value.to_bytes(size, "big", signed=True))


def _pack_list(value: Any, depth: int) -> list[Any]:
    _require_depth(depth)
    packed: list[Any] = []
    try:
        for item in value:
            packed.append(_pack(item, depth - 1))
    except Refusal as refusal:
        refusal.within("", f"[{len(packed)}]")
        raise
    return packed


def _pack_dict(value: dict[Any, Any], depth: int) -> Any:
    _require_depth(depth)
    items = _pack_items(value, depth)
    keys = [key if type(key) is str and key.isascii() else _pack_key(key, depth) for key in value]
    if msgpack.Ext in map(type, keys):
        return msgpack.Ext(_DICT, _encode(list(zip(keys, items, strict=True))))
    return dict(zip(keys, items, strict=True))


def _pack_key(key: Any, depth: int) -> Any:
    try:
        return _pack(key, depth - 1)
    except Refusal as refusal:
        refusal.within("a key of ")
        raise


def _pack_items(value: dict[Any, Any], depth: int) -> list[Any]:
    packed: list[Any] = []
    for key, item in value.items():
        try:
            packed.append(_pack(item, depth - 1))
        except Refusal as refusal:
            refusal.within("", f"[{shown(key)}]")
            raise
    return packed


def _pack_sequence(code: int, value: Any, depth: int) -> msgpack.Ext:
    return msgpack.Ext(code, _encode(_pack_list(value, depth)))


def _pack_set(code: int, value: Iterable[Any], depth: int) -> msgpack.Ext:
    _require_depth(depth)
    try:
        packed = [_pack(item, depth - 1) for item in value]
    except Refusal as refusal:
        refusal.within("an item of ")
        raise
    return msgpack.Ext(code, _encode(packed))


def _pack_leaf(code: int, to_bytes: Callable[[Any], bytes], value: Any, depth: int) -> msgpack.Ext:
    return msgpack.Ext(code, to_bytes(value))


def _require_depth(depth: int) -> None:
    if depth < 1:
        says = f"is nested deeper than {MAX_DEPTH} levels"
        raise Refusal(ValueError, says, "Does it contain itself? Send it flat, or send its id")


# -- points in time ----------------------------------------------------------


def _pack_moment(code: int, value: datetime | time, depth: int) -> msgpack.Ext:
    zone = value.tzinfo
    key = name = None
    if type(zone) is ZoneInfo and zone.key:
        key = zone.key
    elif type(zone) is timezone:
        name = _given_name(zone)
    elif zone is not None:
        says = f"has the time zone {shown(zone)}, which layers cannot carry"
        raise Refusal(TypeError, says, "Use UTC, a fixed offset or a named zoneinfo.ZoneInfo")
    return msgpack.Ext(code, _encode((value.isoformat(), value.fold, key, name)))


def _given_name(zone: timezone) -> str | None:
    name = zone.tzname(None)
    return name if name != timezone(zone.utcoffset(None)).tzname(None) else None


def _revive_moment(kind: type[datetime] | type[time], data: memoryview) -> datetime | time:
    text, fold, key, name = msgpack.decode(data)
    moment = kind.fromisoformat(text)
    zone = moment.tzinfo
    if key is not None:
        zone = ZoneInfo(key)
    elif name is not None:
        zone = timezone(moment.utcoffset() or timedelta(), name)
    return moment.replace(tzinfo=zone, fold=fold)


# -- extensions ---------------------------------------------------------------

# What stands for each kind on the wire. Never use a number for something else.
_DICT: Final = 1
_TUPLE: Final = 2
_SET: Final = 3
_FROZENSET: Final = 4
_INT: Final = 5
_TEXT: Final = 6
_BYTEARRAY: Final = 7
_DATETIME: Final = 8
_DATE: Final = 9
_TIME: Final = 10
_TIMEDELTA: Final = 11
_UUID: Final = 12
_DECIMAL: Final = 13
_COMPLEX: Final = 14


def _iso_bytes(value: date) -> bytes:
    return value.isoformat().encode("ascii")


def _ascii(data: memoryview) -> str:
    return str(data, "ascii")


_PACKERS: Final[dict[type, Callable[[Any, int], Any]]] = {
    str: _pack_str,
    int: _pack_int,
    float: _pack_itself,
    bool: _pack_itself,
    NoneType: _pack_itself,
    bytes: _pack_itself,
    dict: _pack_dict,
    list: _pack_list,
    tuple: partial(_pack_sequence, _TUPLE),
    set: partial(_pack_set, _SET),
    frozenset: partial(_pack_set, _FROZENSET),
    bytearray: partial(_pack_leaf, _BYTEARRAY, bytes),
    datetime: partial(_pack_moment, _DATETIME),
    time: partial(_pack_moment, _TIME),
    date: partial(_pack_leaf, _DATE, _iso_bytes),
    timedelta: partial(
        _pack_leaf,
        _TIMEDELTA,
        lambda value: _encode((value.days, value.seconds, value.microseconds)),
    ),
    UUID: partial(_pack_leaf, _UUID, lambda value: value.bytes),
    Decimal: partial(_pack_leaf, _DECIMAL, lambda value: str(value).encode("ascii")),
    complex: partial(_pack_leaf, _COMPLEX, lambda value: _encode((value.real, value.imag))),
}

_LEAVES: Final[dict[int, Callable[[memoryview], Any]]] = {
    _INT: partial(int.from_bytes, byteorder="big", signed=True),
    _TEXT: lambda data: str(data, "utf-8", "surrogatepass"),
    _BYTEARRAY: bytearray,
    _DATETIME: partial(_revive_moment, datetime),
    _TIME: partial(_revive_moment, time),
    _DATE: lambda data: date.fromisoformat(_ascii(data)),
    _TIMEDELTA: lambda data: timedelta(*msgpack.decode(data)),
    _UUID: lambda data: UUID(bytes=bytes(data)),
    _DECIMAL: lambda data: Decimal(_ascii(data)),
    _COMPLEX: lambda data: complex(*msgpack.decode(data)),
}

_CONTAINERS: Final[dict[int, Callable[[Any], Any]]] = {
    _DICT: dict,
    _TUPLE: tuple,
    _SET: set,
    _FROZENSET: frozenset,
}


# -- from bytes ----------------------------------------------------------------

# The last two: a time zone that this machine has not, or whose name is a folder of it.
_CONSTRUCTORS_RAISE: Final = (
    ValueError,
    TypeError,
    ArithmeticError,
    RecursionError,
    LookupError,
    OSError,
)


@cache
def _decoder(depth: int) -> msgpack.Decoder[Any]:
    """The decoder of extensions within `depth` others."""
    return msgpack.Decoder(ext_hook=partial(_revive, depth))


def _revive(depth: int, code: int, data: memoryview) -> Any:
    try:
        if code in _CONTAINERS:
            return _revive_container(depth, code, data)
        if code in _LEAVES:
            return _LEAVES[code](data)
    except DamagedMessage:
        raise
    except _CONSTRUCTORS_RAISE as error:
        raise DamagedMessage(f"Extension {code} of a layer message is damaged: {error}") from error
    raise DamagedMessage(f"A layer message has an extension {code}, which is unknown")


def _revive_container(depth: int, code: int, data: memoryview) -> Any:
    if depth >= MAX_DEPTH:
        raise DamagedMessage(f"A layer message is nested deeper than {MAX_DEPTH} levels")
    items = _decoder(depth + 1).decode(data)
    if type(items) is not list:
        raise DamagedMessage(f"Extension {code} of a layer message holds no list")
    return _CONTAINERS[code](items)
