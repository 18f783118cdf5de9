"""The test databases, for a server whose threads use them beside the test's own.

A file and PostgreSQL need nothing but an end: what other threads opened is closed,
or the test database could not be dropped. SQLite in memory belongs to one
connection. Shared by several threads it would mix their transactions, and a second
connection to it finds tables locked without being able to wait. So for the time of
a test class it is moved to a file.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.db import connections
from django.db.backends.signals import connection_created

from channels.pools import pools_of_process

# What the pools' threads get to end in; they are idle, unless a call is stuck.
DISMISS_SECONDS: Final = 2.0


@contextmanager
def databases_for_all_threads() -> Iterator[None]:
    """Let other threads use the databases; at the end none of them has a connection left."""
    # Theirs may be to what is moved now.
    pools_of_process().dismiss(DISMISS_SECONDS)
    with _memory_in_files(), _closed_in_other_threads():
        yield


@contextmanager
def _memory_in_files() -> Iterator[None]:
    inside = [connection for connection in connections.all() if _is_in_memory(connection)]
    if not inside:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="channels-live-"))
    # By name: a mirror is the same database under another alias.
    names = [str(one.settings_dict["NAME"]) for one in inside]
    files = {name: str(folder / f"{number}.sqlite3") for number, name in enumerate(names)}
    moved: list[_Moved] = []
    try:
        for connection, name in zip(inside, names, strict=True):
            moved.append(_Moved(connection, files[name]))
        yield
    finally:
        for one in moved:
            one.move_back()
        shutil.rmtree(folder)


def _is_in_memory(connection: Any) -> bool:
    return bool(connection.vendor == "sqlite" and connection.is_in_memory_db())


class _Moved:
    """One alias that for now is a file, and what it was before."""

    def __init__(self, connection: Any, file: str) -> None:
        connection.ensure_connection()
        self._wrapper = connection
        self._memory: sqlite3.Connection = connection.connection
        self._mode = connection.transaction_mode
        # Other threads make their connections from the second; it may be the first.
        self._settings = [connection.settings_dict, connections.settings[connection.alias]]
        self._before = [(one["NAME"], one["OPTIONS"]) for one in self._settings]
        _copy(self._memory, file)
        connection.connection = None
        for one in self._settings:
            one["NAME"] = file
            # Whoever reads first and then writes would be refused, not made to wait.
            one["OPTIONS"] = {"transaction_mode": "IMMEDIATE", **one["OPTIONS"]}

    def move_back(self) -> None:
        self._wrapper.close()
        for one, (name, options) in zip(self._settings, self._before, strict=True):
            one["NAME"], one["OPTIONS"] = name, options
        self._wrapper.connection = self._memory
        self._wrapper.transaction_mode = self._mode


def _copy(memory: sqlite3.Connection, file: str) -> None:
    copy = sqlite3.connect(file)
    memory.backup(copy)
    # The test reads while the server writes, and neither waits.
    copy.execute("PRAGMA journal_mode=WAL")
    copy.close()


@contextmanager
def _closed_in_other_threads() -> Iterator[None]:
    mine = threading.get_ident()
    opened: dict[int, Any] = {}

    def note(connection: Any, **_: Any) -> None:
        if threading.get_ident() != mine:
            opened[id(connection)] = connection

    connection_created.connect(note)
    try:
        yield
    finally:
        pools_of_process().dismiss(DISMISS_SECONDS)
        connection_created.disconnect(note)
        for connection in opened.values():
            _close(connection)


def _close(connection: Any) -> None:
    # Only its own thread may close it, unless it is shared.
    connection.inc_thread_sharing()
    try:
        connection.close()
    finally:
        connection.dec_thread_sharing()
