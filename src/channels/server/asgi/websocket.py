"""One WebSocket: from frames to ASGI events and back, and the legal order of both.

This is the hot path of the server. After the handshake a session is itself the
protocol of its transport: a frame costs one call to get here, one event out of
the wire core and one entry in the mailbox; `send` of a message costs one state
check (`writable`), one frame and one write. What is rare stands below the
lines that are not: closing, slow clients, the answer to the handshake.

The session is also the mailbox's inlet (the client's bytes can be held back)
and its sink (frames shared by many sockets are written past the application).
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

from ...mailbox import DirectReceive, Mailbox
from ...types import ClientDisconnected, Message, Scope
from ..wire.events import NEED_DATA
from ..wire.ws.connection import (
    BinaryMessage,
    CloseReceived,
    Ping,
    TextMessage,
    WSConnection,
    WSError,
)
from ..wire.ws.frames import encode_binary, encode_text
from ..wire.ws.handshake import Handshake, accept_response
from . import failures
from .backlog import Backlog
from .denial import Denial, Encode
from .flow import Flow
from .http import client_text
from .keepalive import Keepalive
from .ports import Deadline, Host, Running, Transport

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# RFC 6455 7.4.1 and the IANA registry.
NORMAL: Final = 1000
NO_STATUS: Final = 1005
LOST: Final = 1006
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013


class State(enum.Enum):
    """Where a socket is between its handshake and its end."""

    CONNECTING = "the handshake is not answered yet"
    DENYING = "the handshake is being denied"
    OPEN = "the socket is open"
    CLOSING = "the socket is closing"
    CLOSED = "the socket is closed"


# Every send asks for it; a global is found faster than an attribute of an enum.
OPEN: Final = State.OPEN


def _drop(message: Message, size: int) -> None:
    """Take the place of a mailbox when what the client says is heard no more."""


class WebSocketSession:
    """One WebSocket over one transport, from its request head to its end."""

    __slots__ = (
        "_backlog",
        "_close_deadline",
        "_deadline",
        "_denial",
        "_encode",
        "_failed",
        "_flow",
        "_handshake",
        "_held",
        "_host",
        "_input_deadline",
        "_keepalive",
        "_pending_pong",
        "_put",
        "_running",
        "_text",
        "_transport",
        "_write",
        "_ws",
        "heard",
        "kind",
        "mailbox",
        "scope",
        "state",
        "writable",
        "write_frame",
    )

    def __init__(
        self,
        host: Host,
        loop: AbstractEventLoop,
        transport: Transport,
        scope: Scope,
        handshake: Handshake,
        encode: Encode,
    ) -> None:
        config = host.config
        self._host = host
        self._transport = transport
        self._write = transport.write
        # Of the sink: the transport's own, a call less for each member of a broadcast.
        self.write_frame = transport.write
        self._ws = WSConnection(config.websocket_max_message_size, config.websocket_max_frame_size)
        self._text = self._ws.text
        self._handshake: Handshake | None = handshake
        self._encode: Encode | None = encode
        self._flow = Flow(loop)
        self._deadline = host.deadline(self._expire)
        self._backlog: Backlog | None = None
        self._input_deadline: Deadline | None = None
        self._close_deadline: Deadline | None = None
        self._keepalive: Keepalive | None = None
        self._denial: Denial | None = None
        self._running: Running | None = None
        self._failed = False
        # Nothing is heard before the application has answered the handshake.
        self._held = True
        self._pending_pong: bytes | None = None
        self.heard = False
        self.mailbox = Mailbox(loop, self, config.input_limit)
        self._put = self.mailbox.put_client
        self.scope = scope
        self.state = State.CONNECTING
        self.writable = False
        self.kind: Hashable = ("websocket", None)

    def start(self, remainder: bytes) -> None:
        """Start the application; `remainder` is what came behind the request head."""
        self._act("connecting")
        self._deadline.set(self._host.config.websocket_accept_timeout)
        self._put({"type": "websocket.connect"}, 0)
        send = self.send
        receive = DirectReceive(self.mailbox, send, self)
        self._running = self._host.start_application(self.scope, receive, send, self._ended)
        if remainder:
            self.data_received(remainder)

    # -- from the client -----------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if not self._failed:
            self._ws.receive_data(data)
            if not self._held:
                self._deliver()
            elif self.state is State.CONNECTING:
                # RFC 6455 4.1: a client waits for the 101; what comes before it waits too.
                self._transport.pause_reading()

    def _deliver(self) -> None:
        next_event = self._ws.next_event
        event = next_event()
        while event is not NEED_DATA:
            if type(event) is TextMessage:
                text = event[0]
                self._put({"type": "websocket.receive", "text": text}, len(text))
            else:
                self._other_event(event)
            # Over the mailbox's budget: what is parsed next waits in the wire core.
            if self._held:
                return
            event = next_event()

    def _other_event(self, event: Any) -> None:
        kind = type(event)
        if kind is BinaryMessage:
            data = event.data
            self._put({"type": "websocket.receive", "bytes": data}, len(data))
        elif kind is Ping:
            self._pong(event.data)
        elif kind is CloseReceived:
            self._client_closed(event.code, event.reason)
        elif kind is WSError:
            self._client_erred(event.code, event.reason)

    def _pong(self, data: bytes) -> None:
        if self._ws.close_sent:
            return
        if self._flow.paused:
            # RFC 6455 5.5.3: the latest ping alone may be answered. A client that
            # pings and never reads must not fill our buffer with pongs.
            self._pending_pong = data
        else:
            self._write(self._ws.pong(data))

    # -- from the application ------------------------------------------------

    async def send(self, message: Message) -> None:
        """The ASGI `send`: returns when the client keeps up with what was written."""
        if self.writable and message["type"] == "websocket.send":
            text = message.get("text")
            if text is not None and message.get("bytes") is None:
                try:
                    frame = self._text(text)
                except AttributeError:
                    raise _not_text(text) from None
                self._write(frame)
                if self.writable:
                    return
                await self._flow.drain()
                return
        await self._send(message)

    async def _send(self, message: Message) -> None:
        kind, state = message["type"], self.state
        if state is OPEN and kind == "websocket.send":
            await self._send_message(message)
        elif state is OPEN and kind == "websocket.close":
            self.close(_code(message), message.get("reason") or "")
        elif state is State.CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif state is State.CONNECTING and kind == "websocket.close":
            self.deny(403, b"Forbidden")
        elif state is State.CONNECTING and kind == "websocket.http.response.start":
            self._start_denial().start(message)
            self.state = State.DENYING
        elif state is State.DENYING and kind == "websocket.http.response.body":
            await self._send_denial_body(message)
        elif state is State.CLOSING or state is State.CLOSED:
            raise ClientDisconnected(f"{kind!r} was sent, but {state.value}.")
        else:
            raise RuntimeError(f"{kind!r} was sent while {state.value}; expected {_LEGAL[state]}.")

    async def _send_message(self, message: Message) -> None:
        if self._flow.paused:
            await self._flow.drain()
            if self.state is not OPEN:
                raise ClientDisconnected("The client did not take what was sent, and is gone.")
        self._write(self._frame(message))
        if self._flow.paused:
            await self._flow.drain()

    def _frame(self, message: Message) -> bytes:
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise ValueError(
                "'websocket.send' takes one of text and bytes, but came "
                f"text={text!r:.80}, bytes={data!r:.80}."
            )
        if data is None:
            if not isinstance(text, str):
                raise _not_text(text)
            return self._ws.text(text)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"The bytes of 'websocket.send' are bytes, but came {data!r:.80}.")
        return self._ws.binary(bytes(data))

    # -- the handshake -------------------------------------------------------

    def _accept(self, message: Message) -> None:
        handshake = self._handshake
        assert handshake is not None
        subprotocol, headers = message.get("subprotocol"), message.get("headers") or ()
        self._write(accept_response(handshake, subprotocol, headers))
        self.state = OPEN
        self.writable = not self._flow.paused
        self._encode = self._handshake = None
        self._keepalive = Keepalive(self, self._deadline, self._host.config)
        self._keepalive.start()
        self._act("connected")
        self.resume_input()

    def _start_denial(self) -> Denial:
        assert self._encode is not None
        self._denial = Denial(self._encode, self._write)
        return self._denial

    def deny(self, status: int, text: bytes) -> None:
        """Refuse the handshake with a plain response."""
        self._start_denial().plain(status, text)
        self._denied()

    async def _send_denial_body(self, message: Message) -> None:
        assert self._denial is not None
        self._denial.body(message)
        if self._denial.complete:
            self._denied()
        elif self._flow.paused:
            await self._flow.drain()

    def _denied(self) -> None:
        self._act("rejected")
        self._hang_up()
        self._disconnect(LOST, "")

    # -- closing -------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Start the closing handshake; the client's answer ends it, or `close_timeout`."""
        self._write(self._ws.close(code, reason))
        self._closing()
        if self._held:
            # What the client said before its close frame has to be read past.
            self.resume_input()

    def shut_down(self) -> None:
        """End the socket because the server stops: 1012, and the application is told."""
        if self.state is OPEN:
            self.close(SERVICE_RESTART, "The server is restarting.")
            self._disconnect(SERVICE_RESTART, "The server is restarting.")
        elif self.state is State.CONNECTING:
            self.deny(503, b"The server is restarting.")

    def abort(self) -> None:
        self._transport.abort()

    def _closing(self) -> None:
        self.state = State.CLOSING
        self.writable = False
        self._put = _drop
        self._deadline.set(self._host.config.close_timeout)
        self._flow.resume()

    def _hang_up(self) -> None:
        """Close the transport once everything is written, or after `close_timeout`."""
        self._closing()
        self._transport.close()

    def _client_closed(self, code: int, reason: str) -> None:
        # RFC 6455 5.5.1: answer with the same code, and 7.1.1: the server closes first.
        self._write(self._ws.close(None if code == NO_STATUS else code))
        self._hang_up()
        self._disconnect(code, reason)

    def _client_erred(self, code: int, reason: str) -> None:
        if not self._ws.close_sent:
            self._write(self._ws.close(code, reason))
        self._failed = True
        self._closing()
        self._disconnect(code, reason)
        # Closing now, with unread bytes in the kernel, would reset the connection
        # and lose the close frame; so only our half ends, and the rest is discarded.
        self._transport.write_eof()

    def _disconnect(self, code: int, reason: str) -> None:
        """Tell the application, once, and give it until the deadline to end."""
        message = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self.mailbox.put_disconnect(message)
        if self._keepalive is not None:
            self._keepalive = None
            self._act("disconnected")
        if self._running is not None and self._close_deadline is None:
            self._close_deadline = self._host.deadline(self._overdue)
            self._close_deadline.set(self._host.config.application_close_timeout)

    def _expire(self) -> None:
        if self.state is OPEN and self._keepalive is not None:
            self._keepalive.check(self._ws, self._write)
        elif self.state is State.CONNECTING:
            self.deny(503, b"The application did not answer in time.")
        else:
            self._transport.abort()

    def ping_unanswered(self) -> None:
        """End a socket whose client has given no sign of life."""
        self._disconnect(LOST, "")
        self._write(self._ws.close(INTERNAL_ERROR, "keepalive ping timeout"))
        self._closing()
        self._transport.abort()

    # -- the application's end -----------------------------------------------

    def _ended(self, error: BaseException | None) -> None:
        self._running = None
        if self._close_deadline is not None:
            self._close_deadline.discard()
            self._close_deadline = None
        self._report_end(error)
        if self.state is State.CONNECTING:
            self.deny(500, b"Internal Server Error")
        elif self.state is State.DENYING:
            self._transport.abort()
        elif self.state is OPEN:
            self.close(NORMAL if error is None else INTERNAL_ERROR)
            self._disconnect(NORMAL, "")
        self.mailbox.close()
        self._release()

    def _report_end(self, error: BaseException | None) -> None:
        if error is not None:
            failures.log_failure(self.scope, error)
        elif self.state is State.CONNECTING:
            failures.log_silence(self.scope, "accepting or closing the socket")
        elif self.state is State.DENYING:
            failures.log_silence(self.scope, "a complete denial response")

    def _overdue(self) -> None:
        if self._running is not None:
            seconds = self._host.config.application_close_timeout or 0
            failures.log_overdue(self.scope, self._running.name, seconds)
            self._running.cancel()

    # -- the transport's side ------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        raise AssertionError("a session takes over an open transport")

    def eof_received(self) -> None:
        """The client writes no more; the transport then closes."""

    def connection_lost(self, error: Exception | None) -> None:
        self._disconnect(LOST, "")
        self.state = State.CLOSED
        self.writable = False
        self._put = _drop
        self._flow.resume()
        self._deadline.discard()
        if self._backlog is not None:
            self._backlog.discard()
            self._backlog = None
        if self._input_deadline is not None:
            self._input_deadline.discard()
        self._host.forget(self)
        self._release()

    def _release(self) -> None:
        """Let go of what refers back to us once both ends are over."""
        if self.state is State.CLOSED and self._running is None:
            self.mailbox.inlet = self.mailbox.sink = None
            self._keepalive = self._encode = self._denial = None

    def pause_writing(self) -> None:
        self.writable = False
        self._flow.pause()
        if self._backlog is None:
            self._backlog = Backlog(self._host, self._transport, self._too_slow)
        self._backlog.watch()

    def resume_writing(self) -> None:
        self.writable = self.state is OPEN
        if self._backlog is not None:
            self._backlog.rest()
        self._flow.resume()
        pong, self._pending_pong = self._pending_pong, None
        if pong is not None:
            self._pong(pong)

    def _too_slow(self) -> None:
        self._host.slow_clients += 1
        failures.log_slow(self.scope, client_text(self.scope))
        self._disconnect(TRY_AGAIN_LATER, "The client reads too slowly.")
        if not self._ws.close_sent:
            # It stands behind all that the client did not read: a courtesy, no promise.
            self._write(self._ws.close(TRY_AGAIN_LATER))
        self._closing()
        self._transport.abort()

    # -- inlet of the mailbox ------------------------------------------------

    def pause_input(self) -> None:
        self._held = True
        if self._keepalive is not None:
            self._keepalive.excuse()
        self._transport.pause_reading()
        if self._input_deadline is None:
            self._input_deadline = self._host.deadline(self._stuck)
        self._input_deadline.set(self._host.config.input_deadline)

    def resume_input(self) -> None:
        if not self._held or self.state is State.CLOSED:
            return
        self._held = False
        if self._input_deadline is not None:
            self._input_deadline.clear()
        self._transport.resume_reading()
        self._deliver()

    def _stuck(self) -> None:
        if self.state is OPEN:
            failures.log_stuck(self.scope, self._host.config.input_deadline or 0)
            self.close(TRY_AGAIN_LATER, "The application is too busy.")
            self._disconnect(TRY_AGAIN_LATER, "The application is too busy.")
        elif self.state is State.CONNECTING:
            self.deny(503, b"The application is too busy.")

    # -- sink of shared frames -----------------------------------------------

    def encode(self, text: str | None, data: bytes | None) -> bytes:
        if text is not None:
            return encode_text(text)
        assert data is not None
        return encode_binary(data)

    # -- what is told to others ----------------------------------------------

    @property
    def held(self) -> bool:
        """Whether the client's bytes are held back by the mailbox."""
        return self._held

    @property
    def congested(self) -> bool:
        """Whether the client does not read what is written."""
        return self._flow.paused

    def _act(self, action: str) -> None:
        if self._host.watched:
            details = {"path": self.scope["path"], "client": client_text(self.scope)}
            self._host.action("websocket", action, details)


_LEGAL: Final = {
    State.CONNECTING: "'websocket.accept', 'websocket.close' or 'websocket.http.response.start'",
    State.DENYING: "'websocket.http.response.body'",
    State.OPEN: "'websocket.send' or 'websocket.close'",
}


def _code(message: Message) -> int:
    code = message.get("code")
    return NORMAL if code is None else int(code)


def _not_text(text: object) -> TypeError:
    return TypeError(f"The text of 'websocket.send' is a str, but came {text!r:.80}.")
