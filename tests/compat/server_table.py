"""The language of the rows over servers, and what their clients do.

A row is what a client does and what it then has seen; `/seen/` adds what the
consumer saw. Where a server answers something else, the row says what and why: each
such line was measured, and fails when it is no longer so.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.compat.servers import Site
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

LARGE = bytes(range(256)) * 274  # just over 70 kB
RECEIVE_SECONDS = 10.0


class Differs(NamedTuple):
    """What one server answers instead, and why."""

    seen: Any
    because: str


class ServerRow(NamedTuple):
    observe: Callable[[Site], Any]
    seen: Any
    elsewhere: dict[str, Differs]


class ServerRows(dict[str, ServerRow]):
    """The rows of one module, by name; calling it makes the decorator of a row."""

    def __call__(self, seen: Any, **elsewhere: Differs) -> Callable[[Callable[[Site], Any]], None]:
        def add(observe: Callable[[Site], Any]) -> None:
            assert observe.__name__ not in self, observe.__name__
            self[observe.__name__] = ServerRow(observe, seen, elsewhere)

        return add


def new_key() -> str:
    return uuid.uuid4().hex


def digest(data: bytes | str) -> list[Any]:
    raw = data.encode() if isinstance(data, str) else data
    return [type(data).__name__, len(raw), hashlib.sha256(raw).hexdigest()[:8]]


def receive(client: ClientConnection) -> Any:
    return client.recv(RECEIVE_SECONDS)


def until_closed(client: ClientConnection) -> list[Any]:
    """The messages that still came, and how the socket was closed."""
    heard: list[Any] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            heard.append(receive(client))
    assert client.close_code is not None
    return [*heard, int(client.close_code), client.close_reason]


def refusal(site: Site, path: str, **options: Any) -> list[Any]:
    try:
        with site.websocket(path, **options):
            return ["was accepted"]
    except InvalidStatus as error:
        return [error.response.status_code, bytes(error.response.body or b"").decode()]
