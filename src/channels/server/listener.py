"""Listening sockets: how they are bound, and how connections are taken from them.

We accept ourselves instead of asking the loop to, for one reason: when the table
of open files is full, the loops of this world either spin or log for each
attempt. Here accepting pauses, is logged once, and goes on when a connection has
ended or a moment has passed; clients wait in the backlog meanwhile.

A socket that several workers listen on is taken from in turns: one connection at
a time, and a worker with more of them than its siblings waits a moment first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Sequence
from typing import Final

from .config import ServerConfig, StartError
from .shares import MARGIN, Shares

logger = logging.getLogger("channels.server")

Factory = Callable[[], asyncio.BaseProtocol]
OnListening = Callable[[list[str]], None]

# Connections taken in one go, before others get their turn on the loop.
BATCH: Final = 64
# Seconds until accepting is tried again when no connection ends before.
RETRY: Final = 1.0
# Seconds that a worker leaves to its siblings, when it has more connections than they.
YIELD: Final = 0.005
# Connections it takes in one go of those that they have left nevertheless. With a
# sibling that is stuck this makes 3,200 a second.
LEFT_BATCH: Final = 16

# Out of descriptors (of the process, of the system) or of memory for sockets.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """Takes connections from one listening socket.

    `owned`: it is ours alone, and so is the path of a Unix socket. `shares`: what
    the workers have that listen on it too, and `load` what this one has.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        owned: bool = True,
        shares: Shares | None = None,
        load: Callable[[], int] = lambda: 0,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._owned = owned
        self._shares = shares
        self._load = load
        self._yielding: asyncio.TimerHandle | None = None
        self._factory: Factory | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._warned = False
        self._server: asyncio.Server | None = None
        self._taking: set[asyncio.Task[object]] = set()

    @property
    def address(self) -> tuple[str, int] | str:
        """`(host, port)`, or the path of a Unix socket."""
        return address_of(self._socket)

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
        shares = self._shares
        siblings = [] if shares is None else shares.siblings()
        if siblings and self._load() > min(siblings) + MARGIN:
            self._loop.remove_reader(self._socket.fileno())
            self._let_go_first(siblings)
            return
        self._accept_many(1 if siblings else BATCH)
        if shares is not None:
            shares.write(self._load())

    def _let_go_first(self, siblings: list[int]) -> None:
        self._yielding = self._loop.call_later(YIELD, self._look_again, siblings)

    def _look_again(self, before: list[int]) -> None:
        assert self._shares is not None
        siblings = self._shares.siblings()
        if siblings != before and self._load() > min(siblings, default=0) + MARGIN:
            # They are at it.
            self._let_go_first(siblings)
            return
        # Whoever still waits would wait for somebody that is stuck, or busy.
        self._yielding = None
        self._loop.add_reader(self._socket.fileno(), self._accept)
        self._accept_many(LEFT_BATCH)
        self._shares.write(self._load())

    def _accept_many(self, most: int) -> None:
        for _ in range(most):
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
        if self._retry is not None:
            return
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

    @property
    def taking(self) -> int:
        """Connections that are accepted but have no protocol yet."""
        return len(self._taking)

    # -- the end -------------------------------------------------------------

    async def finish_taking(self) -> None:
        """Wait for the connections that are accepted but have no protocol yet."""
        if self._taking:
            await asyncio.wait(self._taking)

    def close(self, take_waiting: int = 0) -> None:
        """Take no more, but first up to `take_waiting` of those whom the kernel has let in.

        They would be cut off with the socket, if no other process listens on it.
        """
        # The path goes first: nobody can come by it any more, and a server that is
        # started now has not made its own yet.
        self._unlink()
        if take_waiting and self._server is None:
            self._accept_many(take_waiting)
        self._stop_waiting()
        if self._server is not None:
            self._server.close()
        self._socket.close()

    def _stop_waiting(self) -> None:
        waiting = self._server is None
        for handle in (self._retry, self._yielding):
            if handle is not None:
                handle.cancel()
                waiting = False
        self._retry = self._yielding = None
        if waiting:
            self._loop.remove_reader(self._socket.fileno())

    def _unlink(self) -> None:
        if self._owned:
            unlink(self._socket)


def address_of(sock: socket.socket) -> tuple[str, int] | str:
    """`(host, port)`, or the path of a Unix socket."""
    name = sock.getsockname()
    return (name[0], name[1]) if isinstance(name, tuple) else str(name)


def address_text(address: tuple[str, int] | str) -> str:
    """An address as a person would type it."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def tell_listening(
    addresses: Sequence[tuple[str, int] | str], on_listening: OnListening | None
) -> None:
    """Say where a server is to be found."""
    urls = [address_text(address) for address in addresses]
    for url in urls:
        logger.info("Listening on %s", url)
    if on_listening is not None:
        on_listening(urls)


def unlink(sock: socket.socket) -> None:
    """Remove the path of a listening Unix socket; other sockets have none."""
    address = address_of(sock)
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
