"""One HTTP request and its response: the legal order of ASGI's messages.

The head of a response is held until its first body message comes. So the two
leave in one write, a response of one message gets a Content-Length, and an
application that fails right after `http.response.start` still becomes a 500.
"""

from __future__ import annotations

import enum
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from ...mailbox import DirectReceive, Inlet, Mailbox
from ...types import ClientDisconnected, Header, Message, Receive, Scope
from ..wire.events import Request, Response, ResponseBody
from . import failures
from .dates import date_header
from .flow import Flow
from .headers import checked, checked_body, checked_status
from .ports import Deadline, Host, Running

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# A body of this size is written beside its head, not copied behind it.
JOIN_LIMIT: Final = 16384
# Parameters of a query string that log lines do not show: credentials.
_CREDENTIAL: Final = re.compile(rb"((?:^|&)(?:ticket|token|access_token)=)[^&]+", re.IGNORECASE)


class State(enum.Enum):
    """How far the response is."""

    AWAITED = "no response yet"
    HELD = "a response start"
    STREAMING = "a part of the response body"
    COMPLETE = "the whole response"
    GONE = "nothing more: the client has gone"


class Responder(Inlet, Protocol):
    """The connection, as its exchange sees it."""

    flow: Flow
    write: Callable[[bytes], None]

    def encode(self, event: Response | ResponseBody) -> bytes: ...

    def write_parts(self, *parts: bytes) -> None: ...
    def write_continue(self) -> None: ...
    def response_done(self) -> None: ...
    def refuse(self, status: int, reason: str) -> None: ...
    def abort(self) -> None: ...


class ExpectingReceive:
    """The `receive` of a request whose client waits for `100 Continue`.

    Deliberately no DirectReceive: the first call has to come by here.
    """

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __call__(self) -> Message:
        self._exchange.continue_body()
        return await self._exchange.mailbox.receive()


