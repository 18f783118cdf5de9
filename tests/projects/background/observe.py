"""What a visitor of the mill sees of the work that other processes do."""

from __future__ import annotations

import json
from typing import Any

from project_client import Visitor, hear, say


def observe(url: str) -> dict[str, Any]:
    visitor = Visitor(url)
    with visitor.enter("/ws/jobs/") as one, visitor.enter("/ws/jobs/") as other:
        seen: dict[str, Any] = {
            "from a view, to everybody": [
                _start(visitor, "count", "to be or not"),
                [hear(one), hear(other)],
                _start(visitor, "reverse", "to be"),
                [hear(one), hear(other)],
            ]
        }
        say(one, {"kind": "count", "texts": ["a", "a b", "a b c"]})
        say(other, {"kind": "reverse", "texts": ["first then second"]})
        # One job of a kind after the other; the kinds side by side.
        seen["from sockets, to each"] = [[hear(one), hear(one), hear(one)], hear(other)]
        many = [f"word {number}" for number in range(MANY)]
        say(one, {"kind": "reverse", "texts": many})
        seen["many"] = [hear(one)["result"] for _ in many]
    rows = json.loads(visitor.request("GET", "/jobs/")[1])["jobs"]
    seen["in the database"] = [len(rows), sorted(rows)[:3], [row for row in rows if not row[2]]]
    return seen


def _start(visitor: Visitor, kind: str, text: str) -> Any:
    return visitor.request("POST", f"/jobs/{kind}/", text, content_type="text/plain")


def _done(kind: str, text: str, result: str) -> dict[str, str]:
    return {"kind": kind, "text": text, "result": result}


MANY = 40
_FIRST = [_done("count", "to be or not", "4"), _done("reverse", "to be", "be to")]
EXPECTED = {
    "from a view, to everybody": [
        (202, '{"started": "count"}'),
        [_FIRST[0]] * 2,
        (202, '{"started": "reverse"}'),
        [_FIRST[1]] * 2,
    ],
    "from sockets, to each": [
        [_done("count", "a", "1"), _done("count", "a b", "2"), _done("count", "a b c", "3")],
        _done("reverse", "first then second", "second then first"),
    ],
    "many": [f"{number} word" for number in range(MANY)],
    "in the database": [
        6 + MANY,
        [["count", "a", "1"], ["count", "a b", "2"], ["count", "a b c", "3"]],
        [],
    ],
}
