"""Two small consumers of the rows, one of each colour, and what makes them do something."""

from __future__ import annotations

from typing import Any, Final

from channels.consumer import AsyncConsumer, StopConsumer, SyncConsumer

STOP: Final = {"type": "test.stop"}


class Stoppable(AsyncConsumer):
    async def test_stop(self, message: Any) -> None:
        raise StopConsumer

    async def test_echo(self, message: Any) -> None:
        await self.send({"type": "echo", "of": message.get("of")})


class SyncStoppable(SyncConsumer):
    def test_stop(self, message: Any) -> None:
        raise StopConsumer

    def test_echo(self, message: Any) -> None:
        self.send({"type": "echo", "of": message.get("of")})


def echo(of: Any) -> dict[str, Any]:
    return {"type": "test.echo", "of": of}


def no_handler(type_: str) -> dict[str, str]:
    """How an event of the client ends that names no handler."""
    return {"raises": "ValueError", "says": f"No handler for message type {type_}"}
