"""Checks of consumers: handlers that no message reaches."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

from ..handlers import PROTOCOL_EVENTS
from .application import consumers_of
from .findings import Finding, Findings, Level
from .project import Project

HANDLERS = "handlers"
# What a server sends; the rest of these names only a layer could.
OF_SERVERS: Final = frozenset(
    {"websocket_connect", "websocket_receive", "websocket_disconnect"}
    | {"http_request", "http_disconnect", "lifespan_startup", "lifespan_shutdown"}
)


def check_handlers(project: Project) -> Findings:
    """No handler is written for a type that layers may not send."""
    for consumer in consumers_of(project):
        for name in _unreachable(consumer):
            yield Finding(
                Level.HINT,
                HANDLERS,
                f"{consumer.__qualname__}.{name} is reached by no layer message: types that begin "
                f"with {name.partition('_')[0]}. are the server's.",
                "If it is meant as a handler, give the message a type of its own, as in:",
                'async def chat_message(self, event):  # {"type": "chat.message", ...}',
            )


def _unreachable(consumer: Any) -> Iterator[str]:
    for base in consumer.__mro__:
        if not f"{base.__module__}.".startswith("channels."):
            for name, value in vars(base).items():
                of_a_protocol = name.startswith(PROTOCOL_EVENTS) and name not in OF_SERVERS
                if of_a_protocol and type(value) is FunctionType:
                    yield name
