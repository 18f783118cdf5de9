"""Rows over servers: what WebSockets carry, and how they end."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.compat.server_table import (
    LARGE,
    Differs,
    ServerRows,
    digest,
    new_key,
    receive,
    until_closed,
)
from tests.compat.servers import Site
from websockets.sync.client import ClientConnection

row = ServerRows()


# -- messages ------------------------------------------------------------------

MESSAGES = ["hello", b"data", "é" * 100, "", b"", "x" * 70_000, LARGE, "last"]


def echoed(site: Site, path: str) -> list[Any]:
    with site.websocket(path) as client:
        for message in MESSAGES:
            client.send(message)
        heard = [receive(client)]
        while heard[-1] != "last":
            heard.append(receive(client))
    return [digest(message) for message in heard]


EMPTY_DROPPED = Differs(
    [digest(message) for message in MESSAGES if message], "Daphne does not send empty messages."
)


@row([digest(message) for message in MESSAGES], daphne=EMPTY_DROPPED)
def texts_and_binaries(site: Site) -> Any:
    return echoed(site, "/echo/")


@row([digest(message) for message in MESSAGES], daphne=EMPTY_DROPPED)
def texts_and_binaries_of_a_synchronous_consumer(site: Site) -> Any:
    return echoed(site, "/echo/sync/")


@row([str(number) for number in range(50)])
def the_order_of_fifty(site: Site) -> Any:
    with site.websocket("/echo/") as client:
        for number in range(50):
            client.send(str(number))
        return [receive(client) for _ in range(50)]


@row([{"echo": {"a": [1, None, "é"]}}] * 2)
def json_messages(site: Site) -> Any:
    heard = []
    for path in ("/json/", "/json/sync/"):
        with site.websocket(path) as client:
            client.send('{"a": [1, null, "é"]}')
            heard.append(json.loads(receive(client)))
    return heard


@row(
    [["one", "to each"]] * 2
    + [["two", "to all"]] * 2
    + [["three", "to each"]] * 2
    + [["a-view", "to each"]] * 2
)
def group_messages(site: Site) -> Any:
    room, heard = new_key(), []
    with site.websocket(f"/rooms/{room}/") as one, site.websocket(f"/rooms/{room}/") as two:
        for said, kind in (("one", "message"), ("two", "shared"), ("three", "message")):
            one.send(json.dumps({"type": f"room.{kind}", "said": said}))
            heard += [receive(one), receive(two)]
        site.get(f"/say/{room}/a-view/")
        heard += [receive(one), receive(two)]
    return [json.loads(text) for text in heard]


@row(["hello", "hello"])
def a_declared_group_of_synchronous_consumers(site: Site) -> Any:
    with site.websocket("/everybody/") as one, site.websocket("/everybody/") as two:
        one.send("hello")
        return [receive(one), receive(two)]


# -- how it ends ---------------------------------------------------------------


@row(
    ["the last one", 4001, "enough", [["disconnect", 4001]]],
    daphne=Differs(["the last one", 4001, "", [["disconnect", 4001]]], "Daphne sends no reason."),
    hypercorn=Differs(
        ["the last one", 4001, "enough", [["disconnect", 1000]]],
        "Hypercorn calls every end of ours normal.",
    ),
    granian=Differs(
        ["the last one", 4001, "enough", [["disconnect", 1005]]],
        "Granian names no code after a close of ours.",
    ),
)
def the_consumer_closes(site: Site) -> Any:
    key = new_key()
    with site.websocket(f"/closing/?key={key}") as client:
        client.send("close, please")
        return [*until_closed(client), site.notes(key)]


def told_after(site: Site, close: Callable[[ClientConnection], None]) -> list[Any]:
    key = new_key()
    with site.websocket(f"/echo/?key={key}") as client:
        client.send("hello")
        receive(client)
        close(client)
        return site.notes(key)


def heard_and_left(code: int | None) -> list[Any]:
    return [["received", "hello"], ["disconnect", code]]


HYPERCORN_CODE = Differs(heard_and_left(1006), "Hypercorn does not tell a client's code.")


@row(heard_and_left(4321), hypercorn=HYPERCORN_CODE)
def the_client_closes(site: Site) -> Any:
    return told_after(site, lambda client: client.close(4321, "bye"))


@row(
    heard_and_left(1005),
    daphne=Differs(heard_and_left(None), "Daphne says None where ASGI says 1005."),
    hypercorn=HYPERCORN_CODE,
)
def the_client_closes_without_a_code(site: Site) -> Any:
    def close(client: ClientConnection) -> None:
        # RFC 6455 5.5.1: a close frame may be empty; masked, with a mask of zeros.
        client.socket.sendall(b"\x88\x80\x00\x00\x00\x00")

    return told_after(site, close)


@row(
    heard_and_left(1006),
    uvicorn=Differs(heard_and_left(1005), "Uvicorn takes a lost connection for a close."),
    granian=Differs(heard_and_left(1005), "Granian takes a lost connection for a close."),
)
def the_client_vanishes(site: Site) -> Any:
    def vanish(client: ClientConnection) -> None:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.close()

    return told_after(site, vanish)


@row(
    [1011, "", [["disconnect", 1011]]],
    uvicorn=Differs([1006, "", [["disconnect", 1011]]], "Uvicorn drops the connection."),
    granian=Differs([1005, "", [["disconnect", 1011]]], "Granian closes without a code."),
)
def a_handler_raises(site: Site) -> Any:
    key = new_key()
    with site.websocket(f"/failing/?key={key}") as client:
        client.send("fail, please")
        return [*until_closed(client), site.notes(key)]
