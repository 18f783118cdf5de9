"""What a value counts as for a layer, and why another value is refused.

A value of a subclass travels as its base: SafeString as str, a member of
TextChoices as its value, OrderedDict as dict. A lazy string travels as the text it
is now. Of anything else a layer does not know what its receiver would need, and
says so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

_PLACE_LENGTH: Final = 200


class Refusal(Exception):
    """A value that cannot be carried; gathers its place on the way out."""

    def __init__(self, kind: type[Exception], says: str, then: str) -> None:
        self.kind = kind
        self.says = says
        self.then = then
        self._steps: list[tuple[str, str]] = []

    def within(self, before: str, after: str = "") -> None:
        """Note a step further out: the place of what contains the value stands between."""
        self._steps.append((before, after))

    def error(self) -> Exception:
        """The error to raise, which names the place: `message['a'][0] is a Foo, ...`."""
        place = "message"
        for before, after in reversed(self._steps):
            place = f"{before}{place}{after}"
        if len(place) > _PLACE_LENGTH:
            place = f"{place[:_PLACE_LENGTH]}..."
        return self.kind(f"{place} {self.says}. {self.then}.")


def as_known(value: Any) -> tuple[Any, type]:
    """Return a value of another kind as one of a known kind, and that kind; else Refusal."""
    # Not isinstance(): lazy objects of Django say they are what they would load.
    kind = type(value)
    for base, reduce in _BASES.items():
        if issubclass(kind, base):
            return reduce(value), base
    if _is_lazy_text(kind):
        return str.__str__(str(value)), str
    raise _refusal(value, kind)


def shown(value: Any) -> str:
    """A short repr that never raises."""
    try:
        return f"{value!r:.60}"
    except Exception as error:
        return f"<its repr raises {type(error).__name__}>"


def _is_lazy_text(kind: type) -> bool:
    # Without importing Django: where it has not been imported, nothing of it can come.
    functional = sys.modules.get("django.utils.functional")
    # A lazy string has the methods of str on its class; other lazy values have not.
    return (
        functional is not None
        and issubclass(kind, functional.Promise)
        and hasattr(kind, "casefold")
    )


def _refusal(value: Any, kind: type) -> Refusal:
    says = f"is a {kind.__name__}, which layers cannot carry"
    if not hasattr(kind, "__iter__") and not hasattr(kind, "pk"):
        # To show a query would run it, and to show a model may need another query.
        says += f": {shown(value)}"
    return Refusal(TypeError, says, _advice(kind))


def _advice(kind: type) -> str:
    if hasattr(kind, "pk"):
        return "Send its id, and load it anew in the handler"
    if issubclass(kind, Enum):
        return "Send its value"
    if issubclass(kind, memoryview):
        return "Send bytes() of it"
    return "Send its id, or what of it the handler needs as str, number, list or dict"


def _plain_time(value: time) -> time:
    return time(
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        fold=value.fold,
    )


def _plain_date(value: date) -> date:
    return date(value.year, value.month, value.day)


# What a subclass holds, whatever it shows: its own methods may show something else.
# datetime before date, which it is a subclass of.
_BASES: Final[dict[type, Callable[[Any], Any]]] = {
    str: str.__str__,
    dict: lambda value: dict(dict.items(value)),
    int: int.__index__,
    float: float.__float__,
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    bytes: bytes.__bytes__,
    bytearray: lambda value: bytearray(memoryview(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    datetime: lambda value: datetime.combine(_plain_date(value), datetime.timetz(value)),
    date: _plain_date,
    time: _plain_time,
    timedelta: lambda value: timedelta(value.days, value.seconds, value.microseconds),
    UUID: lambda value: UUID(int=value.int),
    Decimal: Decimal,
    complex: lambda value: complex(value.real, value.imag),
}
