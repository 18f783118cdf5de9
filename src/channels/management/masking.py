"""Configuration as people may see it: secrets masked, and of values that JSON can say."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

MASK: Final = "********"

_SECRET: Final = "pass|pwd|secret|token|key|credential"
_SECRET_NAME: Final = re.compile(_SECRET, re.IGNORECASE)
# The password of `scheme://user:password@host`: up to the last @, since it may hold others.
_IN_URL: Final = re.compile(r"(://[^/@\s:]*:)\S*@")
# `?password=...` in a URL, `password=... user=...` in a connection string.
_ASSIGNED: Final = re.compile(rf"(\w*(?:{_SECRET})\w*\s*=\s*)('[^']*'|[^\s&;]+)", re.IGNORECASE)


def masked(value: Any) -> Any:
    """Return `value` without what its names and URLs say is secret."""
    if isinstance(value, Mapping):
        return {_name(key): _value_of(key, value[key]) for key in value}
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | os.PathLike):
        return _text(str(value))
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [masked(item) for item in value]
    # Its repr might show anything.
    return f"<{type(value).__name__}>"


def _value_of(key: Any, value: Any) -> Any:
    is_secret = value is not None and _SECRET_NAME.search(_name(key))
    return MASK if is_secret else masked(value)


def _name(key: Any) -> str:
    # Capacities may be given by compiled patterns.
    return key.pattern if isinstance(key, re.Pattern) else str(key)


def _text(text: str) -> str:
    return _ASSIGNED.sub(rf"\1{MASK}", _IN_URL.sub(rf"\1{MASK}@", text))