class Exchange:
    """One request, its application and its response."""

    __slots__ = (
        "_body_size",
        "_deadline",
        "_expecting",
        "_headers",
        "_host",
        "_responder",
        "_running",
        "_sized",
        "_started_at",
        "mailbox",
        "request_ended",
        "scope",
        "state",
        "status",
    )

    def __init__(
        self,
        host: Host,
        loop: AbstractEventLoop,
        responder: Responder,
        scope: Scope,
        request: Request,
    ) -> None:
        self._host = host
        self._responder: Responder | None = responder
        self._headers: list[Header] | None = None
        self._sized = False
        self._expecting = request.expects_continue
        self._running: Running | None = None
        self._deadline: Deadline | None = None
        self._body_size = 0
        self._started_at = time.perf_counter() if host.watched else 0.0
        self.mailbox = Mailbox(loop, responder, host.config.input_limit)
        self.scope = scope
        self.state = State.AWAITED
        self.status = 0
        self.request_ended = False

    def start(self) -> None:
        send = self.send
        receive: Receive = DirectReceive(self.mailbox, send)
        if self._expecting:
            receive = ExpectingReceive(self)
        self._running = self._host.start_application(self.scope, receive, send, self._ended)

    # -- the request ---------------------------------------------------------

    def body(self, data: bytes, more: bool) -> None:
        """Queue a part of the request body; `more` False ends it."""
        self._expecting = self._expecting and not data
        self.request_ended = not more
        self.mailbox.put_client(
            {"type": "http.request", "body": data, "more_body": more}, len(data)
        )

    @property
    def awaits_continue(self) -> bool:
        """Whether the client still holds its body back for our `100 Continue`."""
        return self._expecting

    def continue_body(self) -> None:
        # A head that is held has not gone out: the interim answer may still precede it.
        unanswered = self.state in (State.AWAITED, State.HELD)
        if self._expecting and self._responder is not None and unanswered:
            self._expecting = False
            self._responder.write_continue()

    def client_gone(self) -> None:
        """The connection is lost or of no more use, before or after the response."""
        self.mailbox.put_disconnect({"type": "http.disconnect"})
        self._responder = self.mailbox.inlet = None
        if self.state is State.COMPLETE:
            return
        self.state = State.GONE
        if self._running is not None:
            self._deadline = self._host.deadline(self._overdue)
            self._deadline.set(self._host.config.application_close_timeout)

    @property
    def is_endless(self) -> bool:
        """Whether the response has begun and ends only with the client, as an event stream does."""
        return self.mailbox.endless and self.state is State.STREAMING

    # -- the response --------------------------------------------------------

    async def send(self, message: Message) -> None:
        """The ASGI `send`: returns when the client keeps up with what was written."""
        kind, responder = message["type"], self._responder
        if self.state is State.GONE:
            raise ClientDisconnected(f"{kind!r} was sent, but the client has gone.")
        if kind == "http.response.body" and self._headers is not None:
            self._send_body(message)
        elif kind == "http.response.start" and self.state is State.AWAITED:
            self._hold_head(message)
        else:
            raise self._illegal(kind)
        if responder is not None and responder.flow.paused:
            await responder.flow.drain()

    def _illegal(self, kind: str) -> RuntimeError:
        expected = {
            State.AWAITED: "expected 'http.response.start'",
            State.HELD: "expected 'http.response.body'",
            State.STREAMING: "expected 'http.response.body'",
        }.get(self.state, "nothing may follow")
        return RuntimeError(f"{kind!r} was sent after {self.state.value}; {expected}.")

    def _hold_head(self, message: Message) -> None:
        headers = checked(message.get("headers") or ())
        names = {name for name, _ in headers}
        if b"date" not in names:
            headers.append(date_header())
        if self._host.config.server_name and b"server" not in names:
            headers.append((b"server", self._host.config.server_name.encode("latin-1")))
        if self._host.draining and b"connection" not in names:
            headers.append((b"connection", b"close"))
        self.status = checked_status(message["status"])
        self._sized = b"content-length" in names
        self._headers = headers
        self.state = State.HELD

    def _send_body(self, message: Message) -> None:
        responder, headers = self._responder, self._headers
        assert responder is not None
        assert headers is not None
        data = message.get("body", b"")
        more = message.get("more_body", False)
        if type(data) is not bytes:
            data = checked_body(data)
        if self.state is State.HELD:
            self._write_first(responder, headers, data, more)
        elif data or not more:
            responder.write(responder.encode(ResponseBody(data, more)))
        self._body_size += len(data)
        if not more:
            self._complete(responder)

    def _write_first(
        self, responder: Responder, headers: list[Header], data: bytes, more: bool
    ) -> None:
        if not more and not self._sized and self._may_count(data):
            headers.append((b"content-length", b"%d" % len(data)))
        head = responder.encode(Response(self.status, headers))
        body = responder.encode(ResponseBody(data, more)) if data or not more else b""
        self.state = State.STREAMING
        if len(body) > JOIN_LIMIT:
            responder.write_parts(head, body)
        else:
            responder.write(head + body)

    def _may_count(self, data: bytes) -> bool:
        # RFC 9110 8.6: none with 204; with 304 and HEAD it is that of the GET, and an
        # application that leaves the body out does not tell.
        if self.status in (204, 304):
            return False
        return bool(data) or self.scope["method"] != "HEAD"

    def _complete(self, responder: Responder) -> None:
        self.state = State.COMPLETE
        self._headers = None
        if self._host.watched:
            self._report()
        self.mailbox.put_disconnect({"type": "http.disconnect"})
        responder.response_done()

    def _report(self) -> None:
        scope = self.scope
        target = scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + _CREDENTIAL.sub(rb"\1***", scope["query_string"])
        details = {
            "path": target.decode("latin-1"),
            "status": self.status,
            "method": scope["method"],
            "client": client_text(scope),
            "time_taken": time.perf_counter() - self._started_at,
            "size": self._body_size,
        }
        self._host.action("http", "complete", details)

    # -- the application -----------------------------------------------------

    def _ended(self, error: BaseException | None) -> None:
        if self._deadline is not None:
            self._deadline.discard()
        self._running = self._deadline = None
        if error is not None:
            failures.log_failure(self.scope, error)
        elif self.state in (State.AWAITED, State.HELD, State.STREAMING):
            failures.log_silence(self.scope, "a complete response")
        responder = self._responder
        if responder is not None:
            self._close_response(responder)
        self.mailbox.close()

    def _close_response(self, responder: Responder) -> None:
        if self.state in (State.AWAITED, State.HELD):
            self.fail(500, "the application failed")
        elif self.state is State.STREAMING:
            # The client must not take half a response for a whole one.
            responder.abort()

    def fail(self, status: int, reason: str) -> None:
        """Answer `status` in place of the application, which has not answered."""
        responder = self._responder
        if responder is None or self.state not in (State.AWAITED, State.HELD):
            return
        # Past the wire core: the application may have left it in any state.
        self.status = status
        self._headers = None
        if self._host.watched:
            self._report()
        responder.refuse(status, reason)

    def _overdue(self) -> None:
        if self._running is not None:
            seconds = self._host.config.application_close_timeout or 0
            failures.log_overdue(self.scope, self._running.name, seconds)
            self._running.cancel()


def client_text(scope: Scope) -> str | None:
    """The client as logs show it: `ip:port`, or None on a Unix socket."""
    client = scope["client"]
    if client is None or client[1] is None:
        return None
    return f"{client[0]}:{client[1]}"
