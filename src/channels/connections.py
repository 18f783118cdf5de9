"""Looking after the database connections that a thread has opened.

Called by a lane's thread (see threads.py) before and after the blocking calls of
an event, never between them: a cursor or transaction may be open. A thread that
has opened no connection pays nothing, and without Django there are none.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("channels.threads")


def _opened() -> list[Any]:
    """This thread's open database wrappers; none where Django is not in use."""
    django_db = sys.modules.get("django.db")
    if django_db is None or not sys.modules["django.conf"].settings.configured:
        return []
    return list(django_db.connections.all(initialized_only=True))


def start_of_event() -> None:
    """Before the first blocking call of an event: drop what went stale meanwhile."""
    for connection in _opened():
        _try(connection, connection.close_if_unusable_or_obsolete)


def end_of_event() -> None:
    """After the last one: what a request's end does, for what this thread opened."""
    for connection in _opened():
        if connection.queries_logged:
            connection.queries_log.clear()
        _try(connection, connection.close_if_unusable_or_obsolete)


def end_of_thread() -> None:
    """Close all that a thread opened, before it ends."""
    for connection in _opened():
        _try(connection, connection.close)


def _try(connection: Any, action: Callable[[], None]) -> None:
    """A broken connection must not take the pool's thread, and the lane it serves, with it."""
    try:
        action()
    except Exception:
        logger.exception("Closing the database connection %r failed", connection.alias)
