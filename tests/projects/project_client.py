"""A visitor of a project, as the observations need one: pages, forms, sockets.

It sees a server from outside and knows nothing of what runs there.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.parse
from http.cookies import SimpleCookie
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

# What takes longer on a busy machine does not come.
SECONDS: Final = 20.0
TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


class Visitor:
    """One browser: its cookies go with each request and each socket."""

    def __init__(self, url: str) -> None:
        self.address = url.removeprefix("http://")
        self.cookies: dict[str, str] = {}

    def request(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """The status and the text of an answer; keywords are headers, dashes as underscores."""
        connection = http.client.HTTPConnection(self.address, timeout=SECONDS)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"cookie": self.cookie, **sent})
            response = connection.getresponse()
            for line in response.headers.get_all("set-cookie", []):
                self.cookies.update({k: v.value for k, v in SimpleCookie(line).items()})
            return response.status, response.read().decode()
        finally:
            connection.close()

    def submit(self, path: str, to: str | None = None, **fields: str) -> tuple[int, str]:
        """Fetch the page of a form, and send the form filled in, to the page or elsewhere."""
        token = TOKEN.search(self.request("GET", path)[1])
        assert token is not None, path
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token[1]})
        kind = "application/x-www-form-urlencoded"
        return self.request("POST", to or path, body, content_type=kind)

    def post_json(self, path: str, content: Any) -> tuple[int, Any]:
        body = json.dumps(content)
        status, text = self.request("POST", path, body, content_type="application/json")
        return status, json.loads(text)

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def enter(self, path: str, *subprotocols: str, origin: str | None = "") -> ClientConnection:
        """Open a WebSocket; the origin is the page's own unless another, or None, is given."""
        return connect(
            f"ws://{self.address}{path}",
            origin=Origin(origin or f"http://{self.address}") if origin is not None else None,
            additional_headers={"cookie": self.cookie},
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            open_timeout=SECONDS,
            close_timeout=SECONDS,
        )

    def refused(self, path: str, origin: str | None = "") -> int:
        """The status of the answer to a WebSocket that is not accepted."""
        try:
            with self.enter(path, origin=origin):
                return 101
        except InvalidStatus as error:
            return error.response.status_code


def say(socket: ClientConnection, content: Any) -> None:
    socket.send(json.dumps(content))


def hear(socket: ClientConnection) -> Any:
    """The next message, out of JSON."""
    return json.loads(socket.recv(SECONDS))


def close_code(socket: ClientConnection) -> int | None:
    """The code with which the server ends the socket, after all that it still sends."""
    try:
        while True:
            socket.recv(SECONDS)
    except ConnectionClosed as ended:
        return ended.rcvd.code if ended.rcvd is not None else None
