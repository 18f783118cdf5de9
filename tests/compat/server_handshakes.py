"""Rows over servers: how a WebSocket is accepted or denied, and what its consumer knows then."""

from __future__ import annotations

import json
from typing import Any

from tests.compat.server_table import (
    Differs,
    ServerRows,
    new_key,
    receive,
    refusal,
)
from tests.compat.servers import Site

row = ServerRows()


# -- the handshake -------------------------------------------------------------


@row(["second", [["offered", ["first", "second"]]]])
def a_subprotocol(site: Site) -> Any:
    key = new_key()
    with site.websocket(f"/choosy/?key={key}", subprotocols=["first", "second"]) as client:
        chosen = client.subprotocol
    return [chosen, site.notes(key)]


NO_HEADERS = {
    "daphne": "Daphne sends no headers of the application with the 101.",
    "granian": "Granian sends no headers of the application with the 101.",
}


def without_headers(seen: Any) -> dict[str, Differs]:
    return {server: Differs(seen, because) for server, because in NO_HEADERS.items()}


@row(["yes", "taste=salty"], **without_headers([None, None]))
def headers_and_a_cookie_of_the_accepting_response(site: Site) -> Any:
    with site.websocket("/choosy/", subprotocols=["second"]) as client:
        assert client.response is not None
        headers = client.response.headers
        return [headers.get("X-Accepted"), headers.get("Set-Cookie")]


@row(
    [403, [["disconnect", 1006]]],
    hypercorn=Differs([403, [["disconnect", 1000]]], "Hypercorn calls every end of ours normal."),
    granian=Differs([403, [["disconnect", 1005]]], "Granian names no code after a close of ours."),
)
def a_consumer_that_denies(site: Site) -> Any:
    key = new_key()
    return [refusal(site, f"/denying/?key={key}")[0], site.notes(key)]


@row([403, 403])
def pages_of_other_sites(site: Site) -> Any:
    origins = ("http://evil.example", None)
    return [refusal(site, "/echo/", origin=origin)[0] for origin in origins]


NO_DENIAL_RESPONSE = "Daphne has no extension for denial responses: every denial is a 403."


@row([404, "Not Found"], daphne=Differs([403, ""], NO_DENIAL_RESPONSE))
def a_socket_whose_route_is_missing(site: Site) -> Any:
    return refusal(site, "/nowhere/")


@row(
    [500, [["disconnect", 1011]]],
    granian=Differs([403, [["disconnect", 1011]]], "Granian denies, whatever went wrong."),
)
def a_consumer_that_fails_before_it_accepts(site: Site) -> Any:
    key = new_key()
    return [refusal(site, f"/failing/connect/?key={key}")[0], site.notes(key)]


# -- what a consumer sees ------------------------------------------------------

ABOUT = {
    "path": "/about/7/words/",
    "query": "a=b&c=%C3%A9",
    "captured": {"number": 7, "word": "words"},
    "cookies": ["other", "sessionid"],
    "header": "1",
    "session": "blue",
    "user": "ada",
    "client": "127.0.0.1",
}


def cookie_of(header: str) -> str:
    return header.partition(";")[0]


@row(ABOUT)
def the_scope_of_somebody_logged_in(site: Site) -> Any:
    session = cookie_of(site.get("/login/ada/").headers["set-cookie"])
    headers = {"Cookie": f"{session}; other=1", "X-Mine": "1"}
    path = "/about/7/words/?a=b&c=%C3%A9"
    with site.websocket(path, additional_headers=headers) as client:
        return json.loads(receive(client))


@row(
    {
        **ABOUT,
        "path": "/outer/space/inner/3/",
        "query": "",
        "captured": {"word": "space", "number": 3},
        "cookies": [],
        "header": "",
        "session": None,
        "user": "",
    }
)
def the_scope_of_nobody_behind_a_nested_router(site: Site) -> Any:
    with site.websocket("/outer/space/inner/3/") as client:
        return json.loads(receive(client))


@row([404, 404], daphne=Differs([403, 403], NO_DENIAL_RESPONSE))
def a_nested_route_that_is_missing(site: Site) -> Any:
    return [refusal(site, f"/outer/space/{rest}")[0] for rest in ("inner/three/", "")]


def after_visit(site: Site, path: str, **headers: str) -> Any:
    """What views then know of the session, by the cookie of the 101 or the one before."""
    with site.websocket(path, additional_headers=headers) as client:
        heard = json.loads(receive(client))
        assert client.response is not None
        cookie = client.response.headers.get("Set-Cookie")
    if cookie is not None:
        headers["Cookie"] = cookie_of(cookie)
    return [heard, cookie is not None, site.get("/whoami/", **headers).json]


@row(
    ["ada", True, {"colour": "green", "user": "ada"}],
    **without_headers(["ada", False, {"colour": "green", "user": "ada"}]),
)
def a_session_changed_before_it_is_accepted(site: Site) -> Any:
    cookie = cookie_of(site.get("/login/ada/").headers["set-cookie"])
    return after_visit(site, "/visits/", Cookie=cookie)


@row(
    ["", True, {"colour": "green", "user": ""}],
    **without_headers(["", False, {"colour": None, "user": ""}]),
)
def a_new_session_made_before_it_is_accepted(site: Site) -> Any:
    return after_visit(site, "/visits/")


@row(
    ["grace", True, {"colour": "green", "user": "grace"}],
    **without_headers(["grace", False, {"colour": None, "user": ""}]),
)
def a_login_in_connect(site: Site) -> Any:
    return after_visit(site, "/visits/grace/")
