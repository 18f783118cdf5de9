"""What ends a socket's right to be open, told to every process: log-outs, new passwords.

Receivers of Django's signals send to one group; `hearing` reads it in each process
that has sockets. What they do never breaks the log-out or the save itself: it comes
after the commit, in bounded time, and its failures are logged.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from functools import partial
from itertools import islice
from typing import Any, Final

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_save

from ..layers import get_channel_layer
from .identity import digest, is_account, key_text, password_digest

__all__ = [
    "GROUP",
    "LOGGED_OUT",
    "PASSWORD_CHANGED",
    "announce_ends",
    "closes_on_logout",
    "has_just_ended",
    "remember_ended",
]

logger = logging.getLogger("channels.security")

# Layers keep this name out of the `groups` that projects look at.
GROUP: Final = "channels.auth"
LOGGED_OUT: Final = "channels.auth.logged_out"
PASSWORD_CHANGED: Final = "channels.auth.password_changed"
# What a layer may take for an announcement: somebody waits for the log-out page.
SEND_SECONDS: Final = 5.0

# Django announces a log-out and then deletes the session. Whoever connects again in
# between still finds it, and is turned away for so long.
REMEMBERED_SECONDS: Final = 10.0
REMEMBERED_SESSIONS: Final = 10_000

_sending: set[asyncio.Task[None]] = set()
# Digest -> when it ended, the oldest first. Of all loops and threads of this process.
_ended: dict[str, float] = {}
_ended_lock = threading.Lock()


def remember_ended(session: str) -> None:
    """Note the digest of a session that somebody has logged out of."""
    now = time.monotonic()
    with _ended_lock:
        _ended.pop(session, None)
        _ended[session] = now
        for oldest in list(islice(_ended, 2)):
            if len(_ended) > REMEMBERED_SESSIONS or _ended[oldest] < now - REMEMBERED_SECONDS:
                del _ended[oldest]


def has_just_ended(session: str) -> bool:
    """Tell whether that was some seconds ago at most."""
    ended_at = _ended.get(session)
    return ended_at is not None and time.monotonic() - ended_at <= REMEMBERED_SECONDS


def closes_on_logout() -> bool:
    """Whether the setting CHANNELS_CLOSE_ON_LOGOUT is on, as it is by default."""
    return bool(getattr(settings, "CHANNELS_CLOSE_ON_LOGOUT", True))


def announce_ends() -> None:
    """Have log-outs and new passwords announced from now on; again changes nothing."""
    user_logged_out.connect(_logged_out, dispatch_uid=LOGGED_OUT)
    # For every model: proxies of the user model are senders of their own.
    post_save.connect(_saved, dispatch_uid=PASSWORD_CHANGED)


def _logged_out(request: Any = None, **kwargs: Any) -> None:
    # Django tells this before it deletes the session, so the key is still there.
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key:
        _announce({"type": LOGGED_OUT, "session": digest(str(key))})


def _saved(
    instance: Any,
    created: bool,
    raw: bool,
    using: str,
    update_fields: Any = None,
    **kwargs: Any,
) -> None:
    if created or raw or not is_account(instance):
        return
    if _may_have_a_new_password(instance, update_fields):
        message = {"type": PASSWORD_CHANGED, "user": key_text(instance)}
        _announce({**message, "password": password_digest(instance)}, using)


def _may_have_a_new_password(user: Any, update_fields: Any) -> bool:
    if update_fields is not None:
        return "password" in update_fields
    # Django keeps what was given to set_password() until the save is over. Of a password
    # that was made unusable it keeps nothing.
    if getattr(user, "_password", None) is not None:
        return True
    return not getattr(user, "has_usable_password", lambda: True)()


def _announce(message: dict[str, Any], using: str | None = None) -> None:
    if not closes_on_logout():
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        if transaction.get_connection(using).in_atomic_block:
            transaction.on_commit(partial(async_to_sync(_send), message), using=using)
        else:
            async_to_sync(_send)(message)
    else:
        task = loop.create_task(_send(message))
        _sending.add(task)
        task.add_done_callback(_sending.discard)


async def _send(message: dict[str, Any]) -> None:
    if message["type"] == LOGGED_OUT:
        remember_ended(message["session"])
    try:
        layer = get_channel_layer()
        if layer is not None:
            async with asyncio.timeout(SEND_SECONDS):
                await layer.group_send(GROUP, message)
    except Exception:
        logger.exception("Sockets stay open: %r could not be announced", message["type"])
