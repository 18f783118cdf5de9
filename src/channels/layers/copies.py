"""Copies of a message, so that receivers who change theirs never see each other's.

What it costs decides how: a message whose values are all immutable scalars is
copied with one `dict.copy`, 60 ns. Anything else is copied anew for each
receiver, down to what is immutable.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Any, Final

_SCALARS: Final = frozenset({str, bytes, int, float, complex, bool, NoneType})


def copier(message: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return a function that makes one more copy of `message` at each call."""
    for value in message.values():
        if type(value) not in _SCALARS:
            return partial(_deep_copy, message)
    return message.copy if type(message) is dict else partial(dict, message)


def _deep_copy(message: dict[str, Any]) -> dict[str, Any]:
    try:
        return {key: _copy_value(value) for key, value in message.items()}
    except RecursionError:
        # It contains itself; deepcopy keeps track of that, at five times the cost.
        return copy.deepcopy(message)


def _copy_value(value: Any) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        return {key: _copy_value(item) for key, item in value.items()}
    if kind is list:
        return [_copy_value(item) for item in value]
    return copy.deepcopy(value)
