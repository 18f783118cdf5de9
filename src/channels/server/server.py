"""The life of one server: bind, start the application, serve, drain, stop.

`run` is for a process or thread of its own; `start` and `stop` embed the server
in a loop that is already running.

Signals, where `run` has the main thread: the first SIGTERM or SIGINT stops
accepting, lets running requests finish, closes sockets with 1012, ends the
application's lifespan, and the exit status is 0. A second one, at any moment,
cuts everything off, and the status is 1. As one of several workers a server heeds
SIGTERM alone, however often it comes; all else it hears from its supervisor.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from ..types import ASGIApplication
from .asgi.lifespan import Lifespan, LifespanFailed
from .config import ServerConfig, StartError
from .connection import HTTPConnection
from .host import Action, ApplicationHost
from .listener import Listener, OnListening, bind, tell_listening
from .loops import calm_garbage_collection, close_event_loop, new_event_loop, raise_file_limit
from .supervised import Supervised
from .wire.h1 import H1Limits

logger = logging.getLogger("channels.server")

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Server:
    """Serves one ASGI application.

    `on_action(protocol, action, details)` is told of every response and of every
    step of a WebSocket. `supervised` is the link of a worker with its supervisor.
    `on_listening(urls)` is called by `run` when connections are accepted.
    """

    def __init__(
        self,
        application: ASGIApplication,
        config: ServerConfig | None = None,
        on_action: Action | None = None,
        supervised: Supervised | None = None,
        on_listening: OnListening | None = None,
    ) -> None:
        as_asgi = getattr(application, "as_asgi", None)
        if isinstance(application, type) and callable(as_asgi):
            application = as_asgi()
        self.config = config or ServerConfig()
        self._application = application
        self._on_action = on_action
        self._supervised = supervised
        self._on_listening = on_listening
        self._shares = None if supervised is None else supervised.shares
        self._host: ApplicationHost | None = None
        self._lifespan: Lifespan | None = None
        self._listeners: list[Listener] = []
        self._addresses: list[tuple[str, int] | str] = []
        # Of `run`: how often a stop was asked for, and the loop to wake.
        self._stops = 0
        # At a stop: others go on to take what waits to be accepted.
        self._leave_queue = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._lock = threading.Lock()

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Where the server listens: `(host, port)`, or the path of a Unix socket."""
        return list(self._addresses)

    def statistics(self) -> dict[str, int]:
        """Plain counts: connections and applications now, slow clients so far."""
        host = self._host
        if host is None:
            return {"connections": 0, "applications": 0, "slow_clients": 0}
        return {
            "connections": len(host.connections),
            "applications": len(host.applications),
            "slow_clients": host.slow_clients,
        }

    # -- embedding -----------------------------------------------------------

    async def start(self) -> None:
        """Bind, start the application's lifespan and accept; StartError if one fails."""
        loop = asyncio.get_running_loop()
        host = ApplicationHost(self._application, self.config, loop, self._on_action)
        owned = not self.config.sockets
        self._listeners = [
            Listener(loop, sock, owned, self._shares, self._load) for sock in bind(self.config)
        ]
        try:
            self._lifespan = Lifespan(self._application, loop, self.config.lifespan)
            await self._lifespan.startup()
            host.state = self._lifespan.state
            host.on_forget = self._connection_ended
            if self._supervised is not None:
                host.enough = self._supervised.retire_after
                host.on_enough = self._supervised.retire
            self._host = host
            await self._accept(host)
        except LifespanFailed as error:
            self._close_listeners()
            raise StartError(f"The application could not start: {error}") from error
        except BaseException:
            self._close_listeners()
            raise

    async def _accept(self, host: ApplicationHost) -> None:
        config = self.config
        limits = H1Limits(
            max_line=config.max_request_line,
            max_headers_size=config.max_headers_size,
            max_header_count=config.max_header_count,
        )
        for listener in self._listeners:
            await listener.start(lambda: HTTPConnection(host, limits), config.backlog)
        self._addresses = [listener.address for listener in self._listeners]
        self._tell_share()

    async def stop(self) -> None:
        """Stop accepting, drain for at most `graceful_timeout`, end the lifespan."""
        host, listeners = self._host, self._listeners
        if host is None or host.draining:
            return
        host.draining = True
        self._close_listeners(0 if self._leave_queue else self.config.backlog + 1)
        for listener in listeners:
            await listener.finish_taking()
        await self._drain(host)
        if self._lifespan is not None:
            await self._end_lifespan(self._lifespan)
        host.timers.close()
        self._host = None

    async def _drain(self, host: ApplicationHost) -> None:
        try:
            async with asyncio.timeout(self.config.graceful_timeout):
                await host.drain()
        except TimeoutError:
            left = host.cut()
            logger.warning(
                "%d application(s) were still running after %g s; cancelled.",
                left,
                self.config.graceful_timeout,
            )
            await self._wait_for_cut(host)

    async def _wait_for_cut(self, host: ApplicationHost) -> None:
        try:
            async with asyncio.timeout(self.config.close_timeout):
                await host.drain()
        except TimeoutError:
            logger.error("%d application(s) ignored being cancelled.", len(host.applications))

    async def _end_lifespan(self, lifespan: Lifespan) -> None:
        try:
            async with asyncio.timeout(self.config.graceful_timeout):
                await lifespan.shutdown()
        except TimeoutError:
            logger.error(
                "The application's lifespan did not end in %g s.", self.config.graceful_timeout
            )

    def _close_listeners(self, take_waiting: int = 0) -> None:
        for listener in self._listeners:
            listener.close(take_waiting)
        self._listeners = []
        self._addresses = []
        if self._shares is not None:
            self._shares.leave()

    def _connection_ended(self) -> None:
        self._tell_share()
        for listener in self._listeners:
            if listener.paused and self._host is not None:
                # Not at once: the descriptor is closed after this callback.
                self._host.loop.call_soon(listener.resume)

    def _load(self) -> int:
        taken = 0 if self._host is None else len(self._host.connections)
        return taken + sum(listener.taking for listener in self._listeners)

    def _tell_share(self) -> None:
        if self._shares is not None and self._listeners:
            self._shares.write(self._load())

    # -- a process or thread of its own --------------------------------------

    def run(self) -> int:
        """Serve until a signal or `request_stop`; answers the exit status."""
        raise_file_limit()
        loop = new_event_loop()
        try:
            return self._run_through(loop)
        except StartError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            with self._lock:
                self._loop = None
            close_event_loop(loop, self.config.close_timeout)

    def _run_through(self, loop: asyncio.AbstractEventLoop) -> int:
        """Run the loop to our own end, whatever the applications raise."""
        serving = loop.create_task(self._serve())
        said: BaseException | None = None
        while True:
            try:
                return loop.run_until_complete(serving)
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio lets these two end a loop. One request or socket must not take
                # all others with it: it fails, as by any other exception.
                if serving.done() or self._host is None:
                    raise
                # Through two tasks, as Django has them, it comes twice.
                if error is not said:
                    said = error
                    logger.warning("An application raised %r; the server goes on.", error)

    def request_stop(self) -> None:
        """Ask `run` to stop, from any thread; a second time, to stop at once."""
        with self._lock:
            self._stops += 1
            self._wake()

    def request_drain(self, leave_queue: bool = False) -> None:
        """Ask `run` to stop, from any thread; however often, it is asked for once.

        `leave_queue`: connections that wait to be accepted are left to other processes.
        """
        with self._lock:
            if not self._stops:
                self._stops = 1
                self._leave_queue = leave_queue
            self._wake()

    def request_cut(self) -> None:
        """Ask `run` to stop at once, from any thread."""
        with self._lock:
            self._stops = max(2, self._stops)
            self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._on_stop)

    def _on_stop(self) -> None:
        if self._stops:
            self._stop.set()
        if self._stops > 1:
            self._force.set()

    async def _serve(self) -> int:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._loop = loop
        self._on_stop()
        serving = loop.create_task(self._start_wait_stop())
        forced = loop.create_task(self._force.wait())
        with self._supervision(loop), _signals(loop, self._on_signal()):
            await asyncio.wait((serving, forced), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            forced.cancel()
            serving.result()
            return 0
        logger.warning("Stopped by force; running requests and sockets were cut off.")
        if self._host is not None:
            self._host.cut()
        serving.cancel()
        await asyncio.wait((serving,), timeout=self.config.close_timeout)
        return 1

    def _on_signal(self) -> Mapping[int, Callable[[], None]]:
        if self._supervised is not None:
            return {signal.SIGTERM: self.request_drain}
        return dict.fromkeys(_SIGNALS, self.request_stop)

    @contextmanager
    def _supervision(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        if self._supervised is None:
            yield
            return
        self._supervised.attach(self, loop)
        try:
            yield
        finally:
            self._supervised.detach()

    async def _start_wait_stop(self) -> None:
        await self.start()
        if threading.current_thread() is threading.main_thread():
            calm_garbage_collection()
        self._tell_ready()
        await self._stop.wait()
        if self._supervised is None:
            logger.info("Stopping: no new connections, running requests may finish.")
        await self.stop()

    def _tell_ready(self) -> None:
        if self._supervised is not None:
            self._supervised.ready()
            return
        tell_listening(self._addresses, self._on_listening)


@contextmanager
def _signals(
    loop: asyncio.AbstractEventLoop, handlers: Mapping[int, Callable[[], None]]
) -> Iterator[None]:
    """Call these on signals, where this thread is the one that gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        try:
            loop.add_signal_handler(number, handler)
        except NotImplementedError:
            # Windows: the plain handler runs in this thread, between bytecodes.
            signal.signal(number, lambda *_, call=handler: call())
    try:
        yield
    finally:
        for number, previous in before.items():
            try:
                loop.remove_signal_handler(number)
            except NotImplementedError:
                pass
            signal.signal(number, previous)
