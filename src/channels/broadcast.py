"""The fast lane: a group message rendered once per process, not once per socket.

    class ChatConsumer(AsyncWebsocketConsumer):
        @broadcast
        def chat_message(cls, event):
            return json.dumps({"text": event["text"]})

What the function returns goes to every member of the group: the same bytes,
framed once. It sees the class and the event, so it must be the same for all; it
does no I/O. Where the fast lane is not open to a consumer (behind a middleware
that wraps `send`, on another server or layer, or where the class overrides how it
sends) the same function runs as an ordinary handler, with the same result.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from .generic.json_text import dumps
from .mailbox import SharedMessage
from .types import Message

# Overriding any of these means that a consumer has its own say in what is sent.
SENDING_METHODS: Final = ("dispatch", "send", "base_send", "encode_json")
# The classes whose own definitions of these the fast lane stands for.
OWN_MODULES: Final = ("channels.consumer", "channels.generic.websocket")


class broadcast:
    """Make a handler of group messages that renders once for all members.

    The function takes `(cls, event)` and returns what to send: a str (a text
    frame), bytes (a binary frame), None (nothing), or anything else that JSON can
    say.
    """

    def __init__(self, function: Callable[[type[Any], Message], Any]) -> None:
        if isinstance(function, (classmethod, staticmethod)):
            raise TypeError(
                f"@broadcast gives {function.__qualname__} the class by itself: "
                f"remove @{type(function).__name__}."
            )
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                f"@broadcast renders {function.__qualname__} once for all members, without "
                "waiting: write it with `def`, and do what must be awaited before group_send."
            )
        parameters = list(inspect.signature(function).parameters)
        if len(parameters) != 2 or parameters[0] == "self":
            raise TypeError(
                f"@broadcast calls {function.__qualname__} once for all members, so there is no "
                f"instance: expected the parameters (cls, event), got ({', '.join(parameters)})."
            )
        self.function = function
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    def render(self, owner: type[Any], event: Message) -> SharedMessage | None:
        content = self.function(owner, event)
        if content is None:
            return None
        if isinstance(content, (bytes, bytearray)):
            return SharedMessage(None, bytes(content))
        return SharedMessage(content if isinstance(content, str) else dumps(content), None)

    def __get__(self, instance: Any, owner: type[Any]) -> Callable[[Message], Any]:
        if instance is None:
            return functools.partial(self.function, owner)
        if isinstance(instance, type):
            raise TypeError(
                "@broadcast gives the function the class by itself: remove @classmethod."
            )
        if not hasattr(instance, "send_rendered"):
            raise TypeError(
                f"@broadcast is for WebSockets and event streams; {owner.__qualname__} should "
                "derive from a class of channels.generic.websocket or channels.generic.sse, or "
                "handle this message without @broadcast."
            )
        return lambda event: instance.send_rendered(self.render(owner, event))


class Renderer:
    """The `@broadcast` handlers of one consumer class, by message type."""

    __slots__ = ("_by_name", "_owner")

    def __init__(self, owner: type[Any], by_name: dict[str, broadcast]) -> None:
        self._owner = owner
        self._by_name = by_name

    def handles(self, type_: str) -> bool:
        return type_.replace(".", "_") in self._by_name

    def render(self, message: Message) -> SharedMessage | None:
        """Render one group message; None means that there is nothing to send."""
        return self._by_name[message["type"].replace(".", "_")].render(self._owner, message)


@functools.lru_cache(maxsize=1024)
def renderer_of(owner: Any) -> Renderer | None:
    """Return the renderer of a consumer class, None if the fast lane is not for it."""
    found: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        found.update(base.__dict__)
    by_name = {name: value for name, value in found.items() if isinstance(value, broadcast)}
    if not by_name or "send_rendered" not in found:
        return None
    if not all(_is_ours(owner, name) for name in SENDING_METHODS):
        return None
    return Renderer(owner, by_name)


def _is_ours(owner: type[Any], name: str) -> bool:
    definer = next((base for base in owner.__mro__ if name in base.__dict__), None)
    return definer is None or definer.__module__ in OWN_MODULES
