"""What clients of strawberry's consumers see, over HTTP and over its two socket protocols."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from project_client import Visitor, close_code, hear, say
from websockets.sync.client import ClientConnection

BASKET = '{ basket(fruit: "plum") { fruit number } }'
HARVESTS = 'subscription { harvests(fruit: "pear") { number } }'


def observe(url: str) -> dict[str, Any]:
    visitor = Visitor(url)
    return {
        "HTTP": _http(visitor),
        "a view of Django's": visitor.request("GET", "/about/"),
        "graphql-transport-ws": _transport(visitor),
        "graphql-ws": _older(visitor),
        "harvests": _harvests(visitor),
        "wrong sockets": _wrong(visitor),
    }


def _ask(visitor: Visitor, path: str, query: str, **variables: Any) -> tuple[int, Any]:
    return visitor.post_json(path, {"query": query, "variables": variables})


def _http(visitor: Visitor) -> dict[str, Any]:
    status, page = visitor.request("GET", "/graphql", accept="text/html")
    by_get = visitor.request("GET", f"/graphql?query={quote(BASKET)}")
    named = "query ($f: String!) { basket(fruit: $f) { fruit } me }"
    return {
        "page": [status, "graphiql" in page.lower()],
        "by GET": [by_get[0], json.loads(by_get[1])],
        "by POST": _ask(visitor, "/graphql", named, f="fig"),
        "with users": _ask(visitor, "/users/graphql", "{ me }"),
        "sync": _ask(visitor, "/sync/graphql", '{ users basket(fruit: "fig") { number } }'),
        "an error": _message(_ask(visitor, "/graphql", "{ rotten }")),
        "no such field": _ask(visitor, "/graphql", "{ peach }")[1]["data"],
        "not allowed": visitor.request("DELETE", "/graphql")[0],
        "no JSON": visitor.request("POST", "/graphql", "{", content_type="application/json")[0],
    }


def _message(answer: tuple[int, Any]) -> Any:
    return answer[0], answer[1]["errors"][0]["message"]


def _subscribe(socket: ClientConnection, id_: str, query: str) -> None:
    say(socket, {"id": id_, "type": "subscribe", "payload": {"query": query}})


def _begin(socket: ClientConnection) -> ClientConnection:
    say(socket, {"type": "connection_init"})
    assert hear(socket)["type"] == "connection_ack"
    return socket


def _transport(visitor: Visitor) -> list[Any]:
    with visitor.enter("/users/graphql", "graphql-transport-ws", "other") as socket:
        seen: list[Any] = [socket.subprotocol]
        _begin(socket)
        say(socket, {"type": "ping"})
        seen.append(hear(socket))
        _subscribe(socket, "1", "subscription { count(to: 2) }")
        seen += [hear(socket), hear(socket), hear(socket)]
        _subscribe(socket, "2", "{ me }")
        seen += [hear(socket), hear(socket)]
        _subscribe(socket, "3", "subscription { fails }")
        seen += [hear(socket), hear(socket)["payload"]["errors"][0]["message"], hear(socket)]
        socket.send("no JSON")
        seen.append(close_code(socket))
    return seen


def _older(visitor: Visitor) -> list[Any]:
    with visitor.enter("/graphql", "graphql-ws") as socket:
        seen: list[Any] = [socket.subprotocol]
        _begin(socket)
        query = "subscription { count(to: 1) }"
        say(socket, {"id": "1", "type": "start", "payload": {"query": query}})
        seen += [hear(socket), hear(socket)]
        say(socket, {"type": "connection_terminate"})
        seen.append(close_code(socket))
    return seen


def _harvests(visitor: Visitor) -> list[Any]:
    protocol = "graphql-transport-ws"
    with visitor.enter("/graphql", protocol) as one, visitor.enter("/graphql", protocol) as other:
        seen = []
        for socket in (one, other):
            _subscribe(_begin(socket), "1", HARVESTS)
            seen.append(hear(socket)["payload"]["data"]["harvests"]["number"])
        # By a query over HTTP, and by one over a socket.
        harvest = 'mutation { harvest(fruit: "pear", number: %d) { fruit } }'
        seen.append(_ask(visitor, "/graphql", harvest % 3))
        seen += [hear(socket)["payload"]["data"]["harvests"]["number"] for socket in (one, other)]
        say(other, {"id": "1", "type": "complete"})
        _subscribe(other, "2", harvest % 4)
        seen += [hear(other)["payload"], hear(other)]
        seen.append(hear(one)["payload"]["data"]["harvests"]["number"])
    return seen


def _wrong(visitor: Visitor) -> dict[str, Any]:
    with visitor.enter("/graphql", "graphql-transport-ws") as uninvited:
        _subscribe(uninvited, "1", "{ me }")
        before_the_ack = close_code(uninvited)
    with visitor.enter("/graphql", "unknown") as strange:
        unknown = close_code(strange)
    return {"before the ack": before_the_ack, "unknown protocol": unknown}


def _next(id_: str, **data: Any) -> dict[str, Any]:
    return {"id": id_, "type": "next", "payload": {"data": data}}


def _complete(id_: str) -> dict[str, Any]:
    return {"id": id_, "type": "complete"}


EXPECTED = {
    "HTTP": {
        "page": [200, True],
        "by GET": [200, {"data": {"basket": {"fruit": "plum", "number": 1}}}],
        "by POST": (200, {"data": {"basket": {"fruit": "fig"}, "me": "nobody was asked"}}),
        "with users": (200, {"data": {"me": "nobody"}}),
        "sync": (200, {"data": {"users": 0, "basket": {"number": 1}}}),
        "an error": (200, "This one is rotten."),
        "no such field": None,
        "not allowed": 405,
        "no JSON": 400,
    },
    "a view of Django's": (200, "An orchard."),
    "graphql-transport-ws": [
        "graphql-transport-ws",
        {"type": "pong"},
        *(_next("1", count=0), _next("1", count=1), _complete("1")),
        *(_next("2", me="nobody"), _complete("2")),
        *(_next("3", fails=1), "Nothing is left.", _complete("3")),
        4400,
    ],
    "graphql-ws": [
        "graphql-ws",
        {"type": "data", "id": "1", "payload": {"data": {"count": 0}}},
        _complete("1"),
        1000,
    ],
    "harvests": [
        *(0, 0),
        (200, {"data": {"harvest": {"fruit": "pear"}}}),
        *(3, 3),
        *({"data": {"harvest": {"fruit": "pear"}}}, _complete("2")),
        4,
    ],
    "wrong sockets": {"before the ack": 4401, "unknown protocol": 4406},
}
