"""What clients of channelsmultiplexer see: several consumers on one socket."""

from __future__ import annotations

from typing import Any

from project_client import Visitor, close_code, hear, say
from websockets.sync.client import ClientConnection


def observe(url: str) -> dict[str, Any]:
    visitor = Visitor(url)
    return {
        "streams": _streams(visitor),
        "frames for nobody": [_ends(visitor, frame) for frame in ({"stream": "no"}, ["list"])],
        "a stream that closes": _closing(visitor),
        "side by side": _side_by_side(visitor),
        "an instance": _instance(visitor),
    }


def _to(socket: ClientConnection, stream: str, payload: Any) -> None:
    say(socket, {"stream": stream, "payload": payload})


def _in_any_order(socket: ClientConnection, number: int) -> list[Any]:
    return sorted((hear(socket) for _ in range(number)), key=str)


def _streams(visitor: Visitor) -> list[Any]:
    with visitor.enter("/ws/") as one, visitor.enter("/ws/") as other:
        # A stream takes frames once it has accepted; each says when.
        seen: list[Any] = [_in_any_order(one, 3), _in_any_order(other, 3)]
        _to(one, "echo", {"a": [1, None]})
        seen.append(hear(one))
        for sold in ("wheat", "rye"):
            _to(one, "trades", sold)
        seen += [hear(one), hear(one)]
        _to(one, "prices", {"price": 7})
        seen += [_in_any_order(one, 2), _in_any_order(other, 2)]
    with visitor.enter("/ws/") as later:
        _in_any_order(later, 3)
        _to(later, "prices", {"price": 8})
        seen.append(_in_any_order(later, 2))
    return seen


def _ends(visitor: Visitor, frame: Any) -> Any:
    with visitor.enter("/ws/") as socket:
        _in_any_order(socket, 3)
        say(socket, frame)
        return close_code(socket)


def _closing(visitor: Visitor) -> Any:
    """A stream that closes leaves the others open; the last one takes the socket with it."""
    with visitor.enter("/ws/") as socket:
        _in_any_order(socket, 3)
        _to(socket, "echo", "close")
        _to(socket, "trades", "barley")
        seen = [hear(socket)]
    with visitor.enter("/ws/closing/") as socket:
        seen.append(hear(socket))
        _to(socket, "one", "close")
        return [*seen, close_code(socket)]


def _side_by_side(visitor: Visitor) -> dict[str, list[Any]]:
    """Two streams that use the database at length, while a third one chats."""
    with visitor.enter("/ws/offices/") as socket:
        _in_any_order(socket, 3)
        for each in range(3):
            _to(socket, "names", [f"name {each} {number}" for number in range(20)])
            _to(socket, "clerk", [f"clerk {each} {number}" for number in range(20)])
            _to(socket, "echo", each)
        came = [hear(socket) for _ in range(9)]
    # In which order the streams' frames come is chance; within a stream it is not.
    by_stream: dict[str, list[Any]] = {"names": [], "clerk": [], "echo": []}
    for frame in came:
        payload = frame["payload"]
        by_stream[frame["stream"]].append(
            [len(payload), payload[0]] if isinstance(payload, list) else payload
        )
    return by_stream


def _instance(visitor: Visitor) -> Any:
    # Once: upstream mixes up the connections of an instance that follow each other quickly.
    with visitor.enter("/ws/instance/") as socket:
        seen = [hear(socket)]
        _to(socket, "echo", "hi")
        return [*seen, hear(socket)]


def _in(stream: str, **payload: Any) -> dict[str, Any]:
    return {"stream": stream, "payload": payload}


_HELLOS = [_in("echo", hello="Exchange"), _in("prices", users=0), _in("trades", users=0)]
_CHANGE = [_in("prices", price=7, users=0), {"stream": "trades", "payload": {"trade at": 7}}]
EXPECTED = {
    "streams": [
        *(_HELLOS, _HELLOS),
        _in("echo", echo={"a": [1, None]}),
        *(_in("trades", sold="wheat", users=0), _in("trades", sold="rye", users=0)),
        *(_CHANGE, _CHANGE),
        [_in("prices", price=8, users=0), {"stream": "trades", "payload": {"trade at": 8}}],
    ],
    "frames for nobody": [1011, 1011],
    "a stream that closes": [
        _in("trades", sold="barley", users=0),
        _in("one", hello="Closing"),
        4123,
    ],
    "side by side": {
        "names": [[20, f"name {each} 0"] for each in range(3)],
        "clerk": [[20, f"0 {each} krelc"] for each in range(3)],
        "echo": [{"echo": each} for each in range(3)],
    },
    "an instance": [_in("echo", hello="Instance"), _in("echo", echo="hi")],
}
