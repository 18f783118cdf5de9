"""What the ASGI side asks of the side that owns sockets, tasks and clocks.

The classes of this folder decide what is legal and what it means; they sleep
nowhere and open nothing. Everything they need from outside is named here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ...types import Receive, Scope, Send
from ..config import ServerConfig


class Transport(Protocol):
    """The part of an asyncio transport that is used."""

    def write(self, data: bytes) -> None: ...
    def writelines(self, parts: Iterable[bytes]) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def write_eof(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Deadline(Protocol):
    """See `channels.server.timers.Deadline`."""

    def set(self, seconds: float | None) -> None: ...
    def clear(self) -> None: ...
    def discard(self) -> None: ...


class Running(Protocol):
    """An application at work in a task of its own."""

    @property
    def name(self) -> str: ...
    def cancel(self) -> None: ...


# Called when an application has ended, with what it raised.
Ended = Callable[[BaseException | None], None]


class Host(Protocol):
    """What runs applications and is told of what happens."""

    config: ServerConfig
    draining: bool
    # Whether anybody listens to actions; building their details costs.
    watched: bool
    slow_clients: int

    def deadline(self, expire: Callable[[], None]) -> Deadline: ...

    def start_application(
        self, scope: Scope, receive: Receive, send: Send, ended: Ended
    ) -> Running:
        """Run the application in a task of its own; `ended` is called once, at its end."""
        ...

    def action(self, protocol: str, action: str, details: dict[str, Any]) -> None: ...
    def forget(self, connection: Any) -> None: ...
