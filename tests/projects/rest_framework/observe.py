"""What clients of djangochannelsrestframework's consumers see."""

from __future__ import annotations

from typing import Any

from project_client import Visitor, hear, say
from websockets.sync.client import ClientConnection


def observe(url: str) -> dict[str, Any]:
    visitor = Visitor(url)
    return {
        "one model": _model(visitor),
        "a shelf": _shelf(visitor),
        "members": _members(visitor),
        "staff": visitor.refused("/ws/staff/"),
        "a view": [_view(visitor), _view(visitor)],
    }


def _do(socket: ClientConnection, action: str, **arguments: Any) -> tuple[Any, ...]:
    say(socket, {"action": action, "request_id": action.upper(), **arguments})
    return _reply(hear(socket))


def _reply(message: dict[str, Any]) -> tuple[Any, ...]:
    assert message["request_id"] == message["action"].upper(), message
    return message["response_status"], message["data"], message["errors"]


def _model(visitor: Visitor) -> dict[str, Any]:
    with visitor.enter("/ws/books/") as books:
        seen = {
            "create": _do(books, "create", data={"title": "Dune", "shelf": "A"}),
            "not valid": _do(books, "create", data={"title": "x" * 101})[0],
            "retrieve": _do(books, "retrieve", pk=1),
            "missing": _do(books, "retrieve", pk=99),
            "no such action": _do(books, "burn"),
            "subscribe": _do(books, "subscribe_instance", pk=1)[0],
        }
        say(books, {"action": "patch", "pk": 1, "request_id": "PATCH", "data": {"title": "Emma"}})
        # The answer, and the news for who has subscribed: the two may come in either order.
        seen["patch and news"] = sorted(
            (
                [message["action"], message["response_status"], message["data"]]
                for message in (hear(books), hear(books))
            ),
            key=str,
        )
        seen["list"] = _do(books, "list")
        say(books, {"no": "action"})
        seen["without an action"] = hear(books)["errors"]
    return seen


def _shelf(visitor: Visitor) -> dict[str, Any]:
    with visitor.enter("/ws/shelves/") as one, visitor.enter("/ws/books/") as books:
        seen: dict[str, Any] = {
            "watch": [_do(one, "watch", shelf="B"), _do(one, "watch", shelf="C")],
            "create": _do(books, "create", data={"title": "Ulysses", "shelf": "B"})[0],
            "created": hear(one),
            "move": _do(books, "patch", pk=2, data={"shelf": "C"})[0],
        }
        seen["moved"] = sorted((hear(one), hear(one)), key=str)
        seen["look away"] = _do(one, "look_away", shelf="C")[0]
        seen["unseen"] = _do(books, "patch", pk=2, data={"title": "Odyssey"})[0]
        # Both messages cross the same channel: nothing of "Odyssey" came before this.
        seen["listen"] = _do(one, "listen")[0]
        say(one, {"action": "ring", "request_id": "RING", "loudness": 11})
        bell, rung = sorted((hear(one), hear(one)), key=len)
        seen["ring"] = [bell, _reply(rung)]
        seen["atomic"] = _do(one, "move_all", old="C", new="D")
        say(one, {"action": "count_slowly", "request_id": "COUNT_SLOWLY"})
        say(one, {"action": "go_on", "request_id": "GO_ON"})
        seen["detached"] = sorted((hear(one)["data"], hear(one)["data"]), key=list)
        with visitor.enter("/ws/shelves/") as leaving:
            say(leaving, {"action": "count_slowly"})
        seen["delete"] = _do(books, "delete", pk=2)[0]
    return seen


def _members(visitor: Visitor) -> Any:
    with visitor.enter("/ws/members/") as socket:
        return _do(socket, "borrow")


def _view(visitor: Visitor) -> Any:
    # view_as_consumer answers an instance, which upstream cannot serve two sockets with at once.
    with visitor.enter("/ws/view/") as socket:
        return [_do(socket, "retrieve", parameters={"pk": pk}) for pk in (1, 98)]


_EMMA = {"id": 1, "title": "Emma", "shelf": "A"}
_VIEW = [(200, _EMMA, []), (404, {"detail": "No Book matches the given query."}, [])]
EXPECTED = {
    "one model": {
        "create": (201, {**_EMMA, "title": "Dune"}, []),
        "not valid": 400,
        "retrieve": (200, {**_EMMA, "title": "Dune"}, []),
        "missing": (404, None, ["Not found"]),
        "no such action": (405, None, ['Method "burn" not allowed.']),
        "subscribe": 201,
        "patch and news": [["patch", 200, _EMMA], ["update", 200, _EMMA]],
        "list": (200, [_EMMA], []),
        "without an action": ["Unable to find action in message body."],
    },
    "a shelf": {
        "watch": [(201, {"watching": "B"}, []), (201, {"watching": "C"}, [])],
        "create": 201,
        "created": {"event": "create", "to": ["WATCH"], "title": "Ulysses", "shelf": "B"},
        "move": 200,
        "moved": [
            {"event": "create", "to": ["WATCH"], "title": "Ulysses", "shelf": "C"},
            {"event": "delete", "to": ["WATCH"], "title": "Ulysses", "shelf": "C"},
        ],
        "look away": 204,
        "unseen": 200,
        "listen": 200,
        "ring": [{"bell": {"loudness": 11}}, (200, {"rung": 11}, [])],
        "atomic": (200, {"moved": 1}, []),
        "detached": [{"books": 2}, {"counting": "goes on"}],
        "delete": 204,
    },
    "members": (403, None, ["You do not have permission to perform this action."]),
    "staff": 403,
    "a view": [_VIEW, _VIEW],
}
