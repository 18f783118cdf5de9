"""WebSockets over real sockets: what applications see, and what clients get."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, repeat
from typing import Any

import pytest
from held_back import connection_of, nothing_came, send_until_held, wait_until_unread
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from channels.mailbox import SharedMessage
from channels.server.loops import new_event_loop

both_loops = pytest.mark.parametrize(
    "loop_factory",
    [
        pytest.param(new_event_loop, id="uvloop"),
        pytest.param(asyncio.new_event_loop, id="asyncio", marks=pytest.mark.slow),
    ],
)
HANDSHAKE = (
    b"GET /raw HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class App:
    """Accepts, and keeps what it receives; `reply` is called with each message of the client."""

    def __init__(self, reply: Any = None, **accept: Any) -> None:
        self.scopes: list[Any] = []
        self.received: list[Any] = []
        self.errors: list[BaseException] = []
        self._reply = reply
        self._accept = accept

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        self.scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", **self._accept})
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "websocket.disconnect":
                return
            if self._reply is not None:
                try:
                    await self._reply(message, send)
                except OSError as error:
                    self.errors.append(error)


async def echo(message: Any, send: Any) -> None:
    await send({**message, "type": "websocket.send"})


def url(served: Any, path: str = "/") -> str:
    return f"ws://127.0.0.1:{served.port}{path}"


@contextmanager
def dialled(served: Any, path: str = "/", **options: Any) -> Iterator[ClientConnection]:
    with connect(url(served, path), close_timeout=1, **options) as client:
        yield client


@contextmanager
def raw(served: Any) -> Iterator[socket.socket]:
    """A socket just after its handshake, to say anything over."""
    with served.connect() as client:
        client.sendall(HANDSHAKE)
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        yield client


def read_head(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += read(client, 1)
    return data


def read(client: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = client.recv(size - len(data))
        assert part, "the server has closed"
        data += part
    return bytes(data)


def frame(opcode: int, payload: bytes = b"", fin: int = 0x80) -> bytes:
    """A frame as clients send them, masked."""
    if len(payload) < 126:
        head = struct.pack("!BB", fin | opcode, 0x80 | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", fin | opcode, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", fin | opcode, 0x80 | 127, len(payload))
    mask = os.urandom(4)
    long_mask = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(long_mask, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def close_of(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=5)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


# -- messages -------------------------------------------------------------------


@both_loops
def test_text_and_bytes_come_back_as_they_went(serve: Any) -> None:
    app = App(echo)
    with dialled(serve(app)) as client:
        for message in ("", "grüße", b"", b"\x00\xff", "x" * 300_000, b"y" * 300_000):
            client.send(message)
            assert client.recv(timeout=5) == message
    assert app.received[1] == {"type": "websocket.receive", "text": "grüße"}
    assert app.received[3] == {"type": "websocket.receive", "bytes": b"\x00\xff"}


def test_a_scope_says_all_that_asgi_asks_for(serve: Any) -> None:
    app = App()
    served = serve(app, root_path="/root")
    with dialled(served, "/root/caf%C3%A9?q=1", subprotocols=["a", "b"]) as client:
        own = client.local_address
    scope = app.scopes[0]
    headers = dict(scope.pop("headers"))
    assert headers[b"sec-websocket-protocol"] == b"a, b"
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/root/café",
        "raw_path": b"/root/caf%C3%A9",
        "query_string": b"q=1",
        "root_path": "/root",
        "client": own,
        "server": served.address,
        "subprotocols": ["a", "b"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


def test_fragments_are_one_message_and_a_ping_between_them_is_answered(serve: Any) -> None:
    app = App(echo)
    with raw(serve(app)) as client:
        client.sendall(frame(1, b"gr\xc3", fin=0) + frame(9, b"now") + frame(0, b"\xbc\xc3\x9fe"))
        assert read(client, 5) == b"\x8a\x03now"
        assert read(client, 9) == b"\x81\x07gr\xc3\xbc\xc3\x9fe"
        client.sendall(frame(8, b"\x03\xe8"))
    assert app.received[0]["text"] == "grüße"


def test_frames_right_behind_the_handshake_are_not_lost(serve: Any) -> None:
    app = App(echo)
    with serve(app).connect() as client:
        client.sendall(HANDSHAKE + frame(1, b"early") + frame(1, b"bird"))
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        assert read(client, 13) == b"\x81\x05early\x81\x04bird"


def test_a_client_that_closes_before_the_accept_gets_both_answers(serve: Any) -> None:
    app = App()
    with serve(app).connect() as client:
        client.sendall(HANDSHAKE + frame(8, b"\x03\xe8"))
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        assert read_all(client) == b"\x88\x02\x03\xe8"


def test_every_byte_may_come_alone(serve: Any) -> None:
    with serve(App(echo)).connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HANDSHAKE + frame(1, b"slow"):
            client.sendall(bytes([byte]))
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        assert read(client, 6) == b"\x81\x04slow"


# -- the handshake ----------------------------------------------------------------


def test_the_chosen_subprotocol_and_headers_are_in_the_answer(serve: Any) -> None:
    app = App(subprotocol="b", headers=[(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")])
    with dialled(serve(app), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response is not None
        assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ({"subprotocol": "c"}, "not offered"),
        ({"headers": [(b"sec-websocket-protocol", b"a")]}, "subprotocol"),
        ({"headers": [(b"a", b"b\r\nc: d")]}, "CR, LF or NUL"),
    ],
)
def test_an_accept_that_may_not_be_is_an_error_of_the_application(
    serve: Any, caplog: Any, accept: Any, expected: str
) -> None:
    with pytest.raises(InvalidStatus) as caught, dialled(serve(App(**accept)), subprotocols=["a"]):
        pass
    assert caught.value.response.status_code == 500
    assert expected in caplog.text


@both_loops
def test_a_close_before_the_accept_is_a_403(serve: Any) -> None:
    received = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.close"})
        received.append(await receive())

    served = serve(app)
    with pytest.raises(InvalidStatus) as caught, dialled(served):
        pass
    assert caught.value.response.status_code == 403
    served.wait_until(lambda: received)
    assert received == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert [action for _, action, _ in served.actions] == ["connecting", "rejected"]


def test_a_denial_can_be_any_response(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        headers = [(b"X-Why", b"because")]
        await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"a tea", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"pot"})

    with pytest.raises(InvalidStatus) as caught, dialled(serve(app)):
        pass
    response = caught.value.response
    assert (response.status_code, response.headers["x-why"]) == (418, "because")
    assert response.body == b"a teapot"


def test_half_a_denial_is_cut_off(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send({"type": "websocket.http.response.start", "status": 418})

    with serve(app).connect() as client:
        client.sendall(HANDSHAKE)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1000) == b""
    assert "a complete denial response" in caplog.text


@pytest.mark.parametrize("raises", [True, False])
def test_an_application_that_ends_before_accepting_is_a_500(
    serve: Any, caplog: Any, raises: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        if raises:
            raise KeyError("the reason")

    with pytest.raises(InvalidStatus) as caught, dialled(serve(app), "/where"):
        pass
    assert caught.value.response.status_code == 500
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "/where" in record.getMessage()
    assert ("the reason" in caplog.text) is raises


def test_a_handshake_that_is_not_answered_in_time_is_a_503(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        while (await receive())["type"] != "websocket.disconnect":
            pass

    served = serve(app)
    served.stop_clock()
    with served.connect() as client:
        client.sendall(HANDSHAKE)
        served.wait_until(lambda: served.statistics["applications"])
        served.pass_time(20.2)
        assert read_all(client).startswith(b"HTTP/1.1 503 ")


def test_a_bad_handshake_is_refused_and_another_version_is_told_ours(serve: Any) -> None:
    served = serve(App())
    assert served.exchange(HANDSHAKE.replace(b"Key: d", b"Key: ")).startswith(b"HTTP/1.1 400 ")
    data = served.exchange(HANDSHAKE.replace(b"Version: 13", b"Version: 8"))
    assert data.startswith(b"HTTP/1.1 426 ")
    assert b"sec-websocket-version: 13\r\n" in data


# -- closing ------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        (frame(8, b"\x0f\xa1bye"), 4001, "bye"),
        (frame(8), 1005, ""),
        (b"", 1006, ""),
        (frame(1, b"\xff"), 1007, "Text must be UTF-8."),
        (b"\x81\x00", 1002, "A frame from a client must be masked."),
        (
            frame(2, b"x" * 2000),
            1009,
            "A frame may have 1000 bytes, not 2000.",
        ),
    ],
)
def test_the_application_is_told_how_the_client_ended(
    serve: Any, close: bytes, code: int, reason: str
) -> None:
    app = App()
    served = serve(app, websocket_max_frame_size=1000)
    with raw(served) as client:
        client.sendall(close)
        if close:
            head = client.recv(4)
            assert head[0] == 0x88
            assert head[2:] == (b"" if code == 1005 else struct.pack("!H", code))
    served.wait_until(lambda: app.received)
    assert app.received == [{"type": "websocket.disconnect", "code": code, "reason": reason}]


@both_loops
def test_the_application_closes_with_a_code_and_a_reason(serve: Any) -> None:
    async def reply(message: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4002, "reason": "enough"})
        with pytest.raises(OSError, match="closing"):
            await send({"type": "websocket.send", "text": "more"})
        await send({"type": "websocket.close"})

    app = App(reply)
    served = serve(app)
    with dialled(served) as client:
        client.send("x")
        assert close_of(client) == (4002, "enough")
    served.wait_until(lambda: len(app.received) > 1)
    assert app.received[1]["code"] == 4002
    assert len(app.errors) == 1


def test_a_code_that_no_frame_may_carry_is_an_error_of_the_application(
    serve: Any, caplog: Any
) -> None:
    async def reply(message: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 1006})

    with dialled(serve(App(reply))) as client:
        client.send("x")
        assert close_of(client)[0] == 1011
    assert "Close code 1006" in caplog.text


def test_a_client_that_never_answers_the_close_is_cut_off(serve: Any) -> None:
    async def reply(message: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    app = App(reply)
    served = serve(app, close_timeout=5)
    served.stop_clock()
    with raw(served) as client:
        client.sendall(frame(1, b"x"))
        assert read(client, 4) == b"\x88\x02\x03\xe8"
        assert served.statistics["connections"] == 1
        served.pass_time(5.2)
        served.wait_until(lambda: not served.statistics["connections"])
    assert app.received[-1]["code"] == 1006


def test_an_application_that_raises_closes_its_socket_with_1011_and_no_other(
    serve: Any, caplog: Any
) -> None:
    async def reply(message: Any, send: Any) -> None:
        if message.get("text") == "fail":
            raise KeyError("the reason")
        await echo(message, send)

    served = serve(App(reply))
    with dialled(served, "/good") as good, dialled(served, "/bad") as bad:
        bad.send("fail")
        assert close_of(bad)[0] == 1011
        good.send("still here")
        assert good.recv(timeout=5) == "still here"
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "/bad" in record.getMessage()
    assert "the reason" in caplog.text


def test_an_application_that_returns_closes_its_socket_with_1000(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})

    with dialled(serve(app)) as client:
        assert close_of(client) == (1000, "")


def test_an_application_that_outlives_its_client_is_cancelled_with_a_warning(
    serve: Any, caplog: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    served = serve(app)
    served.stop_clock()
    with dialled(served, "/stuck"):
        pass
    served.wait_until(lambda: not served.statistics["connections"])
    assert served.statistics["applications"] == 1
    served.pass_time(10.2)
    served.wait_until(lambda: not served.statistics["applications"])
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert "/stuck" in record.getMessage()
    assert "Event.wait" in record.getMessage()


def test_every_step_is_told_as_an_action(serve: Any) -> None:
    served = serve(App())
    with dialled(served, "/a?b"):
        pass
    served.wait_until(lambda: len(served.actions) == 3)
    assert [(kind, action) for kind, action, _ in served.actions] == [
        ("websocket", "connecting"),
        ("websocket", "connected"),
        ("websocket", "disconnected"),
    ]
    assert served.actions[0][2]["path"] == "/a"
    assert served.actions[0][2]["client"].startswith("127.0.0.1:")


# -- what may not be sent -------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"type": "websocket.send"}, "one of text and bytes"),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, "one of text and bytes"),
        ({"type": "websocket.send", "text": b"a"}, "is a str"),
        ({"type": "websocket.send", "bytes": "a"}, "are bytes"),
        ({"type": "websocket.accept"}, "expected 'websocket.send' or 'websocket.close'"),
        ({"type": "http.response.start"}, "expected 'websocket.send' or 'websocket.close'"),
    ],
)
def test_what_may_not_be_sent_raises_out_of_send(
    serve: Any, caplog: Any, message: Any, expected: str
) -> None:
    async def reply(_: Any, send: Any) -> None:
        await send(message)

    with dialled(serve(App(reply))) as client:
        client.send("x")
        assert close_of(client)[0] == 1011
    assert expected in caplog.text


def test_a_message_before_the_accept_is_an_error(serve: Any, caplog: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await send({"type": "websocket.send", "text": "early"})

    with pytest.raises(InvalidStatus), dialled(serve(app)):
        pass
    assert "the handshake is not answered yet; expected 'websocket.accept'" in caplog.text


def test_bytes_may_be_any_buffer_and_unset_keys_may_be_none(serve: Any) -> None:
    async def reply(message: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": None, "bytes": bytearray(b"a")})
        await send({"type": "websocket.send", "bytes": memoryview(b"b")})
        await send({"type": "websocket.send", "text": "c", "bytes": None})

    with dialled(serve(App(reply))) as client:
        client.send("x")
        assert [client.recv(timeout=5) for _ in range(3)] == [b"a", b"b", "c"]


# -- slow ends ------------------------------------------------------------------------


@both_loops
def test_a_client_that_says_more_than_is_read_is_held_back_and_loses_nothing(serve: Any) -> None:
    go = threading.Event()

    async def reply(message: Any, send: Any) -> None:
        if message.get("text") == "wait":
            await asyncio.get_running_loop().run_in_executor(None, go.wait, 10)

    app = App(reply)
    served = serve(app, input_limit=100_000)
    served.stop_clock()
    with raw(served) as client:
        client.sendall(frame(1, b"wait"))
        numbers = count()
        numbered = (frame(1, b"%08d" % next(numbers) + b"x" * 10_000) for _ in range(20_000))
        _, rest = send_until_held(served, client, numbered)
        # Silence is no death while we do not read.
        for _ in range(5):
            served.pass_time(21)
        assert served.statistics["connections"] == 1
        go.set()
        client.sendall(rest + frame(8, b"\x03\xe8"))
        served.wait_until(lambda: app.received[-1]["type"] == "websocket.disconnect")
    texts = [int(message["text"][:8]) for message in app.received[1:-1]]
    assert texts == list(range(next(numbers)))


def test_a_client_whose_application_is_stuck_is_let_go_with_1013(
    serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    async def reply(message: Any, send: Any) -> None:
        if message.get("text") == "wait":
            await asyncio.get_running_loop().run_in_executor(None, go.wait, 10)

    app = App(reply)
    served = serve(app, input_limit=100_000, input_deadline=60)
    served.stop_clock()
    with raw(served) as client:
        client.sendall(frame(1, b"wait"))
        _, _ = send_until_held(served, client, (frame(1, b"x" * 10_000) for _ in range(20_000)))
        served.pass_time(61)
        while (head := read(client, 2)) == b"\x89\x00":
            pass  # a ping
        assert head[0] == 0x88
        assert read(client, head[1])[:2] == (1013).to_bytes(2, "big")
        go.set()
        served.wait_until(lambda: app.received[-1]["type"] == "websocket.disconnect")
    assert app.received[-1]["code"] == 1013
    assert "took nothing of what its client sent for 60 s" in caplog.text


def test_a_flood_of_empty_messages_is_held_back_too(serve: Any) -> None:
    go = threading.Event()

    async def reply(message: Any, send: Any) -> None:
        if not go.is_set():
            await asyncio.get_running_loop().run_in_executor(None, go.wait, 10)

    served = serve(App(reply))
    with raw(served) as client:
        sent, _ = send_until_held(served, client, repeat(frame(1) * 10_000, 1000))
        assert sent < 32 << 20
        # Reset, so that the kernel forgets the rest: nobody waits for a million messages.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    go.set()


@both_loops
def test_send_waits_for_a_client_that_does_not_read(serve: Any) -> None:
    sent = []

    async def reply(message: Any, send: Any) -> None:
        for number in range(500):
            await send({"type": "websocket.send", "text": "x" * 65536})
            sent.append(number)

    served = serve(App(reply))
    with served.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(HANDSHAKE + frame(1, b"go"))
        served.wait_until(lambda: sent)
        wait_until_unread(served)
        assert served.call(len, sent) < 400
        assert len(read(client, 500 * 65546))
    assert len(sent) == 500


@both_loops
def test_a_client_that_stays_too_slow_is_cut_off_and_counted(serve: Any, caplog: Any) -> None:
    async def reply(message: Any, send: Any) -> None:
        for _ in range(1000):
            await send({"type": "websocket.send", "text": "x" * 65536})

    app = App(reply)
    served = serve(app)
    served.stop_clock()
    with raw(served) as client:
        client.sendall(frame(1, b"go"))
        wait_until_unread(served)
        assert app.errors == []
        served.pass_time(30.2)
        served.wait_until(lambda: app.received[-1:] and app.received[-1]["type"].endswith("nect"))
        assert served.statistics["slow_clients"] == 1
    assert app.received[-1]["code"] == 1013
    assert len(app.errors) == 1
    assert "did not read" in caplog.text


def test_pings_of_a_client_that_does_not_read_fill_no_memory(serve: Any) -> None:
    async def reply(message: Any, send: Any) -> None:
        for _ in range(1000):
            await send({"type": "websocket.send", "text": "x" * 65536})

    served = serve(App(reply))
    with raw(served) as client:
        client.sendall(frame(1, b"go"))
        wait_until_unread(served)
        session = connection_of(served)
        before = session._transport.get_write_buffer_size()
        client.sendall(b"".join(frame(9, b"%d" % number) for number in range(10_000)))
        served.wait_until(lambda: session._pending_pong == b"9999")
        assert session._transport.get_write_buffer_size() <= before


def test_a_client_that_gives_no_sign_of_life_is_cut_off(serve: Any) -> None:
    app = App()
    served = serve(app)
    served.stop_clock()
    with raw(served) as client:
        served.pass_time(19)
        assert nothing_came(client)
        served.pass_time(1.2)
        assert client.recv(2) == b"\x89\x00"
        served.pass_time(19)
        assert served.statistics["connections"] == 1
        served.pass_time(1.2)
        served.wait_until(lambda: not served.statistics["connections"])
    assert app.received == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_any_bytes_are_a_sign_of_life(serve: Any) -> None:
    served = serve(App(echo))
    served.stop_clock()
    with raw(served) as client:
        for _ in range(4):
            # Long enough to look for an answer to the last ping, and to send the next.
            served.pass_time(21)
            assert read(client, 2) == b"\x89\x00"
            client.sendall(frame(1, b"no pong"))
            assert read(client, 9) == b"\x81\x07no pong"
        assert served.statistics["connections"] == 1


# -- shared frames ----------------------------------------------------------------------


def test_a_shared_frame_goes_straight_out_when_the_application_waits(serve: Any) -> None:
    receives: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        assert receive.send is send
        receive.mailbox.sink = receive.sink
        receives.append(receive)
        assert not receive.sink.writable
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    served = serve(app)
    with dialled(served) as client:
        mailbox = receives[0].mailbox
        later = mailbox.loop.time() + 60
        for shared in (SharedMessage("text", None), SharedMessage(None, b"bytes")):
            served.loop.call_soon_threadsafe(mailbox.put_shared, shared, later, 10)
        assert client.recv(timeout=5) == "text"
        assert client.recv(timeout=5) == b"bytes"


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))
