"""What WebSocket consumers say and hear, as values; both colours share it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, Final

from ..exceptions import InvalidChannelLayerError
from ..layers import how_to_set_a_layer
from ..types import Header, Message

# RFC 6455 7.4.1: a type of data that the endpoint cannot accept.
UNSUPPORTED_DATA: Final = 1003


def accept_event(subprotocol: str | None, headers: Iterable[Header] | None) -> Message:
    event: Message = {"type": "websocket.accept", "subprotocol": subprotocol}
    if headers:
        event["headers"] = list(headers)
    return event


def send_event(text_data: str | None, bytes_data: bytes | None) -> Message:
    if text_data is not None:
        return {"type": "websocket.send", "text": text_data}
    if bytes_data is not None:
        return {"type": "websocket.send", "bytes": bytes_data}
    raise ValueError("You must pass one of bytes_data or text_data")


def close_event(code: int | bool | None, reason: str | None) -> Message:
    event: Message = {"type": "websocket.close"}
    if code is not None and code is not True:
        event["code"] = code
    if reason:
        event["reason"] = reason
    return event


def received(message: Message) -> dict[str, Any]:
    """The one keyword that `receive` gets for a frame."""
    text = message.get("text")
    if text is not None:
        return {"text_data": text}
    return {"bytes_data": message["bytes"]}


def check_groups_supported(layer: Any, alias: str) -> None:
    if layer is not None and hasattr(layer, "group_add"):
        return
    # Projects match on this beginning.
    says = "BACKEND is unconfigured or doesn't support groups"
    if layer is None:
        raise InvalidChannelLayerError(f"{says}. {how_to_set_a_layer(alias)}")
    raise InvalidChannelLayerError(f"{says}: {type(layer).__name__} has no group_add().")


def takes_event(method: Callable[..., Any]) -> bool:
    """Whether `connect` was written with a parameter for the event, as Channels 2 had it."""
    function = getattr(method, "__func__", None)
    # What is no method written with `def`, a mock or a partial, is called as ever.
    return type(function) is FunctionType and _wants_more(function)


def takes_bytes(method: Callable[..., Any]) -> bool:
    """Whether `receive` can be given `bytes_data`."""
    function = getattr(method, "__func__", None)
    return type(function) is not FunctionType or _takes_keyword(function, "bytes_data")


# A decorator's own parameters count, not those of what it wraps: they are what is called.


@functools.lru_cache(maxsize=1024)
def _wants_more(function: FunctionType) -> bool:
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    return any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
        for parameter in list(parameters)[1:]
    )


@functools.lru_cache(maxsize=1024)
def _takes_keyword(function: FunctionType, keyword: str) -> bool:
    parameters = inspect.signature(function, follow_wrapped=False).parameters
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
