"""One worker process, as its supervisor sees it.

It tells the supervisor what the worker says (`Hearer`), notices that it is stuck,
and ends it: asked for on the link and by SIGTERM, within a deadline, and then by
SIGKILL. What follows from an end is the supervisor's to decide.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from .launch import Launch
from .link import Lines, LinkError, encode
from .stacks import StackReader
from .supervised import dump_signal

logger = logging.getLogger("channels.server")

# Until the first heartbeat: large applications take their time to be imported.
START_SECONDS: Final = 120.0
# After a worker closed its link, which it does by ending.
FAREWELL_SECONDS: Final = 5.0
# A timer of ours that is this late says that we did not run, not that the worker did not.
LATE_SECONDS: Final = 1.0


class Hearer(Protocol):
    """The supervisor, as its workers see it."""

    def on_ready(self, worker: Worker) -> None: ...
    def on_retire(self, worker: Worker) -> None: ...
    def on_ask(self, worker: Worker, question: Mapping[str, Any]) -> None: ...


class Worker:
    """A process that has been started, until it has been waited for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        launch: Launch,
        hearer: Hearer,
        number: int,
        place: int | None,
        timeout: float | None,
    ) -> None:
        self.number = number
        self.place = place
        self.ready_at: float | None = None
        # It has asked for a successor.
        self.retiring = False
        # It was told to end: whatever it does, it is not replaced for that.
        self.leaving = False
        # Why we killed it, if we did.
        self.killed = ""
        self.process, self._link, self._stacks = launch.start(number, place)
        self._loop = loop
        self._hearer = hearer
        self._patience = launch.patience
        self._timeout = timeout
        self._lines = Lines()
        self._reader: StackReader | None = None
        self._given_up = ""
        self._watch: asyncio.TimerHandle | None = None
        self._expected_at = 0.0
        self._heard_at = loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        loop.add_reader(self._link, self._receive)
        if timeout is not None:
            self._expect(max(timeout, START_SECONDS))

    def __str__(self) -> str:
        return f"Worker {self.number} (pid {self.process.pid})"

    # -- what it says --------------------------------------------------------

    def _receive(self) -> None:
        try:
            data = self._link.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            # It died with an answer of ours unread.
            data = b""
        if not data:
            self._loop.remove_reader(self._link)
            if not self.leaving:
                self._limit(FAREWELL_SECONDS, self._give_up, "has closed its link without ending")
            return
        try:
            for message in self._lines.feed(data):
                self._hear(message)
        except LinkError as error:
            self._loop.remove_reader(self._link)
            self.kill(f"says what nobody understands ({error})")

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        self._heard_at = self._loop.time()
        if kind == "ready":
            self.ready_at = self._heard_at
            self._hearer.on_ready(self)
        elif kind == "retire":
            self.retiring = True
            self._hearer.on_retire(self)
        elif kind == "ask" and message.keys() >= {"id", "subject", "details"}:
            self._hearer.on_ask(self, message)
        elif kind == "done":
            # Its loop is over; the deadline says how long the rest may take.
            self._expect_no_more()
        elif kind != "alive":
            raise LinkError(f"{message!r:.80}")
        if self._timeout is not None:
            self._expect(self._timeout)

    def answer(self, question: Mapping[str, Any], error: str | None) -> None:
        self._tell({"type": "answer", "id": question["id"], "error": error and error[:2000]})

    def _tell(self, message: Mapping[str, Any]) -> None:
        data = encode(message)
        try:
            whole = self._link.send(data) == len(data)
        except BlockingIOError:
            whole = False
        except OSError:
            # It is about to end; SIGCHLD tells.
            return
        if not whole and not self.killed:
            self.kill("does not read what it is told")

    # -- whether it is stuck -------------------------------------------------

    def _expect(self, seconds: float) -> None:
        """Wait for the next sign of life."""
        self._expected_at = at = self._loop.time() + seconds
        # Most signs come sooner than the one before them was overdue: no new timer.
        if self._watch is not None:
            if self._watch.when() <= at:
                return
            self._watch.cancel()
        self._watch = self._loop.call_at(at, self._look, at)

    def _expect_no_more(self) -> None:
        self._timeout = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look(self, planned: float) -> None:
        now = self._loop.time()
        if now < self._expected_at:
            planned = self._expected_at
        elif now > planned + LATE_SECONDS:
            # We were stopped ourselves, perhaps together with it.
            planned = self._expected_at = now + (self._timeout or 0.0)
        else:
            self._watch = None
            self._give_up(f"has given no sign of life for {now - self._heard_at:.1f} s")
            return
        self._watch = self._loop.call_at(planned, self._look, planned)

    def _give_up(self, what: str) -> None:
        """Have it show where it is, and kill it."""
        if self._reader is None and not self.killed:
            self._given_up = what
            self._reader = StackReader(self._loop, self._stacks, self._tell_stacks)
            self.process.send_signal(dump_signal())

    def _tell_stacks(self, text: str) -> None:
        if text:
            self.kill(self._given_up, f" Its threads:\n{text}")
        elif _is_stopped(self.process.pid):
            self.kill(
                self._given_up, " It was stopped (SIGSTOP), so it could not tell where it is."
            )
        else:
            self.kill(self._given_up, " It could not tell where it is.")

    # -- its end -------------------------------------------------------------

    def drain(self) -> None:
        """Have it finish and end; its siblings take what waits to be accepted."""
        self._leave()
        self._tell({"type": "drain", "leave_queue": True})

    def end(self) -> None:
        """Have it finish and end, together with all others; at once if it has not begun."""
        self._leave()
        self._tell({"type": "drain", "leave_queue": False})
        self.process.send_signal(signal.SIGTERM)

    def cut(self, seconds: float) -> None:
        """Have it cut everything off, or be killed after so many seconds."""
        self._leave()
        self._tell({"type": "force"})
        self._limit(seconds, self.kill, f"did not end within {seconds:g} s")

    def _leave(self) -> None:
        if not self.leaving:
            self.leaving = True
            seconds = self._patience
            self._limit(seconds, self._give_up, f"did not end within {seconds:g} s")

    def _limit(self, seconds: float, then: Callable[[str], None], what: str) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, then, what)

    def kill(self, why: str, details: str = "") -> None:
        """End it by force; a second time nothing is said."""
        if not self.killed:
            logger.error("%s %s, and is killed.%s", self, why, details)
        self.killed = why
        self.process.kill()

    def has_ended(self) -> bool:
        """Look whether the process is over; if so, let go of what belonged to it."""
        if self.process.poll() is None:
            return False
        # What it said last comes before its end.
        self._receive()
        for handle in (self._watch, self._deadline):
            if handle is not None:
                handle.cancel()
        if self._reader is not None:
            self._reader.close()
            # If it ended before it could be killed, it is said all the same.
            self.kill(self._given_up)
        self._loop.remove_reader(self._link)
        self._link.close()
        os.close(self._stacks)
        return True

    def ending(self) -> str:
        """How it ended, in words."""
        status = self.process.returncode
        if status >= 0:
            return f"ended with exit status {status}"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"{-status}"
        guess = " (out of memory?)" if name == "SIGKILL" and not self.killed else ""
        return f"was killed by {name}{guess}"


def _is_stopped(pid: int) -> bool:
    if not hasattr(os, "waitid"):
        return False
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
