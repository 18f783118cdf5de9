"""One connection that speaks HTTP/1.1: bytes in, requests out, one at a time.

Pipelined requests wait in the wire core, with reading paused, until the
response before them is written. A WebSocket handshake hands the transport over
to a `WebSocketSession`, and this object is gone.

There are two reasons to hold the client's bytes back, and they come and go
independently: the application is behind with the body, or a request is waiting
for its turn.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from ..types import Header
from .asgi import failures
from .asgi.backlog import Backlog
from .asgi.flow import Flow
from .asgi.http import Exchange, State
from .asgi.scope import Peers, http_scope, peers, websocket_scope
from .asgi.websocket import WebSocketSession
from .timers import Deadline
from .wire.events import (
    NEED_DATA,
    PAUSED,
    Body,
    EndOfRequest,
    Informational,
    ProtocolError,
    Request,
    Response,
    ResponseBody,
)
from .wire.h1 import H1Connection, H1Limits
from .wire.ws import handshake

if TYPE_CHECKING:
    from .host import ApplicationHost

BODY: Final = 1
PIPELINE: Final = 2

# What is read past of a request body that nobody wants, to keep the connection:
# a new connection costs about as much as this.
DISCARD_LIMIT: Final = 1 << 18

# Between requests, and nothing of the next one has come: why it may come.
BUSY: Final = 0
FRESH: Final = 1
KEPT: Final = 2
LAST: Final = 3


class HTTPConnection(asyncio.Protocol):
    """The protocol of a connection until it ends or becomes a WebSocket."""

    __slots__ = (
        "_backlog",
        "_body_deadline",
        "_closing",
        "_deadline",
        "_discarded",
        "_exchange",
        "_h1",
        "_held",
        "_host",
        "_idle",
        "_part",
        "_peers",
        "_received",
        "_transport",
        "flow",
        "write",
    )

    # The transport's own, once there is one: a call less on each response.
    write: Callable[[bytes], None]

    def __init__(self, host: ApplicationHost, limits: H1Limits) -> None:
        self._host = host
        self._h1 = H1Connection(limits)
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._peers = Peers(None, None)
        self._deadline = host.deadline(self._expire)
        self._backlog: Backlog | None = None
        self._body_deadline: Deadline | None = None
        self._held = 0
        self._closing = False
        self._idle = FRESH
        self._part: bytes | None = None
        self._received = self._discarded = 0
        self.flow = Flow(host.loop)
        self.write = _write_nowhere

    # -- the transport's side ------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        config = self._host.config
        self._transport = tcp = cast(asyncio.Transport, transport)
        tcp.set_write_buffer_limits(high=config.high_water, low=config.low_water)
        self.write = tcp.write
        self._peers = peers(tcp.get_extra_info("peername"), tcp.get_extra_info("sockname"))
        self._host.connections.add(self)
        self._deadline.set(config.header_timeout)
        if self._host.draining:
            self.shut_down()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._h1.receive_data(data)
        exchange = self._exchange
        if exchange is None:
            if self._idle:
                if self._idle != FRESH:
                    self._deadline.set(self._host.config.header_timeout)
                self._idle = BUSY
        elif exchange.request_ended:
            self._hold(PIPELINE)
            return
        if not self._held:
            self._advance()

    def eof_received(self) -> None:
        """The client writes no more: it is taken to be gone, and the transport closes."""

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        if self._exchange is not None:
            self._exchange.client_gone()
        self.flow.resume()
        self._discard_deadlines()
        self._exchange = self._transport = None
        self.write = _write_nowhere
        self._host.forget(self)

    def pause_writing(self) -> None:
        self.flow.pause()
        if self._backlog is None and self._transport is not None:
            self._backlog = Backlog(self._host, self._transport, self._too_slow)
        if self._backlog is not None:
            self._backlog.watch()

    def resume_writing(self) -> None:
        if self._backlog is not None:
            self._backlog.rest()
        self.flow.resume()
        exchange = self._exchange
        if exchange is not None and exchange.state is State.COMPLETE and exchange.request_ended:
            self._next_request()

    # -- the request ---------------------------------------------------------

    def _advance(self) -> None:
        """Take events out of the wire core until it has none or they have to wait."""
        while not self._held and not self._closing:
            event = self._h1.next_event()
            if event is NEED_DATA:
                self._await_body()
                break
            if event is PAUSED:
                # Whoever pipelines faster than we answer must not fill our memory.
                if self._h1.has_unread:
                    self._hold(PIPELINE)
                break
            kind = type(event)
            if kind is Request:
                self._request(cast(Request, event))
            elif kind is EndOfRequest:
                self._end_of_request()
            elif kind is Body:
                self._body(cast(Body, event).data)
            else:
                self._refuse_rest(cast(ProtocolError, event))
        self._flush_part()

    def _request(self, request: Request) -> None:
        if request.upgrade == b"websocket":
            self._upgrade(request)
            return
        limit = self._host.config.max_body_size
        if limit is not None and _content_length(request) > limit:
            self.refuse(413, f"The body is limited to {limit} bytes.")
            return
        host = self._host
        scope = http_scope(request, self._peers, host.config.root_path, host.state)
        self._received = 0
        self._deadline.set(host.config.http_timeout)
        self._exchange = Exchange(host, host.loop, self, scope, request)
        self._exchange.start()

    def _body(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.state is State.COMPLETE:
            self._discard(len(data))
            return
        self._received += len(data)
        limit = self._host.config.max_body_size
        if limit is not None and self._received > limit:
            self._part = None
            self._refuse_rest(ProtocolError(413, f"The body is limited to {limit} bytes."))
            return
        self._flush_part()
        # Held for one event: if the end follows, a small body is one message.
        self._part = data

    def _flush_part(self) -> None:
        part, self._part = self._part, None
        if part is not None and self._exchange is not None:
            self._exchange.body(part, more=True)

    def _await_body(self) -> None:
        exchange = self._exchange
        if exchange is not None and not exchange.awaits_continue and not self._closing:
            self._watch_body(self._host.config.body_timeout)

    def _watch_body(self, seconds: float | None) -> None:
        if self._body_deadline is None:
            self._body_deadline = self._host.deadline(self._body_overdue)
        self._body_deadline.set(seconds)

    def _body_overdue(self) -> None:
        """The client sends no more of its body, or the application takes no more of it."""
        exchange = self._exchange
        if exchange is None or self._closing or exchange.state is State.COMPLETE:
            # What is left then has its own deadline.
            return
        if self._held & BODY:
            failures.log_stuck(exchange.scope, self._host.config.input_deadline or 0)
            self._refuse_rest(ProtocolError(503, "The application took no more of the body."))
        else:
            self._refuse_rest(ProtocolError(408, "The rest of the body took too long."))

    def _end_of_request(self) -> None:
        if self._body_deadline is not None:
            self._body_deadline.clear()
        exchange = self._exchange
        if exchange is None:
            return
        part, self._part = self._part, None
        if exchange.state is State.COMPLETE:
            exchange.request_ended = True
            self._next_request()
        else:
            exchange.body(part or b"", more=False)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > DISCARD_LIMIT:
            self._linger()

    # -- the response --------------------------------------------------------

    def encode(self, event: Response | ResponseBody) -> bytes:
        return self._h1.send(event)

    def write_parts(self, *parts: bytes) -> None:
        """Write several pieces in one go, without joining them first."""
        if self._transport is not None:
            self._transport.writelines(parts)

    def write_continue(self) -> None:
        self.write(self._h1.send(Informational(100, [])))
        self._await_body()

    def response_done(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        if exchange.request_ended:
            self._next_request()
        elif exchange.awaits_continue or not self._h1.keep_alive:
            self._linger()
        else:
            # The rest of the body is read past; what waits in the mailbox is not wanted.
            self._deadline.set(self._host.config.close_timeout)
            self.resume_input()

    def _next_request(self) -> None:
        # A client that pipelines and never reads must not fill our buffer.
        if self.flow.paused or self._closing:
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        if not self._h1.keep_alive:
            self._hang_up()
            return
        self._h1.start_next_cycle()
        self._discarded = 0
        self._idle = BUSY if self._h1.has_unread else KEPT
        config = self._host.config
        self._deadline.set(config.keep_alive_timeout if self._idle else config.header_timeout)
        if self._host.draining:
            # The head was written before, and did not say that this connection ends.
            self.shut_down()
        if self._held:
            self._release(BODY | PIPELINE)
        else:
            # More requests may have come in the bytes of this one.
            self._advance()

    # -- holding the client's bytes back -------------------------------------

    def pause_input(self) -> None:
        if self._exchange is not None and self._exchange.request_ended:
            # Nothing of it is left to hold back, and a client that goes has to be noticed.
            return
        self._hold(BODY)
        self._watch_body(self._host.config.input_deadline)

    def resume_input(self) -> None:
        if self._body_deadline is not None:
            self._body_deadline.clear()
        self._release(BODY)

    def _hold(self, reason: int) -> None:
        if not self._held and self._transport is not None:
            self._transport.pause_reading()
        self._held |= reason

    def _release(self, reason: int) -> None:
        if not self._held:
            return
        self._held &= ~reason
        if not self._held and self._transport is not None and not self._closing:
            self._transport.resume_reading()
            self._advance()

    # -- becoming a WebSocket ------------------------------------------------

    def _upgrade(self, request: Request) -> None:
        agreed = handshake.check(request)
        if isinstance(agreed, ProtocolError):
            self.refuse(agreed.status, agreed.reason, agreed.headers)
            return
        if self._host.draining:
            self.refuse(503, "The server is restarting.")
            return
        host, transport = self._host, self._transport
        assert transport is not None
        scope = websocket_scope(
            request, agreed.subprotocols, self._peers, host.config.root_path, host.state
        )
        session = WebSocketSession(host, host.loop, transport, scope, agreed, self._h1.send)
        remainder = self._h1.take_remainder()
        transport.set_protocol(cast(asyncio.BaseProtocol, session))
        host.connections.discard(self)
        host.connections.add(session)
        self._closing = True
        self._transport = None
        self.write = _write_nowhere
        self._discard_deadlines()
        session.start(remainder)

    # -- the end -------------------------------------------------------------

    def shut_down(self) -> None:
        """Close now if no request is running or on its way, else when it is answered."""
        if self._exchange is not None and self._exchange.is_endless:
            # As if the client had left; one that comes back finds another process.
            self.abort()
            return
        if self._exchange is not None or self._closing or self._idle in (BUSY, LAST):
            return
        seconds = self._last_chance()
        self._idle = LAST
        if seconds > 0:
            self._deadline.set(seconds)
        else:
            self._hang_up_unless_readable()

    def _last_chance(self) -> float:
        """How long a request may still come that its client sent without knowing of our end.

        One that was connected, or answered, a moment ago is likely to send one just now.
        """
        config = self._host.config
        timeout = config.header_timeout if self._idle == FRESH else config.keep_alive_timeout
        if timeout is None:
            return config.last_request_timeout
        idle_since = self._deadline.at - timeout
        return idle_since + config.last_request_timeout - self._host.timers.now()

    def _hang_up_unless_readable(self) -> None:
        """Close, but not over a request that waits in the kernel: it was sent in time."""
        if self._transport is None or not _readable(self._transport):
            self._hang_up()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _hang_up(self) -> None:
        """Close once everything is written, or after `close_timeout`."""
        self._closing = True
        self._deadline.set(self._host.config.close_timeout)
        if self._transport is not None:
            self._transport.close()

    def _linger(self) -> None:
        """End our half, and read past what the client still sends until it ends too.

        RFC 9112 9.6: closing with unread bytes resets the connection, and the
        client may never see the response.
        """
        self._closing = True
        self._deadline.set(self._host.config.close_timeout)
        if self._transport is not None:
            self._transport.write_eof()
            if self._held:
                self._held = 0
                self._transport.resume_reading()

    def refuse(self, status: int, reason: str, headers: tuple[Header, ...] = ()) -> None:
        """Answer with a short text and end the connection."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_gone()
        self.write(plain_response(status, reason, headers))
        self._linger()

    def _refuse_rest(self, error: ProtocolError) -> None:
        """The client erred; what has been answered already stays as it is."""
        exchange = self._exchange
        if exchange is not None and exchange.state is State.STREAMING:
            self.abort()
        elif exchange is not None and exchange.state is State.COMPLETE:
            self._linger()
        else:
            self.refuse(error.status, error.reason, error.headers)

    def _expire(self) -> None:
        exchange = self._exchange
        if self._closing or exchange is None or exchange.state is State.COMPLETE:
            self._time_out(exchange)
        elif exchange.state is State.STREAMING:
            self.abort()
        else:
            exchange.fail(503, "the application did not answer in time")

    def _time_out(self, exchange: Exchange | None) -> None:
        if self._closing or exchange is not None:
            self.abort()
        elif self._idle == LAST:
            self._hang_up_unless_readable()
        elif self._idle == KEPT:
            self._hang_up()
        else:
            self.refuse(408, "The request head took too long.")

    def _too_slow(self) -> None:
        self._host.slow_clients += 1
        self.abort()

    def _discard_deadlines(self) -> None:
        for deadline in (self._deadline, self._backlog, self._body_deadline):
            if deadline is not None:
                deadline.discard()
        self._backlog = None


def plain_response(status: int, reason: str, headers: tuple[Header, ...] = ()) -> bytes:
    """A whole response of our own, that ends the connection."""
    phrase = HTTPStatus(status).phrase
    body = f"{status} {phrase}: {reason}\n".encode()
    lines = [
        b"HTTP/1.1 %d %s" % (status, phrase.encode()),
        b"content-type: text/plain; charset=utf-8",
        b"content-length: %d" % len(body),
        b"connection: close",
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _content_length(request: Request) -> int:
    for name, value in request.headers:
        if name == b"content-length":
            # Python refuses numbers of thousands of digits, even if all are zero.
            return int(value.lstrip(b"0") or b"0")
    return 0


def _readable(transport: asyncio.Transport) -> bool:
    """Whether bytes, or the client's end, wait to be read."""
    if not hasattr(select, "poll"):
        return False
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def _write_nowhere(data: bytes) -> None:
    """Take the place of a transport that is gone."""
