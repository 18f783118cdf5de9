"""What each receiver of a message gets: a copy of its own, as if it had come by wire.

Every layer hands over what the codec would make of the message, also where it
crosses to no other process: what cannot be carried is told in development too, and
receivers who change their copy never see each other's.

A message whose values are all immutable scalars is copied with one `dict.copy`,
60 ns. Others are decoded anew for each receiver, three times as fast as copying in
Python; but not large ones, whose texts would then be in memory once per receiver.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from .codec import MAX_MESSAGE, SCALARS, decode, encode_message

# Bytes of a message from which on its receivers share what is immutable in it.
LARGE: Final = 16 << 10


# Makes what one more receiver gets.
Copier = Callable[[], dict[str, Any]]


def copy_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return what the only receiver of `message` gets; raises as `encode_message` does."""
    return message.copy() if _is_flat(message) else decode(encode_message(message))


def copier(message: dict[str, Any]) -> Copier:
    """Return a function that makes what one more receiver gets.

    Raises as `encode_message` does.
    """
    if _is_flat(message):
        return message.copy
    payload = encode_message(message)
    # Not decoded before somebody gets it.
    return partial(decode, payload) if len(payload) <= LARGE else copier_of(payload)


def copier_of(payload: bytes | memoryview) -> Copier:
    """As `copier`, of a message that came as bytes; DamagedMessage if it is none."""
    message = decode(payload)
    if _is_flat(message):
        return message.copy
    return partial(decode, payload) if len(payload) <= LARGE else partial(_deep_copy, message)


def _is_flat(message: dict[str, Any]) -> bool:
    """Whether a shallow copy is a deep one, and as small as it looks."""
    if type(message) is not dict or not SCALARS.issuperset(map(type, message)):
        return False
    if len(message) > MAX_MESSAGE // (4 * LARGE):
        # So many that it may be over the limit: it is encoded, and measured.
        return False
    for value in message.values():
        kind = type(value)
        if kind not in SCALARS or ((kind is str or kind is bytes) and len(value) > LARGE):
            return False
    return True


def _deep_copy(value: Any) -> Any:
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is dict:
        return {key: _deep_copy(item) for key, item in value.items()}
    if kind is list:
        return [_deep_copy(item) for item in value]
    return copy.deepcopy(value)
