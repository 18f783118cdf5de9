"""Listening sockets: how they are bound, and how connections are taken from them.

We accept ourselves instead of asking the loop to, for one reason: when the table
of open files is full, the loops of this world either spin or log for each
attempt. Here accepting pauses, is logged once, and goes on when a connection has
ended or a moment has passed; clients wait in the backlog meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from typing import Final

from .config import ServerConfig, StartError

logger = logging.getLogger("channels.server")

Factory = Callable[[], asyncio.BaseProtocol]

# Connections taken in one go, before others get their turn on the loop.
BATCH: Final = 64
# Seconds until accepting is tried again when no connection ends before.
RETRY: Final = 1.0

# Out of descriptors (of the process, of the system) or of memory for sockets.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """Takes connections from one listening socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._socket = sock
        self._factory: Factory | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._warned = False
        self._server: asyncio.Server | None = None
        self._taking: set[asyncio.Task[object]] = set()

    @property
    def address(self) -> tuple[str, int] | str:
        """`(host, port)`, or the path of a Unix socket."""
        name = self._socket.getsockname()
        return (name[0], name[1]) if isinstance(name, tuple) else str(name)

    async def start(self, factory: Factory, backlog: int) -> None:
        self._factory = factory
        self._socket.setblocking(False)
        try:
            self._socket.listen(backlog)
            self._loop.add_reader(self._socket.fileno(), self._accept)
        except NotImplementedError:
            # A loop without readiness (Windows): it accepts itself.
            self._server = await self._loop.create_server(
                factory, sock=self._socket, backlog=backlog
            )

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                # Nobody waits any more: the next pause is a new one.
                self._warned = False
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._pause(error)
                return
            self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        assert self._factory is not None
        connection.setblocking(False)
        if connection.family != getattr(socket, "AF_UNIX", None):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._factory, connection)
        )
        self._taking.add(task)
        task.add_done_callback(self._taken)

    def _taken(self, task: asyncio.Task[object]) -> None:
        self._taking.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logger.error("A connection could not be taken.", exc_info=error)

    # -- a full table of descriptors -----------------------------------------

    def _pause(self, error: OSError) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._retry = self._loop.call_later(RETRY, self.resume)
        if not self._warned:
            self._warned = True
            logger.error(
                "Accepting is paused: %s. Raise the limit of open files (ulimit -n), "
                "or serve fewer connections.",
                error.strerror,
            )

    def resume(self) -> None:
        """Try again, if accepting is paused."""
        if self._retry is None:
            return
        self._retry.cancel()
        self._retry = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    @property
    def paused(self) -> bool:
        return self._retry is not None

    # -- the end -------------------------------------------------------------

    async def finish_taking(self) -> None:
        """Wait for the connections that are accepted but have no protocol yet."""
        if self._taking:
            await asyncio.wait(self._taking)

    def close(self) -> None:
        """Take no more; the path of a Unix socket is removed."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        elif self._server is None:
            self._loop.remove_reader(self._socket.fileno())
        if self._server is not None:
            self._server.close()
        address = self.address
        self._socket.close()
        if isinstance(address, str) and address and not address.startswith("\0"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)


def bind(config: ServerConfig) -> list[socket.socket]:
    """The listening sockets that `config` asks for; StartError if one cannot be had."""
    if config.sockets:
        return list(config.sockets)
    if config.unix_socket is not None:
        return [bind_unix(config.unix_socket)]
    return bind_tcp(config.host, config.port)


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """One socket for every address of `host`; with port 0 all get the same free port."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartError(f"The address {host!r} is not known: {error.strerror}.") from error
    bound: list[socket.socket] = []
    failure: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if port == 0 and bound:
            address = (address[0], bound[0].getsockname()[1], *address[2:])
        try:
            bound.append(_bind_one(family, kind, protocol, address))
        except OSError as error:
            failure = error
            # A host without IPv6 still resolves `localhost` to ::1.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break
    else:
        if bound:
            return bound
    for sock in bound:
        sock.close()
    raise _cannot_listen(f"{host or '*'} port {port}", failure)


def _bind_one(family: int, kind: int, protocol: int, address: object) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # A restarted server must not wait for the old one's TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Each family has its own socket; otherwise "::" would take IPv4's too.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)  # type: ignore[arg-type]
        sock.listen(0)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_unix(path: str) -> socket.socket:
    """A Unix socket at `path`; a file left by a dead server is replaced, a live one never."""
    if not hasattr(socket, "AF_UNIX"):
        raise StartError("Unix sockets do not exist on this system; use a host and a port.")
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise _cannot_listen(path, error) from error
    return sock


def _remove_stale(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_listen(path, error) from error
    if not stat.S_ISSOCK(mode):
        raise StartError(f"Cannot listen on {path}: there is a file which is no socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise _cannot_listen(path, error) from error
    raise StartError(f"Cannot listen on {path}: another server listens there.")


def _cannot_listen(where: str, error: OSError | None) -> StartError:
    if error is not None and error.errno == errno.EADDRINUSE:
        return StartError(f"Cannot listen on {where}: the address is already in use.")
    if error is not None and error.errno == errno.EACCES:
        return StartError(f"Cannot listen on {where}: permission denied.")
    # A path that is too long is an OSError without a strerror.
    why = "no address" if error is None else error.strerror or error
    return StartError(f"Cannot listen on {where}: {why}.")
