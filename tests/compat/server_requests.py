"""Rows over servers: requests, to views and to consumers."""

from __future__ import annotations

import contextlib
import http.client
import json
from typing import Any

from tests.compat.server_table import (
    LARGE,
    RECEIVE_SECONDS,
    ServerRows,
    digest,
    new_key,
)
from tests.compat.servers import Site

row = ServerRows()


@row(
    {
        "method": "GET",
        "path": "/sync/",
        "query": {"a": "b", "c": "é"},
        "length": 0,
        "host": "127.0.0.1",
        "client": "127.0.0.1",
    }
)
def a_synchronous_view(site: Site) -> Any:
    return site.get("/sync/?a=b&c=%C3%A9").json


@row([["POST", 4], ["PUT", 0], ["DELETE", 0], ["PATCH", 3]])
def an_asynchronous_view(site: Site) -> Any:
    asked = (("POST", b"four"), ("PUT", b""), ("DELETE", None), ("PATCH", b"abc"))
    answers = [site.ask(method, "/async/", body).json for method, body in asked]
    return [[answer["method"], answer["length"]] for answer in answers]


@row([[200, ""], [200, "GET"]])
def a_head_request_has_no_body_and_the_next_its_own(site: Site) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=RECEIVE_SECONDS)
    with contextlib.closing(connection):
        connection.request("HEAD", "/sync/")
        with connection.getresponse() as response:
            head = [response.status, response.read().decode()]
        connection.request("GET", "/sync/")
        with connection.getresponse() as response:
            return [head, [response.status, json.loads(response.read())["method"]]]


@row([200, digest(LARGE)])
def a_view_gets_the_body(site: Site) -> Any:
    answer = site.ask("POST", "/body/", LARGE)
    return [answer.status, digest(answer.body)]


@row([500, "text/html"])
def a_view_that_raises(site: Site) -> Any:
    answer = site.get("/failing/")
    return [answer.status, answer.headers["content-type"].partition(";")[0]]


@row([404, True])
def a_page_that_is_missing(site: Site) -> Any:
    answer = site.get("/nowhere/")
    return [answer.status, b"Not Found" in answer.body]


@row([404, 200, "a static file"])
def static_files(site: Site) -> Any:
    found = site.get("/static/note.txt")
    return [site.get("/static/missing.txt").status, found.status, found.body.decode()]


def in_pieces(site: Site, path: str) -> list[str]:
    """The second piece is only made once the client has the first."""
    key = new_key()
    with site.request("GET", f"{path}?key={key}") as response:
        first = response.read(len(b"first,"))
        released = site.get(f"/release/{key}/").body
        return [first.decode(), released.decode(), response.read().decode()]


@row(["first,", "released", "second,third"])
def a_view_streams(site: Site) -> Any:
    return in_pieces(site, "/streamed/")


@row(["first,", "released", "second,third"])
def an_http_consumer_streams(site: Site) -> Any:
    return in_pieces(site, "/consumers/streamed/")


@row([201, "yes", "nothing", [["disconnect"]]])
def an_http_consumer_answers(site: Site) -> Any:
    key = new_key()
    answer = site.get(f"/consumers/whole/?key={key}")
    return [answer.status, answer.headers["x-consumer"], answer.body.decode(), site.notes(key)]


@row(["first,", [["disconnect"]]])
def an_http_consumer_whose_client_leaves(site: Site) -> Any:
    key = new_key()
    with site.request("GET", f"/consumers/streamed/?key={key}") as response:
        first = response.read(len(b"first,"))
    return [first.decode(), site.notes(key)]


@row([201, digest(LARGE)])
def an_http_consumer_gets_the_body(site: Site) -> Any:
    answer = site.ask("POST", "/consumers/whole/", LARGE)
    return [answer.status, digest(answer.body)]
