"""What users of the notifications see: at their sockets, over HTTP, and when they may not."""

from __future__ import annotations

from typing import Any

from project_client import Visitor, close_code, hear, say
from websockets.exceptions import ConnectionClosed


def observe(url: str) -> dict[str, Any]:
    ada, grace, nobody = Visitor(url), Visitor(url), Visitor(url)
    return {
        "joining": [_join(ada, "ada"), _join(grace, "grace")],
        "logging in again": _log_in(Visitor(url), "grace"),
        "nobody": _nobody(nobody),
        "notes": _notes(ada, grace),
        "unread": _unread(ada, grace),
        "session": _session(ada),
        "account": _account(Visitor(url)),
        "over HTTP": [ada.request("POST", "/api/unread/", "hi"), grace.request("GET", "/")],
        "logging out": _log_out(ada, grace),
    }


def _join(visitor: Visitor, name: str) -> Any:
    visitor.submit("/join/", username=name, password1="pale blue dot", password2="pale blue dot")
    return visitor.request("GET", "/")


def _log_in(visitor: Visitor, name: str) -> Any:
    wrong = visitor.submit("/login/", username=name, password="wrong")[0]
    right = visitor.submit("/login/", username=name, password="pale blue dot")[0]
    return [wrong, right, visitor.request("GET", "/")]


def _nobody(nobody: Visitor) -> Any:
    with nobody.enter("/ws/unread/") as socket:
        code = close_code(socket)
    return {
        "before accept": nobody.refused("/ws/notes/"),
        "after accept": code,
        "API": nobody.request("GET", "/api/unread/"),
        "async view": nobody.post_json("/async-notes/ada/", {"text": "x"}),
    }


def _notes(ada: Visitor, grace: Visitor) -> list[Any]:
    with ada.enter("/ws/notes/") as first, ada.enter("/ws/notes/") as second:
        seen = [hear(first), hear(second)]
        seen += grace.post_json("/notes/ada/", {"text": "from a view"})
        seen += [hear(first)["text"], hear(second)["text"]]
        seen += grace.post_json("/async-notes/ada/", {"text": "from an async view"})
        note = hear(first)
        seen += [note["text"], hear(second)["text"]]
        say(second, {"read": note["id"]})
        seen.append(hear(second))
        say(second, {"neither": "this nor that"})
        seen.append(close_code(second))
        with grace.enter("/ws/notes/") as other:
            seen.append(hear(other))
            grace.post_json("/notes/ada/", {"text": "for one only"})
            grace.post_json("/notes/grace/", {"text": "for the other"})
            seen += [hear(first)["text"], hear(other)["text"]]
    return seen


def _unread(ada: Visitor, grace: Visitor) -> list[Any]:
    with ada.enter("/ws/unread/") as socket:
        seen = [hear(socket)]
        grace.post_json("/notes/ada/", {"text": "one more"})
        seen.append(hear(socket))
        say(socket, ["any", "JSON"])
        seen.append(hear(socket))
    return seen


def _session(ada: Visitor) -> list[Any]:
    with ada.enter("/ws/notes/") as socket:
        hear(socket)
        say(socket, {"look": True})
        say(socket, {"look": True})
        seen = [hear(socket), hear(socket)]
    return [*seen, ada.request("GET", "/")]


def _account(visitor: Visitor) -> list[Any]:
    with visitor.enter("/ws/account/") as socket:
        say(socket, {"login": {"username": "ada", "password": "wrong"}})
        say(socket, {"login": {"username": "ada", "password": "pale blue dot"}})
        say(socket, {"logout": True})
        return [hear(socket), hear(socket), hear(socket)]


def _log_out(ada: Visitor, grace: Visitor) -> dict[str, Any]:
    with ada.enter("/ws/notes/") as still_open:
        hear(still_open)
        # The page of any form has the token.
        status, _ = ada.submit("/login/", to="/logout/")
        grace.post_json("/notes/ada/", {"text": "too late?"})
        try:
            left = hear(still_open)["text"]
        except ConnectionClosed:
            left = close_code(still_open)
    return {
        "answer": status,
        "a socket that was open": left,
        "a new one": ada.refused("/ws/notes/"),
        "the page": ada.request("GET", "/"),
    }


def _home(name: str, looked_at: int = 0) -> tuple[int, str]:
    return 200, f'{{"user": "{name}", "looked_at": {looked_at}}}'


EXPECTED: dict[str, Any] = {
    "joining": [_home("ada"), _home("grace")],
    "logging in again": [200, 302, _home("grace")],
    "nobody": {
        "before accept": 403,
        "after accept": 4401,
        "API": (401, '{"error": "Log in first."}'),
        "async view": (401, {"error": "Log in first."}),
    },
    "notes": [
        *({"unread": []}, {"unread": []}),
        *(201, {"text": "from a view"}),
        *("from a view", "from a view"),
        *(201, {"text": "from an async view"}),
        *("from an async view", "from an async view"),
        {"read": 1, "left": 1},
        4400,
        {"unread": []},
        *("for one only", "for the other"),
    ],
    "unread": [
        {"unread": 2, "text": "from a view"},
        {"unread": 3, "text": "one more"},
        {
            "asked": ["any", "JSON"],
            "texts": ["from a view", "from an async view", "for one only", "one more"],
        },
    ],
    "session": [{"looked_at": 1}, {"looked_at": 2}, _home("ada", 2)],
    "account": [{"user": ""}, {"user": "ada"}, {"user": ""}],
    "over HTTP": [(200, '{"user": "ada", "unread": 3, "body": "hi"}\n'), _home("grace")],
    "logging out": {
        "answer": 302,
        "a socket that was open": "too late?",
        "a new one": 403,
        "the page": _home(""),
    },
}
# docs/permissions.md: with the session end its sockets.
_LOGGED_OUT = {"logging out": {**EXPECTED["logging out"], "a socket that was open": 4401}}
MENDED = {"serve": _LOGGED_OUT, "daphne": _LOGGED_OUT}
