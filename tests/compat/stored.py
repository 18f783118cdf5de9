"""Users and sessions of the rows, in a database that is made when the first is asked for."""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management import call_command

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
numbers = itertools.count()


@functools.cache
def migrated() -> None:
    call_command("migrate", verbosity=0)


async def database() -> None:
    await asyncio.to_thread(migrated)


async def a_user() -> Any:
    await database()
    return await User.objects.acreate_user(f"user{next(numbers)}", password="secret")


async def a_session(**values: Any) -> Any:
    await database()
    session = SessionStore()
    await session.aupdate({"cart": 1, **values})
    await session.asave()
    return session


async def session_of(user: Any, **changed: Any) -> Any:
    values = {SESSION_KEY: str(user.pk), BACKEND_SESSION_KEY: MODEL_BACKEND}
    values[HASH_SESSION_KEY] = user.get_session_auth_hash()
    return await a_session(**{**values, **changed})
