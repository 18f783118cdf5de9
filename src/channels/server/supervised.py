"""A worker's end of the link with its supervisor.

A worker is an ordinary process with an ordinary `Server`, on sockets that it
inherited. What it inherited stands in one environment variable, which is taken
out at once: programs that the application starts are no workers.

One thread listens, so that what the supervisor says, and its death, is noticed
also while the application is imported or an event loop is stuck. Heartbeats come
from the loop: that is what they are there to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import itertools
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final, Protocol

from .config import ConfigurationError
from .link import VARIABLE, Lines, encode
from .shares import Shares

logger = logging.getLogger("channels.server")

# What the supervisor gets to answer. It only ever opens something and says so.
ASK_SECONDS: Final = 5.0
# Signals that a terminal sends to all processes of a command. Ours is the supervisor's word.
_TERMINAL: Final = ("SIGINT", "SIGHUP")


class Serving(Protocol):
    """The server of this process; each may be called from any thread."""

    def request_drain(self, leave_queue: bool = False) -> None: ...
    def request_cut(self) -> None: ...


def dump_signal() -> int:
    """The signal on which a worker writes down the stacks of all its threads.

    One that applications do not use for themselves, where the system has such.
    """
    return getattr(signal, "SIGRTMIN", None) or signal.SIGUSR2


class Supervised:
    """This process, as one of a supervisor's workers.

    `number` is told in logs; `sockets` listen; `retire_after` requests and
    handshakes a successor is asked for (0: never).
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.number: int = given["number"]
        self.sockets = tuple(socket.socket(fileno=number) for number in given["sockets"])
        self.shares = _shares(given)
        self.retire_after = 0
        self._supervisor: int = given["supervisor"]
        self._beat_seconds: float = given["beat"]
        self._patience: float = given["patience"]
        self._link = socket.socket(fileno=given["link"])
        self._stacks: int = given["stacks"]
        self._numbers = itertools.count(1)
        self._answers: dict[int, Future[str | None]] = {}
        # Of the state below: who serves, what was asked before, why nobody can be asked.
        self._lock = threading.Lock()
        self._serving: Serving | None = None
        self._asked: list[dict[str, Any]] = []
        self._alone = ""
        # Of writing: one line at a time.
        self._sending = threading.Lock()
        self._unsent = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None

    @classmethod
    def take(cls) -> Supervised | None:
        """This process's link, if a supervisor has started it. The variable is gone afterwards."""
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return None
        try:
            given = json.loads(text)
            supervised = cls(given)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise ConfigurationError(
                f"{VARIABLE} is set by a supervisor for its worker alone; unset it. ({error!r:.80})"
            ) from error
        supervised._keep_from_children([*given["sockets"], given["link"], given["stacks"]])
        supervised._own_signals()
        _restore_path(given)
        threading.Thread(target=supervised._listen, name="channels-supervised", daemon=True).start()
        return supervised

    def _keep_from_children(self, descriptors: list[int]) -> None:
        for number in descriptors:
            os.set_inheritable(number, False)
        # A process that is forked without exec gets them all the same. It would keep the
        # port taken after our end, with nobody to answer.
        os.register_at_fork(after_in_child=lambda: self._forked(descriptors))

    def _forked(self, descriptors: list[int]) -> None:
        self._alone = "This process was forked from a worker: it has no supervisor of its own."
        faulthandler.unregister(dump_signal())
        for number in descriptors:
            # The application's own code may have closed them before.
            with contextlib.suppress(OSError):
                os.close(number)

    def _own_signals(self) -> None:
        faulthandler.register(dump_signal(), file=self._stacks, all_threads=True, chain=False)
        if threading.current_thread() is not threading.main_thread():
            return
        # A handler that does nothing, unlike SIG_IGN, is not inherited by other programs.
        numbers = [getattr(signal, name) for name in _TERMINAL]
        for number in numbers:
            signal.signal(number, _nothing)
        # The supervisor had them blocked until now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)

    # -- what the server tells -----------------------------------------------

    def attach(self, serving: Serving, loop: asyncio.AbstractEventLoop) -> None:
        """From now on `serving` hears what the supervisor wants, and `loop` beats.

        SIGTERM, which ended us at once until now, is for the server to heed, and after
        its end for nobody: a second one must not cut off what is left to be done.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _nothing)
        self._loop = loop
        self._beat()
        with self._lock:
            self._serving = serving
            asked, self._asked = self._asked, []
        for message in asked:
            self._tell(serving, message)

    def detach(self) -> None:
        """The loop is over: no sign of life comes any more."""
        self._send({"type": "done"})
        with self._lock:
            self._serving = None
        if self._handle is not None:
            self._handle.cancel()
        self._loop = self._handle = None

    def ready(self) -> None:
        """Tell that connections are accepted."""
        self._send({"type": "ready"}, time.monotonic() + ASK_SECONDS)

    def retire(self) -> None:
        """Ask for a successor; this process serves until it is there."""
        self._send({"type": "retire"}, time.monotonic() + ASK_SECONDS)

    def _beat(self) -> None:
        if self._loop is not None:
            self._send({"type": "alive"})
            self._handle = self._loop.call_later(self._beat_seconds, self._beat)

    # -- what others ask of the supervisor -----------------------------------

    def ask(self, subject: str, details: Mapping[str, Any]) -> None:
        """Have the supervisor do something; returns when it has. From any thread.

        TimeoutError if it does not answer, RuntimeError with its reason if it cannot.
        """
        number, answer = next(self._numbers), Future[str | None]()
        with self._lock:
            if self._alone:
                raise RuntimeError(self._alone)
            self._answers[number] = answer
        question = {"type": "ask", "id": number, "subject": subject, "details": dict(details)}
        until = time.monotonic() + ASK_SECONDS
        try:
            self._send(question, until)
            error = answer.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise TimeoutError(
                f"The supervisor (pid {self._supervisor}) was asked for {subject!r} and did not "
                f"answer within {ASK_SECONDS:g} s. Is it stopped, or the machine out of breath?"
            ) from None
        finally:
            with self._lock:
                self._answers.pop(number, None)
        if error is not None:
            raise RuntimeError(error)

    # -- writing -------------------------------------------------------------

    def _send(self, message: Mapping[str, Any], until: float | None = None) -> None:
        """Write a line by `until`; TimeoutError after that. Without it, at once or not at all."""
        data = encode(message)
        seconds = 0.0 if until is None else max(0.0, until - time.monotonic())
        if not self._sending.acquire(timeout=seconds):
            return
        try:
            if until is not None or not self._unsent:
                self._unsent += data
            self._flush(until)
        except BlockingIOError:
            if until is not None:
                raise TimeoutError("The supervisor does not read.") from None
        except OSError:
            # It is gone. The thread that listens has noticed, and sees to what follows.
            logger.debug("The supervisor cannot be told of %r.", message["type"])
        finally:
            self._sending.release()

    def _flush(self, until: float | None) -> None:
        while self._unsent:
            try:
                sent = self._link.send(self._unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if until is None or not _writable(self._link, until):
                    raise
                continue
            del self._unsent[:sent]

    # -- listening, in a thread ----------------------------------------------

    def _listen(self) -> None:
        lines = Lines()
        while True:
            try:
                data = self._link.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self._bereaved()
                return
            for message in lines.feed(data):
                self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message["type"] == "answer":
                answer = self._answers.get(message["id"])
                if answer is not None:
                    answer.set_result(message["error"])
                return
            serving = self._serving
            if serving is None:
                self._asked.append(message)
                return
        self._tell(serving, message)

    def _tell(self, serving: Serving, message: dict[str, Any]) -> None:
        if message["type"] == "drain":
            serving.request_drain(message["leave_queue"])
        elif message["type"] == "force":
            serving.request_cut()

    def _bereaved(self) -> None:
        """The supervisor is gone: nobody would replace us, stop us, or know of us."""
        logger.error(
            "The supervisor (pid %d) is gone. Worker %d (pid %d) finishes its requests and ends.",
            self._supervisor,
            self.number,
            os.getpid(),
        )
        with self._lock:
            self._alone = f"The supervisor (pid {self._supervisor}) is gone."
            answers = list(self._answers.values())
            importing = self._serving is None
        for answer in answers:
            answer.set_result(self._alone)
        self._hear({"type": "drain", "leave_queue": False})
        if importing:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._patience)
        logger.error("Worker %d (pid %d) could not end; it is cut off.", self.number, os.getpid())
        os._exit(1)


def _shares(given: Mapping[str, Any]) -> Shares | None:
    if given["shares"] is None:
        return None
    shares = Shares(given["shares"], given["place"])
    os.close(given["shares"])
    return shares


def _restore_path(given: Mapping[str, Any]) -> None:
    """Find modules where the supervisor's process would, whatever it was started as."""
    here = os.getcwd()
    sys.path[:] = [entry or here for entry in given["path"]]
    if given["pythonpath"] is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = given["pythonpath"]


def _writable(sock: socket.socket, until: float) -> bool:
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT)
    return bool(waiting.poll(max(0.0, until - time.monotonic()) * 1000))


def _nothing(number: int, frame: object) -> None:
    """Take no notice of a signal."""
