"""Looks again, in intervals, whether those who have a socket open still may.

What nobody announced is found here: a session that was deleted in the store or ran
out, a user who was deleted or made inactive, a password changed by an UPDATE. A
session is read without writing to it. What cannot be found out changes nothing: it
is logged once, and looked at again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Iterable
from contextvars import Context
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final, Protocol

from django.conf import settings
from django.contrib import auth
from django.core.exceptions import ImproperlyConfigured

from ..db import database_sync_to_async
from ..threads import lane
from .identity import Identity, key_text

__all__ = ["Inspected", "Revalidation", "Rota", "revalidate_seconds", "still_valid"]

logger = logging.getLogger("channels.security")

# Looks at once in one event loop: a few of the threads that sockets have.
SIDE_BY_SIDE: Final = 4
WRITING_METHODS: Final = ("create", "save", "delete", "flush", "cycle_key")
# Steps of an interval: how finely looks are spread over it.
SLOTS: Final = 64


def revalidate_seconds() -> float | None:
    """Return the setting CHANNELS_REVALIDATE_SECONDS; None, its default, is off."""
    value = getattr(settings, "CHANNELS_REVALIDATE_SECONDS", None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ImproperlyConfigured(
            "CHANNELS_REVALIDATE_SECONDS is a number of seconds, or None for never, "
            f"but it is {value!r:.60}."
        )
    return float(value)


# -- one look, blocking ----------------------------------------------------------


def still_valid(identity: Identity) -> bool:
    """Tell whether the session still names that user, who still exists and may log in."""
    if identity.session_key is None:
        users = auth.get_user_model()._default_manager
        return _is_active(users.filter(pk=identity.user).first(), None)
    session = _Snapshot(_read(identity.session_key))
    request: Any = SimpleNamespace(session=session)
    user = auth.get_user(request)
    if not user.is_authenticated or key_text(user) != identity.user:
        return False
    return _is_active(user, auth.load_backend(session[auth.BACKEND_SESSION_KEY]))


def _is_active(user: Any, backend: Any) -> bool:
    """As the backend sees it: there is one that lets inactive users in."""
    if user is None:
        return False
    may_log_in = getattr(backend, "user_can_authenticate", None)
    return bool(may_log_in(user) if may_log_in else getattr(user, "is_active", True))


class _Snapshot(dict[str, Any]):
    """What a session holds, and nothing that could change it in the store."""

    def flush(self) -> None:
        """Not ours to do."""

    def cycle_key(self) -> None:
        """Not ours to do."""


def _read(key: str) -> dict[str, Any]:
    """The content of a session; {} if there is none. What the store raises if it is down."""
    content = _load(key)
    if content or not _store(key).exists(key):
        return content
    # Sessions in a cache take one that is down for empty. That it answers, exists() told.
    return _load(key)


def _store(key: str) -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore(key)


def _load(key: str) -> dict[str, Any]:
    """Load a session, and make none where there is none."""
    store = _store(key)
    # Some stores write a new session where they find none. On the object, not in a
    # subclass: what is stored is signed with the name of the class.
    for name in WRITING_METHODS:
        setattr(store, name, _write_nothing)
    content: dict[str, Any] = store.load()
    return content


def _write_nothing(*args: Any, **kwargs: Any) -> None:
    """In place of a method that would write."""


# -- when to look ----------------------------------------------------------------


class Inspected(Protocol):
    """What is looked at: `context` is where blocking calls for it run; `slot` is the rota's."""

    identity: Identity | None
    context: Context | None
    slot: int | None

    def whom(self) -> Identity | None: ...


class Rota:
    """When each is due: first after half to a whole interval, then once an interval."""

    def __init__(self, seconds: float, chance: Callable[[], float] = random.random) -> None:
        self.seconds = seconds
        self._width = seconds / SLOTS
        self._chance = chance
        # dicts and not sets: those due together come in the order of joining.
        self._slots: dict[int, dict[Inspected, None]] = {}

    def add(self, one: Inspected, now: float) -> None:
        # Spread: after a restart all come at once, and shall not be due at once.
        self._put(one, now + self.seconds * (0.5 + 0.5 * self._chance()))

    def add_again(self, one: Inspected, now: float) -> None:
        self._put(one, now + self.seconds)

    def _put(self, one: Inspected, at: float) -> None:
        self.remove(one)
        one.slot = math.ceil(at / self._width)
        self._slots.setdefault(one.slot, {})[one] = None

    def remove(self, one: Inspected) -> None:
        if one.slot is not None:
            slot = self._slots[one.slot]
            del slot[one]
            if not slot:
                del self._slots[one.slot]
            one.slot = None

    def take_due(self, now: float) -> list[Inspected]:
        """Return those who are due, and forget them."""
        slots = sorted(slot for slot in self._slots if slot * self._width <= now)
        due = [one for slot in slots for one in self._slots[slot]]
        for one in due:
            self.remove(one)
        return due

    def wait(self, now: float) -> float:
        """Return the seconds to the next look. Who comes meanwhile is not due before it."""
        longest = self.seconds / 2
        if not self._slots:
            return longest
        return min(longest, max(0.0, min(self._slots) * self._width - now))


class Revalidation:
    """Looks at the sockets of one event loop; `refuse` is called for each that must close."""

    def __init__(
        self,
        refuse: Callable[[Any], None],
        seconds: float | None,
        look: Callable[[Identity], bool] = still_valid,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._refuse = refuse
        self._look = look
        self._clock = clock
        self._sleep = sleep
        self._failing = False
        self.rota = None if seconds is None else Rota(seconds)

    def add(self, one: Inspected) -> None:
        if self.rota is not None:
            self.rota.add(one, self._clock())

    def remove(self, one: Inspected) -> None:
        if self.rota is not None:
            self.rota.remove(one)

    async def run(self) -> None:
        """Look at each once an interval, until cancelled."""
        assert self.rota is not None
        while True:
            due = self.rota.take_due(self._clock())
            await self.look_at(due)
            for one in due:
                # Who left meanwhile, or has been added anew, is not ours to add.
                if one.identity is not None and one.slot is None:
                    self.rota.add_again(one, self._clock())
            if not due:
                await self._sleep(self.rota.wait(self._clock()))

    async def look_at(self, those: Iterable[Inspected]) -> None:
        """Look at each of them once, a few at a time."""
        waiting = list(those)[::-1]
        async with asyncio.TaskGroup() as group:
            for _ in range(min(SIDE_BY_SIDE, len(waiting))):
                group.create_task(self._look_at_one_by_one(waiting))

    async def _look_at_one_by_one(self, waiting: list[Inspected]) -> None:
        loop = asyncio.get_running_loop()
        while waiting:
            one = waiting.pop()
            identity = one.whom()
            if identity is not None:
                # Not in the lane of a connection: one whose handler blocks is looked at too.
                context = one.context or Context()
                await loop.create_task(self._look_at_one(one, identity), context=context)

    async def _look_at_one(self, one: Inspected, identity: Identity) -> None:
        try:
            async with lane(label="revalidation"):
                valid = await database_sync_to_async(self._look)(identity)
        except Exception:
            if not self._failing:
                logger.exception("Sessions cannot be looked at; sockets stay open until they can")
            self._failing = True
            return
        self._failing = False
        if not valid and one.whom() == identity:
            self._refuse(one)
