"""Calls the middleware of cookies and sessions for the rows, and keeps what it sent."""

from __future__ import annotations

import re
from typing import Any


async def nothing() -> Any:
    return {"type": "websocket.connect"}


class Sent:
    """Keeps the events that came through."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def __call__(self, event: Any) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def cookies(self) -> list[str]:
        """Of the first event, without what changes from run to run."""
        return [dateless(value) for name, value in self.events[0].get("headers", ())]


def dateless(header: bytes) -> str:
    text = re.sub(r"expires=\w{3}, \d\d.\w{3}.\d{4} [\d:]+ GMT", "expires=DATE", header.decode())
    return re.sub(r"sessionid=\w{32}", "sessionid=KEY", text)


def scope_with(*headers: Any, **more: Any) -> dict[str, Any]:
    return {"type": "http", "path": "/", "headers": list(headers), **more}
