"""Applications for the rows about communicators: one that echoes, one that says its piece."""

from __future__ import annotations

from typing import Any


async def echo(scope: Any, receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        if event["type"] == "end":
            return
        if event["type"] == "fail":
            raise KeyError("x")
        await send(event)


def sending(*events: Any) -> Any:
    """An application that sends these, whatever it hears, and returns at a disconnect."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in events:
            await send(dict(event))
        while not (await receive())["type"].endswith(".disconnect"):
            pass

    return application
