"""Whether the client of an open WebSocket is still there.

A ping goes out every interval; a client from which nothing at all has come when
its timeout is over is gone. Any byte counts as life, not the pong alone: a busy
client may answer late. While we do not read (the mailbox is over its budget) or
the client does not (its write deadline runs then), silence proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..config import ServerConfig
from ..wire.ws.connection import WSConnection
from .ports import Deadline


class Watched(Protocol):
    """The session, as its keepalive sees it."""

    heard: bool

    @property
    def held(self) -> bool: ...
    @property
    def congested(self) -> bool: ...
    def ping_unanswered(self) -> None: ...


class Keepalive:
    """Alternates on one deadline: send a ping, look for a sign of life."""

    __slots__ = ("_config", "_deadline", "_excused", "_pinged", "_session")

    def __init__(self, session: Watched, deadline: Deadline, config: ServerConfig) -> None:
        self._session = session
        self._deadline = deadline
        self._config = config
        self._pinged = self._excused = False

    def start(self) -> None:
        self._deadline.set(self._config.ping_interval)

    def excuse(self) -> None:
        """We stopped reading for a while: silence until the next ping is our doing."""
        self._excused = True

    def check(self, ws: WSConnection, write: Callable[[bytes], object]) -> None:
        if self._pinged:
            self._look_for_life()
        else:
            self._ping(ws, write)

    def _ping(self, ws: WSConnection, write: Callable[[bytes], object]) -> None:
        timeout = self._config.ping_timeout
        if not self._session.congested:
            write(ws.ping())
            self._pinged = timeout is not None
            self._session.heard = False
            self._excused = self._session.held
        self._deadline.set(timeout if self._pinged else self._config.ping_interval)

    def _look_for_life(self) -> None:
        self._pinged = False
        session = self._session
        if session.heard or self._excused or session.congested:
            interval = self._config.ping_interval or 0
            self._deadline.set(max(0.0, interval - (self._config.ping_timeout or 0)))
        else:
            session.ping_unanswered()
