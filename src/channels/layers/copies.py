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


# Deeper than any message should be. Below it deepcopy goes on, which costs five
# times as much and also copies what contains itself.
_DEPTH: Final = 20


def copier(message: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return a function that makes one more copy of `message` at each call."""
    for value in message.values():
        if type(value) not in _SCALARS:
            return partial(_deep_copy, message)
    return message.copy if type(message) is dict else partial(dict, message)


def _deep_copy(message: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy_value(value, _DEPTH) for key, value in message.items()}


def _copy_value(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict and depth:
        return {key: _copy_value(item, depth - 1) for key, item in value.items()}
    if kind is list and depth:
        return [_copy_value(item, depth - 1) for item in value]
    return copy.deepcopy(value)
