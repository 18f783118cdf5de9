"""How a process finds the host of its bus, and becomes it where there is none."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final

from .host import Host
from .place import BusError, BusPlace, Lock, connect_bus, may_host, prepare_folder, try_lock

logger = logging.getLogger("channels.layers")

CONNECT_SECONDS: Final = 5.0


class Joining:
    """`problem`: why the last attempt failed, as a sentence; "" if nobody hosts, or all is well."""

    def __init__(
        self,
        place: BusPlace,
        may_host: Callable[[], bool],
        project: str,
        clock: Callable[[], float],
    ) -> None:
        self.problem = ""
        self._place = place
        self._may_host = may_host
        self._project = project
        self._clock = clock
        self._host: Host | None = None
        self._lock: Lock | None = None

    @property
    def hosting(self) -> bool:
        return self._host is not None and self._host.running

    def connect(
        self, *, followed_another: bool, expected: frozenset[str] = frozenset()
    ) -> socket.socket | None:
        """Connect to the host, who may be us from now on; None where there is none.

        `followed_another`: this process knew a host before, as others will have;
        `expected`: those that one has named when it said goodbye.
        """
        try:
            sock = connect_bus(self._place, CONNECT_SECONDS)
            if sock is None and self._may_host() and self._become_host(followed_another, expected):
                sock = connect_bus(self._place, CONNECT_SECONDS)
        except (BusError, OSError) as error:
            if str(error) != self.problem:
                self.problem = str(error)
                logger.error("Cannot join the bus: %s", error)
            return None
        return sock

    def _become_host(self, followed_another: bool, expected: frozenset[str]) -> bool:
        if self.hosting:
            return False
        reason = may_host(self._place)
        if reason is not None:
            raise BusError(reason)
        prepare_folder(self._place)
        # Known from here on, so that a process which is forked now can close its copy.
        lock = self._lock = try_lock(self._place)
        if lock is None:
            if not self._place.socket_path.exists():
                self.problem = (
                    f"Another process hosts the bus {self._place.socket_path}, but its socket is "
                    f"gone. Restart it; its number is in {self._place.lock_path}."
                )
            return False
        # A socket that is still there is one whose host has not said goodbye.
        settling = followed_another or self._place.socket_path.exists()
        try:
            self._host = Host(
                self._place,
                lock,
                settling=settling,
                expected=expected,
                project=self._project,
                clock=self._clock,
            )
        except BaseException:
            lock.release()
            raise
        self._host.start()
        return True

    def stop(self) -> None:
        """Host no longer."""
        if self._host is not None:
            self._host.stop()
            self._host = None

    def close_in_child(self) -> None:
        if self._host is not None:
            self._host.close_in_child()
        elif self._lock is not None:
            self._lock.close_in_child()
