"""The thread of a node: it finds the host, waits for the socket, and keeps the time.

The outer ring. What is said and what is heard is `node`'s; here is the loop around
it, and every wait of it can be interrupted by `call`.
"""

from __future__ import annotations

import contextlib
import logging
import random
import select
import socket
import threading
import time
from typing import Final, Protocol

from .frames import FrameReader
from .joining import Joining
from .succession import FIRST_RETRY_SECONDS, Succession
from .wake import Wake

logger = logging.getLogger("channels.layers")

_READ: Final = 1 << 18


class Speaker(Protocol):
    """What the thread asks of its node. Times are of the monotonic clock."""

    def is_needed(self) -> bool: ...
    def has_words(self) -> bool: ...
    def interests(self) -> tuple[bool, bool]: ...
    def greet(self, sock: socket.socket) -> None: ...
    def write(self) -> None: ...
    def read(self, frames: list[bytes]) -> None: ...
    def deadline(self) -> float | None: ...
    def keep_time(self, now: float) -> None: ...
    def lost(self) -> None: ...
    def left(self, why: str) -> None: ...


class BusThread:
    """Connects `speaker` with one host after another, until `stop()`."""

    def __init__(self, speaker: Speaker, joining: Joining, succession: Succession) -> None:
        self._speaker = speaker
        self._joining = joining
        self._succession = succession
        self._wake = Wake()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="channels-bus", daemon=True)

    # -- from other threads ------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def call(self) -> None:
        """Have it look at what there is to do."""
        if not self.is_current:
            self._wake.call()

    @property
    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def stop(self, seconds: float) -> None:
        """End when the last words are written. Blocks."""
        self._stopping = True
        self._wake.call()
        self._thread.join(seconds)

    def close(self) -> None:
        self._wake.close()

    # -- the thread --------------------------------------------------------

    def _run(self) -> None:
        try:
            self._stay_connected()
        except BaseException:
            logger.exception("The bus thread failed; this process has left the bus")
            self._speaker.left("its thread failed")

    def _stay_connected(self) -> None:
        delay, succession = FIRST_RETRY_SECONDS, self._succession
        while not self._stopping:
            sock = self._joining.connect(
                followed_another=succession.followed_another, expected=succession.expected
            )
            if sock is not None:
                with sock:
                    welcomed = self._converse(sock)
                if welcomed:
                    delay = FIRST_RETRY_SECONDS
                    continue
            elif not self._speaker.is_needed():
                self._sleep(None)
                continue
            self._sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, succession.longest_retry(time.monotonic()))

    def _sleep(self, seconds: float | None) -> None:
        # Not select(): descriptors of a busy server are above its 1024.
        poll = select.poll()
        poll.register(self._wake.reader, select.POLLIN)
        poll.poll(_milliseconds(seconds))
        self._wake.hear()

    def _converse(self, sock: socket.socket) -> bool:
        """Speak with one host, until one of us goes; False if it has not let us in."""
        speaker, succession = self._speaker, self._succession
        sock.setblocking(False)
        reader, poll = FrameReader(), select.poll()
        poll.register(self._wake.reader, select.POLLIN)
        poll.register(sock, select.POLLIN)
        try:
            speaker.greet(sock)
            while not (self._stopping and not speaker.has_words()):
                if not self._turn(sock, reader, poll):
                    break
        except OSError as error:
            logger.debug("The connection to the host of the bus ended: %s", error)
        except ValueError as error:
            # BadFrame is one.
            logger.error("The host of the bus sent what this process cannot read: %s", error)
            succession.let_in = False
        except Exception:
            logger.exception("Taking what came from the bus failed; this process joins again")
            succession.broken()
        finally:
            speaker.lost()
        return succession.let_in

    def _turn(self, sock: socket.socket, reader: FrameReader, poll: select.poll) -> bool:
        """Wait for what can be done and do it; False at the end of the connection."""
        speaker = self._speaker
        reads, writes = speaker.interests()
        poll.modify(sock, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
        deadline = speaker.deadline()
        seconds = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        came = dict(poll.poll(_milliseconds(seconds)))
        if self._wake.reader.fileno() in came:
            self._wake.hear()
        events = came.get(sock.fileno(), 0)
        if events & select.POLLOUT:
            # An error is not the end: what the host wrote before it went can be read.
            with contextlib.suppress(OSError):
                speaker.write()
        if events & ~select.POLLOUT:
            data = sock.recv(_READ)
            if not data:
                return False
            speaker.read(reader.receive(data))
        speaker.keep_time(time.monotonic())
        return True


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
