"""Where the server listens, and what happens when it cannot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import at_most

from channels.server import ConfigurationError, ServerConfig, StartError

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    body = repr((scope["client"] and scope["client"][0], scope["server"])).encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})


def test_a_port_that_is_taken_is_one_sentence(serve: Any) -> None:
    port = serve(app).port
    with pytest.raises(StartError) as caught:
        serve(app, port=port)
    assert str(caught.value) == (
        f"Cannot listen on 127.0.0.1 port {port}: the address is already in use."
    )


def test_an_unknown_host_is_one_sentence(serve: Any) -> None:
    with pytest.raises(StartError, match=r"^The address '256\.1\.1\.1' is not known: .*\.$"):
        serve(app, host="256.1.1.1")


def machine_has_ipv6() -> bool:
    """Asked of the machine, not of our server: its own failure is no reason to skip."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not machine_has_ipv6(), reason="this machine has no IPv6 loopback address")
def test_an_ipv6_address_can_be_bound(serve: Any) -> None:
    served = serve(app, host="[::1]")
    assert served.exchange(GET).endswith(f"('::1', ('::1', {served.port}))".encode())


def test_localhost_is_one_port_on_every_address_it_has(serve: Any) -> None:
    served = serve(app, host="localhost")
    assert {address[1] for address in served.server.addresses} == {served.port}
    assert "127.0.0.1" in {address[0] for address in served.server.addresses}


def test_a_unix_socket_is_served_and_removed_at_the_end(serve: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    served = serve(app, unix_socket=path)
    assert served.server.addresses == [path]
    assert served.exchange(GET).endswith(f"(None, ({path!r}, None))".encode())
    served.stop()
    assert not os.path.exists(path)


def test_a_unix_socket_left_by_a_dead_server_is_replaced(serve: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert b" 200 OK" in serve(app, unix_socket=path).exchange(GET)


def test_a_unix_socket_where_somebody_listens_is_left_alone(serve: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    served = serve(app, unix_socket=path)
    with pytest.raises(StartError, match="another server listens there"):
        serve(app, unix_socket=path)
    assert b" 200 OK" in served.exchange(GET)


def test_a_file_that_is_no_socket_is_left_alone(serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(StartError, match="a file which is no socket"):
        serve(app, unix_socket=str(path))
    assert path.read_text() == "precious"


def test_sockets_can_be_handed_in(serve: Any) -> None:
    sockets = [socket.socket(), socket.socket()]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    addresses = [sock.getsockname() for sock in sockets]
    served = serve(app, sockets=tuple(sockets))
    assert served.server.addresses == addresses
    for address in addresses:
        with socket.create_connection(address, timeout=5) as client:
            client.sendall(GET)
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "settings",
    [
        {"port": 70000},
        {"lifespan": "maybe"},
        {"low_water": 10, "high_water": 5},
        {"backlog": -1},
        {"ping_interval": 0},
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(settings: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ServerConfig(**settings)
    assert next(iter(settings)) in str(caught.value)


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
import logging
logging.basicConfig()
from channels.server import Server, ServerConfig, listener

listener.RETRY = 0.05
resume = listener.Listener.resume

def told(self):
    print("trying again", flush=True)
    resume(self)

listener.Listener.resume = told

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})

server = Server(app, ServerConfig(port=0, graceful_timeout=1))
logging.getLogger("channels.server").setLevel("INFO")
sys.exit(server.run())
"""


def test_a_full_table_of_descriptors_pauses_accepting_and_is_said_once() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    lines: list[str] = []
    with at_most(process):
        try:
            while not lines or "Listening" not in lines[-1]:
                lines.append(process.stderr.readline())
                assert lines[-1], lines
            address = ("127.0.0.1", int(lines[-1].rpartition(":")[2]))
            clients = [socket.create_connection(address, timeout=10) for _ in range(60)]
            assert "paused" in process.stderr.readline()
            # Who tries for the second time has failed the first time.
            for _ in range(2):
                assert process.stdout.readline() == "trying again\n"
            for client in clients[:50]:
                client.close()
            clients[-1].sendall(GET)
            assert clients[-1].recv(100).startswith(b"HTTP/1.1 200 OK")
            for client in clients:
                client.close()
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=10)
    assert "paused" not in rest
    assert process.returncode == 0
