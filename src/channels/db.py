"""Blocking database code in asynchronous applications.

Inside a scope the lane's thread looks after the database connections that an
event opened, when the event is over (see threads.py); never between two calls,
since a cursor or transaction may be open. Outside of any scope, in a script or a
task of its own, each call does so itself, before and after.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async


def close_old_connections() -> None:
    """Close this thread's connections that are unusable or past CONN_MAX_AGE."""
    from django import db

    db.close_old_connections()


class DatabaseSyncToAsync(SyncToAsync[..., Any]):
    """`sync_to_async` for code that uses Django's database connections."""

    def thread_handler(self, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> Any:
        from .threads import in_lane

        if in_lane():
            return super().thread_handler(loop, *args, **kwargs)  # type: ignore[no-untyped-call]
        close_old_connections()
        try:
            return super().thread_handler(loop, *args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            close_old_connections()


# The class itself: a call wrapper, and a decorator of functions and methods.
database_sync_to_async = DatabaseSyncToAsync


async def aclose_old_connections() -> None:
    """Close the old connections of the thread that blocking calls run in."""
    await sync_to_async(close_old_connections)()


def _opened() -> list[Any]:
    """This thread's open database wrappers; none where Django is not in use."""
    django_db = sys.modules.get("django.db")
    if django_db is None or not sys.modules["django.conf"].settings.configured:
        return []
    return list(django_db.connections.all(initialized_only=True))


def start_of_event() -> None:
    """Before the first blocking call of an event: drop what went stale meanwhile."""
    if _opened():
        close_old_connections()


def end_of_event() -> None:
    """After the last one: what a request's end does, for what this thread opened."""
    for connection in _opened():
        if connection.queries_logged:
            connection.queries_log.clear()
        connection.close_if_unusable_or_obsolete()


def end_of_thread() -> None:
    """Close all that a thread opened, before it ends."""
    for connection in _opened():
        connection.close()
