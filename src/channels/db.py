"""Blocking database code in asynchronous applications.

Inside a scope the lane's thread looks after the database connections that an
event opened, when the event is over (see threads.py); never between two calls,
since a cursor or transaction may be open. Outside of any scope, in a script or a
task of its own, each call does so itself, before and after.
"""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async

from .threads import in_lane


def close_old_connections(**kwargs: Any) -> None:
    """Close this thread's connections that are unusable or past CONN_MAX_AGE.

    Django's own, under the name that tests replace. A signal's arguments are ignored.
    """
    from django import db

    db.close_old_connections(**kwargs)


class DatabaseSyncToAsync(SyncToAsync[..., Any]):
    """`sync_to_async` for code that uses Django's database connections."""

    def thread_handler(self, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> Any:
        if in_lane():
            return self._call(loop, *args, **kwargs)
        close_old_connections()
        try:
            return self._call(loop, *args, **kwargs)
        finally:
            close_old_connections()

    def _call(self, loop: asyncio.AbstractEventLoop, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().thread_handler(loop, *args, **kwargs)  # type: ignore[no-untyped-call]
        except StopIteration as error:
            # A future cannot carry it, and who awaits it would wait for ever. PEP 479
            # makes it this for generators.
            told = RuntimeError("blocking code raised StopIteration")
            raise told.with_traceback(error.__traceback__) from error


# The class itself: a call wrapper, and a decorator of functions and methods.
database_sync_to_async = DatabaseSyncToAsync


async def aclose_old_connections() -> None:
    """Close the old connections of the thread that blocking calls run in."""
    await sync_to_async(close_old_connections)()
