"""What visitors of the tutorial's chat see, in its sync and its async form."""

from __future__ import annotations

from typing import Any

from project_client import Visitor, close_code, hear, say


def observe(url: str) -> dict[str, Any]:
    visitor = Visitor(url)
    status, page = visitor.request("GET", "/talk/garden/")
    return {
        "index": visitor.request("GET", "/talk/")[0],
        "room": [status, '"garden"</script>' in page],
        "sync": _chat(visitor, "/ws/talk/"),
        "async": _chat(visitor, "/ws/async-talk/"),
        "from another site": visitor.refused("/ws/talk/garden/", origin="http://elsewhere.test"),
        "without an origin": visitor.refused("/ws/talk/garden/", origin=None),
        "without a route": visitor.refused("/ws/nowhere/"),
    }


def _chat(visitor: Visitor, path: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    with visitor.enter(f"{path}garden/") as ada, visitor.enter(f"{path}kitchen/") as cook:
        with visitor.enter(f"{path}garden/") as grace:
            say(ada, {"message": "hello"})
            seen["hello"] = [hear(ada), hear(grace)]
            say(grace, {"message": "déjà vu ✓", "ignored": 1})
            seen["answer"] = [hear(ada), hear(grace)]
        say(ada, {"message": "alone"})
        seen["after one has left"] = hear(ada)
        say(cook, {"message": "nobody else"})
        seen["another room"] = hear(cook)
        ada.send("no JSON")
        seen["words that are no JSON"] = close_code(ada)
        say(cook, {"message": "still here"})
        seen["the others after that"] = hear(cook)
    return seen


_CHAT = {
    "hello": [{"message": "hello"}] * 2,
    "answer": [{"message": "déjà vu ✓"}] * 2,
    "after one has left": {"message": "alone"},
    "another room": {"message": "nobody else"},
    "words that are no JSON": 1011,
    "the others after that": {"message": "still here"},
}
EXPECTED = {
    "index": 200,
    "room": [200, True],
    "sync": _CHAT,
    "async": _CHAT,
    "from another site": 403,
    "without an origin": 403,
    "without a route": 500,
}
# docs/compatibility.md, routing: a WebSocket without a route was a 500. Daphne, which is also this
# project's runserver, knows no response to a WebSocket that is denied but 403.
MENDED = {
    "serve": {"without a route": 404},
    "daphne": {"without a route": 403},
    "runserver": {"without a route": 403},
}
