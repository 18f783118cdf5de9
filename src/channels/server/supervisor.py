"""The parent of several workers: it binds, starts them, and sees that they live.

It imports neither the application nor Django, so nothing of theirs can take it
down. All it does is answer to what happens: a worker is ready, wants a successor,
asks for something, or has ended (SIGCHLD); somebody wants to stop (SIGTERM,
SIGINT) or to have the code of now (SIGHUP, or a change that is watched for).

The first worker starts alone: what is wrong with the application is said once.
New code comes in the same way, while the old workers go on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from .config import ConfigurationError, ServerConfig, StartError
from .launch import Launch, current_folder, keep_standard_descriptors
from .listener import OnListening, address_of, bind, tell_listening, unlink
from .loops import raise_file_limit
from .reload import Changes, Watch
from .seats import Seat
from .shares import new_shares
from .worker import Worker

logger = logging.getLogger("channels.server")

# Seconds between heartbeats; shorter where the timeout is.
BEAT_SECONDS: Final = 1.0
# What an interpreter gets to end after its server has.
EXIT_SECONDS: Final = 5.0
# Far above what one machine has use for: a slip of the finger must not end it.
MOST_WORKERS: Final = 256

Handler = Callable[[Mapping[str, Any]], None]


class Supervisor:
    """Runs `command` as `workers` processes that serve the sockets of `config`.

    `worker_timeout`: seconds without a heartbeat after which one is killed, None for
    never. `on_request` does what workers ask for, by subject, in this thread.
    `changes(stop)` blocks and yields what changed: each brings new workers.
    `on_listening(urls)` is called when the first worker accepts connections.
    """

    def __init__(
        self,
        config: ServerConfig,
        command: Sequence[str],
        *,
        workers: int = 1,
        worker_timeout: float | None = 30.0,
        on_request: Mapping[str, Handler] | None = None,
        changes: Changes | None = None,
        on_listening: OnListening | None = None,
    ) -> None:
        if not 1 <= workers <= MOST_WORKERS:
            raise ConfigurationError(f"workers are 1 to {MOST_WORKERS}, not {workers!r}.")
        if worker_timeout is not None and not worker_timeout > 0:
            raise ConfigurationError(
                f"worker_timeout is more than 0 seconds, or None, not {worker_timeout!r}."
            )
        self.config = config
        self._command = tuple(command)
        self._timeout = worker_timeout
        self._on_request = on_request or {}
        self._changes = changes
        self._on_listening = on_listening
        self._seats = [Seat(number) for number in range(1, workers + 1)]
        # All that are not over, also those without a seat any more.
        self._workers: list[Worker] = []
        self._places = set(range(4 * workers + 4))
        self._sockets: list[socket.socket] = []
        self._announced = False
        self._renewing = False
        self._renew_again = ""
        self._stops = 0
        self._status = 0

    def run(self) -> int:
        """Serve until a signal; answers the exit status. In the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("A supervisor runs in the main thread: it lives by signals.")
        raise_file_limit()
        keep_standard_descriptors()
        try:
            self._sockets = bind(self.config)
        except StartError as error:
            print(error, file=sys.stderr)
            return 1
        with ExitStack() as stack:
            stack.callback(self._close_sockets)
            self._run(stack)
        return self._status

    def _run(self, stack: ExitStack) -> None:
        for sock in self._sockets:
            sock.listen(self.config.backlog)
        # Not uvloop, whatever the policy says: it wants SIGCHLD for itself.
        self._loop = loop = asyncio.SelectorEventLoop()
        stack.callback(loop.close)
        self._launch = self._make_launch()
        stack.callback(os.close, self._launch.shares)
        stack.enter_context(self._signals(loop))
        if self._changes is not None:
            stack.enter_context(Watch(self._changes, loop, self._on_change))
        loop.call_soon(self._settle, self._seats[0])
        loop.run_forever()

    def _make_launch(self) -> Launch:
        config = self.config
        return Launch(
            command=self._command,
            sockets=self._sockets,
            shares=new_shares(len(self._places)),
            beat=min(BEAT_SECONDS, (self._timeout or BEAT_SECONDS) / 4),
            # The server's own deadlines: to drain and for the lifespan, and to cut either off.
            patience=2 * (config.graceful_timeout + config.close_timeout) + EXIT_SECONDS,
            folder=current_folder(),
        )

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            if not self.config.sockets:
                unlink(sock)
            sock.close()
        self._sockets = []

    # -- starting ------------------------------------------------------------

    def _settle(self, seat: Seat) -> None:
        """See that a seat gets the worker it needs, now or after a pause."""
        if self._stops or self._renewing or not seat.needs_worker:
            return
        seconds = seat.pause()
        if not seconds:
            self._start(seat)
            return
        logger.info("Worker %d is started again in %g s.", seat.number, seconds)
        seat.wait(self._loop.call_later(seconds, self._retry, seat))

    def _retry(self, seat: Seat) -> None:
        seat.wait_no_more()
        self._start(seat)

    def _start(self, seat: Seat) -> None:
        place = min(self._places, default=None)
        try:
            worker = Worker(self._loop, self._launch, self, seat.number, place, self._timeout)
        except OSError as error:
            self._cannot_start(seat, error)
            return
        self._workers.append(worker)
        if place is not None:
            self._places.remove(place)
        if self._renewing or seat.worker is not None:
            seat.successor = worker
        else:
            seat.worker = worker

    def _cannot_start(self, seat: Seat, error: OSError) -> None:
        seat.failures += 1
        logger.error("Worker %d could not be started: %s", seat.number, error)
        if self._renewing:
            self._give_up_renewing()
        else:
            self._settle(seat)

    # -- what workers say ----------------------------------------------------

    def on_ready(self, worker: Worker) -> None:
        """A worker accepts connections."""
        if not self._announced:
            tell_listening([address_of(sock) for sock in self._sockets], self._on_listening)
        logger.info("%s is ready.", worker)
        if self._stops or worker.leaving:
            return
        if self._renewing:
            self._announced = True
            self._go_on_renewing(worker)
            return
        for seat in self._seats:
            if seat.successor is worker:
                self._hand_over(seat)
        if not self._announced:
            self._announced = True
            self._settle_all()

    def on_retire(self, worker: Worker) -> None:
        """A worker has had enough requests."""
        logger.info("%s has served its requests; it gets a successor.", worker)
        self._settle(self._seats[worker.number - 1])

    def on_ask(self, worker: Worker, question: Mapping[str, Any]) -> None:
        """A worker wants something that only we can do."""
        subject = question["subject"]
        try:
            handler = self._on_request.get(subject)
            if handler is None:
                raise LookupError(f"This supervisor knows nothing of {subject!r}.")
            handler(question["details"])
        except Exception as error:
            # The worker raises it, where it says more: with what it was asked for.
            logger.debug("%s asked for %r, which failed.", worker, subject, exc_info=True)
            text = str(error.args[0]) if isinstance(error, LookupError) else str(error)
            worker.answer(question, text or repr(error))
        else:
            worker.answer(question, None)

    # -- ends of workers -----------------------------------------------------

    def _on_child(self) -> None:
        for worker in list(self._workers):
            if worker.has_ended():
                self._ended(worker)

    def _ended(self, worker: Worker) -> None:
        self._workers.remove(worker)
        if worker.place is not None:
            self._places.add(worker.place)
        if self._stops or worker.leaving:
            self._left(worker)
        elif worker is self._seats[0].worker and not self._announced:
            self._never_began(worker)
        else:
            self._lost(worker)

    def _left(self, worker: Worker) -> None:
        asked = worker.process.returncode in (0, -signal.SIGTERM) or self._stops > 1
        level = logging.INFO if asked or worker.killed else logging.ERROR
        logger.log(level, "%s %s.", worker, "has ended" if asked else worker.ending())
        if self._stops and not self._workers:
            self._loop.stop()

    def _never_began(self, worker: Worker) -> None:
        """The first worker has ended, and none was ever ready."""
        status = worker.process.returncode
        if status < 0:
            self._lost(worker)
            return
        # With 1 it has said why, in one sentence.
        if status != 1:
            logger.error("%s %s before it was ready.", worker, worker.ending())
        if self._changes is None:
            self._status = 1
            self._loop.stop()
            return
        seat = self._seats[0]
        seat.note_end(worker, self._loop.time())
        self._await_change(seat)
        self._renew_if_wanted()

    def _lost(self, worker: Worker) -> None:
        seat = self._seats[worker.number - 1]
        unready = worker.ready_at is None
        logger.error("%s %s%s.", worker, worker.ending(), " before it was ready" if unready else "")
        renewed = worker is seat.successor and self._renewing
        seat.note_end(worker, self._loop.time())
        if self._changes is not None and unready and worker.process.returncode > 0:
            self._await_change(seat)
        if renewed:
            self._give_up_renewing()
        else:
            self._settle(seat)

    def _await_change(self, seat: Seat) -> None:
        """While somebody edits, the same code would fail in the same way again."""
        seat.waits_for_change = True
        logger.info("Waiting for a change of the code.")

    # -- new code ------------------------------------------------------------

    def _on_change(self, what: str) -> None:
        self._renew(f"{what} has changed")

    def _on_hangup(self) -> None:
        if self._had_terminal and not _has_terminal():
            # Not somebody who wants new code: the window was closed.
            if not self._outlives_terminal:
                logger.info("The terminal is gone.")
                self._stop()
            return
        self._renew("SIGHUP")

    def _renew(self, why: str) -> None:
        """Start new workers, and let the old ones go when all new ones are ready."""
        if self._stops:
            return
        if self._renewing or (not self._announced and self._seats[0].worker is not None):
            self._renew_again = why
            return
        logger.info("Starting new workers: %s.", why)
        self._renewing = True
        for seat in self._seats:
            seat.wait_no_more()
            seat.waits_for_change = False
            seat.failures = 0
            self._dismiss_successor(seat)
        self._start(self._seats[0])

    def _go_on_renewing(self, worker: Worker) -> None:
        if worker is self._seats[0].successor:
            for seat in self._seats[1:]:
                # Starting one may have failed, and ended all this.
                if self._renewing:
                    self._start(seat)
        successors = [seat.successor for seat in self._seats]
        if self._renewing and all(new is not None and new.ready_at for new in successors):
            for seat in self._seats:
                self._hand_over(seat)
            self._renewed()

    def _give_up_renewing(self) -> None:
        for seat in self._seats:
            self._dismiss_successor(seat)
        old = [str(seat.worker) for seat in self._seats if seat.worker is not None]
        logger.error("The new workers are given up. %s", _who_goes_on(old))
        self._renewed()

    def _renewed(self) -> None:
        self._renewing = False
        self._renew_if_wanted()
        self._settle_all()

    def _renew_if_wanted(self) -> None:
        again, self._renew_again = self._renew_again, ""
        if again:
            self._renew(again)

    def _settle_all(self) -> None:
        self._renew_if_wanted()
        for seat in self._seats:
            self._settle(seat)

    def _hand_over(self, seat: Seat) -> None:
        before = seat.hand_over()
        if before is not None:
            before.drain()

    def _dismiss_successor(self, seat: Seat) -> None:
        successor, seat.successor = seat.successor, None
        if successor is not None:
            successor.end()

    # -- signals, and stopping -----------------------------------------------

    @contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        self._had_terminal = _has_terminal()
        # As `nohup` has it.
        self._outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        handlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: self._on_hangup,
            signal.SIGCHLD: self._on_child,
        }
        before = {number: signal.getsignal(number) for number in handlers}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number, previous in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, previous)

    def _stop(self) -> None:
        """Let all drain; a second time, cut all off; a third time, kill."""
        self._stops += 1
        if self._stops == 1:
            logger.info("Stopping: no new connections, running requests may finish.")
            self._drain_all()
        elif self._stops == 2:
            logger.warning("Stopped by force; running requests and sockets were cut off.")
            self._status = 1
            for worker in self._workers:
                worker.cut(2 * self.config.close_timeout + 1)
        else:
            for worker in self._workers:
                worker.kill("was given no more time")

    def _drain_all(self) -> None:
        for seat in self._seats:
            seat.wait_no_more()
        # Ours first: with the last worker's, nobody listens, and who comes is refused.
        self._close_sockets()
        for worker in self._workers:
            worker.end()
        if not self._workers:
            self._loop.stop()


def _who_goes_on(workers: list[str]) -> str:
    if not workers:
        return "There are no old ones."
    return f"{', '.join(workers)} {'goes' if len(workers) == 1 else 'go'} on."


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
