"""From a message's type to the method that handles it, and who may address which.

`websocket.receive` goes to `websocket_receive`. The server may name any method; a
channel layer, which others can write to, only those that a project's own class
defines for itself.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from .exceptions import UnknownMessageType
from .types import Message

# The method of a consumer that hears of gaps in what its layer delivered. Layers
# call it by themselves; no message can.
ON_RECONNECT: Final = "layer_reconnected"
# The client's protocols speak to consumers through the server alone.
PROTOCOL_EVENTS: Final = ("websocket_", "http_", "lifespan_")
# What instances of our classes are given, besides what the classes define, and
# what we call on them without a message.
OWN_ATTRIBUTES: Final = frozenset({"base_send", "channel_receive", ON_RECONNECT})
# Types remembered per class as open to layers; past it they are looked at anew.
REMEMBERED_TYPES: Final = 1024
# No method has a longer name; what comes over a layer may be a stranger's text.
LONGEST_TYPE: Final = 200


@functools.lru_cache(maxsize=1024)
def handler_name(type_: Any) -> str:
    """Return the name that `type_` stands for; UnknownMessageType, or TypeError if it is no str."""
    if not isinstance(type_, str):
        raise TypeError
    name = type_.replace(".", "_")
    if name.startswith("_"):
        raise UnknownMessageType("Malformed type in message (leading underscore)")
    if name == ON_RECONNECT:
        raise UnknownMessageType(f"{type_!r} is no type to send: the layer calls {ON_RECONNECT}()")
    return name


def get_handler_name(message: Message) -> str:
    """Return the name of the method that handles `message`: its type, dots as underscores.

    ValueError where the type is missing, no str, or would name a private method.
    """
    try:
        return handler_name(message["type"])
    except KeyError:
        raise UnknownMessageType("Incoming message has no 'type' attribute") from None
    except TypeError:
        raise UnknownMessageType(
            f"The type of a message is a str, but came {message['type']!r:.80}"
        ) from None


@functools.lru_cache(maxsize=1024)
def types_open_to_layers(owner: Any) -> set[str]:
    """The message types that layers may send to consumers of this class, as far as seen."""
    return set()


def check_open_to_layers(owner: Any, type_: Any) -> None:
    """Raise UnknownMessageType unless a layer may address the handler of this type.

    Whoever can write to a layer must not call what our classes define for
    themselves (`close`, `dispatch`, `send`...), nor speak for the client.
    """
    name = type_.replace(".", "_") if isinstance(type_, str) else ""
    if not name or len(name) > LONGEST_TYPE:
        raise UnknownMessageType(f"{type_!r:.80} is no type for layers to send")
    if name.startswith(PROTOCOL_EVENTS):
        raise UnknownMessageType(
            f"{type_!r} is no type for layers to send: the server alone says what a client did. "
            "Name the message, and its handler, otherwise"
        )
    ours = (base for base in owner.__mro__ if f"{base.__module__}.".startswith("channels."))
    if name in OWN_ATTRIBUTES or any(name in vars(base) for base in ours):
        raise UnknownMessageType(
            f"{type_!r} is no type for layers to send: {name} is a name of Channels itself. Send "
            f"{{'type': 'push.message', ...}}, say, and write push_message(self, event)"
        )
    seen = types_open_to_layers(owner)
    if len(seen) < REMEMBERED_TYPES and callable(getattr(owner, name, None)):
        seen.add(type_)
