"""The same application, observed by the same clients, under every ASGI server.

A row is what a client does and what it then has seen; `/seen/` adds what the
consumer saw. Where a server answers something else, the row says what and why: each
such line was measured, and fails when it is no longer so.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import struct
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from servers import COMMANDS, Site, make_database, serving

pytestmark = pytest.mark.slow

LARGE = bytes(range(256)) * 274  # just over 70 kB
RECEIVE_SECONDS = 10.0


class Differs(NamedTuple):
    """What one server answers instead, and why."""

    seen: Any
    because: str


class Row(NamedTuple):
    observe: Callable[[Site], Any]
    seen: Any
    elsewhere: dict[str, Differs]


ROWS: dict[str, Row] = {}


def row(seen: Any, **elsewhere: Differs) -> Callable[[Callable[[Site], Any]], None]:
    def add(observe: Callable[[Site], Any]) -> None:
        assert observe.__name__ not in ROWS, observe.__name__
        ROWS[observe.__name__] = Row(observe, seen, elsewhere)

    return add


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    folder = tmp_path_factory.mktemp("servers")
    environment = make_database(folder)
    with contextlib.ExitStack() as running:
        found = {
            server: running.enter_context(serving(server, folder, environment))
            for server in COMMANDS
        }
        for site in found.values():
            site.wait_ready()
        yield found


def new_key() -> str:
    return uuid.uuid4().hex


def digest(data: bytes | str) -> list[Any]:
    raw = data.encode() if isinstance(data, str) else data
    return [type(data).__name__, len(raw), hashlib.sha256(raw).hexdigest()[:8]]


def receive(client: ClientConnection) -> Any:
    return client.recv(RECEIVE_SECONDS)


def until_closed(client: ClientConnection) -> list[Any]:
    """The messages that still came, and how the socket was closed."""
    heard: list[Any] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            heard.append(receive(client))
    assert client.close_code is not None
    return [*heard, int(client.close_code), client.close_reason]


def refusal(site: Site, path: str, **options: Any) -> list[Any]:
    try:
        with site.websocket(path, **options):
            return ["was accepted"]
    except InvalidStatus as error:
        return [error.response.status_code, bytes(error.response.body or b"").decode()]


# -- requests ------------------------------------------------------------------


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


# ------------------------------------------------------------------------------


@pytest.mark.parametrize("server", COMMANDS)
@pytest.mark.parametrize("name", ROWS)
def test_clients_and_consumers_observe_the_same_everywhere(
    sites: dict[str, Site], name: str, server: str
) -> None:
    what = ROWS[name]
    assert set(what.elsewhere) <= set(COMMANDS)
    expected = what.elsewhere.get(server, what).seen
    assert what.observe(sites[server]) == expected
