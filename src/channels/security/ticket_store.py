"""Where tickets wait to be burnt: a cache of Django's that all processes share.

An entry stands under its ticket's digest, so who can read the cache has no ticket.
Whoever deletes the entry has won: a cache answers True to one deletion alone, so of
many connections at once one gets in. An entry that the cache has evicted lets
nobody in.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured

from .authenticators import AuthenticationFailed


def keep(ticket: str, entry: dict[str, Any], seconds: float, alias: str | None) -> None:
    """Keep the ticket's entry for a little longer than its own expiry: caches round theirs."""
    with opened(alias) as store:
        store.set(_key(ticket), entry, math.ceil(seconds) + 1)


def burn(ticket: str, alias: str | None) -> dict[str, Any]:
    """Delete the ticket's entry and return it, if it was this call that deleted it."""
    key = _key(ticket)
    with opened(alias) as store:
        entry: dict[str, Any] | None = store.get(key)
        if entry is None:
            raise AuthenticationFailed("the ticket is unknown: used, expired or evicted")
        if not store.delete(key):
            raise AuthenticationFailed("the ticket was used at the same moment")
    return entry


def _key(ticket: str) -> str:
    return f"channels.ticket.{hashlib.sha256(ticket.encode()).hexdigest()}"


class _Opened(threading.local):
    """The caches that one thread has opened.

    Django keeps one for each task: a connection to Redis for as long as a WebSocket
    lives. To open one for each ticket would take six times as long.
    """

    settings: Any = None
    stores: dict[str, BaseCache]


_opened = _Opened()


@contextmanager
def opened(alias: str | None) -> Iterator[BaseCache]:
    """This thread's cache of that alias; ImproperlyConfigured for one that is not shared."""
    alias = alias or DEFAULT_CACHE_ALIAS
    if _opened.settings is not caches.settings:
        # At first, and where a test has set others.
        _opened.settings, _opened.stores = caches.settings, {}
    store = _opened.stores.get(alias)
    if store is None:
        store = _opened.stores[alias] = _checked(alias)
    try:
        yield store
    finally:
        store.close()


def _checked(alias: str) -> BaseCache:
    if alias not in caches.settings:
        raise ImproperlyConfigured(f"One-time tickets need a cache, but CACHES has no {alias!r}.")
    store: BaseCache = caches.create_connection(alias)
    if isinstance(store, LocMemCache | DummyCache):
        raise ImproperlyConfigured(
            f"One-time tickets need a cache that all processes share, but CACHES[{alias!r}] is "
            f"{type(store).__name__}. Set its BACKEND to one of django.core.cache.backends: "
            "'redis.RedisCache', 'db.DatabaseCache', 'filebased.FileBasedCache'; or name "
            "the alias of such a cache in the argument `cache`."
        )
    return store
