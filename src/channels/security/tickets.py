"""One-time tickets: a logged-in page opens one connection without sending its cookie.

A view issues a ticket for its user and one path; the page opens that path with
`?ticket=...`. The ticket lives for half a minute at most and is burnt when it is
shown, right or wrong (see ticket_store.py).
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any, Final
from urllib.parse import unquote

from ..db import database_sync_to_async
from ..types import Scope
from .authenticators import AuthenticationFailed
from .identity import is_account
from .ticket_store import burn, keep, opened

__all__ = ["OneTimeTicket", "aissue_ticket", "issue_ticket"]

# From the page's rendering to its connection. It stands in a URL, which proxies log.
MAX_TICKET_SECONDS: Final = 30.0
# 43 characters of base64url: nobody guesses it.
TICKET_BYTES: Final = 32
# The server's access log masks the parameter of this name.
PARAMETER: Final = b"ticket"

_TICKET: Final = re.compile(r"[0-9A-Za-z_-]{43}")


def issue_ticket(
    user: Any, path: str, seconds: float = MAX_TICKET_SECONDS, cache: str | None = None
) -> str:
    """Return a ticket that lets `user` in at `path`, once, within `seconds`.

    `path` is that of the URL, below no query string; `cache` is an alias of CACHES.
    ValueError for a user who could not log in, and for more than 30 seconds.
    """
    _check_arguments(user, path, seconds)
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    entry = {"user": str(user.pk), "path": unquote(str(path)), "expires": time.time() + seconds}
    keep(ticket, entry, seconds, cache)
    return ticket


async def aissue_ticket(
    user: Any, path: str, seconds: float = MAX_TICKET_SECONDS, cache: str | None = None
) -> str:
    """Return what `issue_ticket` does, from asynchronous code."""
    ticket: str = await database_sync_to_async(issue_ticket)(user, path, seconds, cache)
    return ticket


class OneTimeTicket:
    """Finds the user by a ticket in the query string: `?ticket=...`.

    `cache` is the alias that `issue_ticket` was given.
    """

    # RFC 9110 15.5.2 wants a challenge with each 401; there is no scheme for these.
    challenge = "Ticket"

    def __init__(self, cache: str | None = None) -> None:
        self.cache = cache
        # At the start, and not for the first visitor.
        with opened(cache):
            pass

    def __repr__(self) -> str:
        return f"OneTimeTicket({self.cache!r})" if self.cache else "OneTimeTicket()"

    async def authenticate(self, scope: Scope) -> Any:
        """Return the user whom the ticket was issued for; None without a ticket."""
        tickets = [part for part in _parts(scope) if _is_ours(part)]
        if not tickets:
            return None
        if len(tickets) > 1:
            raise AuthenticationFailed("there are several tickets")
        ticket = tickets[0].partition(b"=")[2].decode("latin-1")
        if not _TICKET.fullmatch(ticket):
            raise AuthenticationFailed("what came is not of a ticket's form")
        return await database_sync_to_async(self._redeem)(ticket, scope)

    def _redeem(self, ticket: str, scope: Scope) -> Any:
        entry = burn(ticket, self.cache)
        if entry["expires"] <= time.time():
            raise AuthenticationFailed("the ticket has expired")
        if entry["path"] != scope["path"]:
            raise AuthenticationFailed(f"the ticket was issued for {entry['path']!r}")
        user: Any = _user(entry["user"])
        present: Any = scope.get("user")
        if getattr(present, "is_authenticated", False) and present.pk != user.pk:
            # Somebody's link must not make a visitor act under another name.
            raise AuthenticationFailed("the ticket is another user's than the session")
        return user

    def hide(self, scope: Scope) -> Scope:
        """Take the ticket out of the query string; the rest stays byte for byte."""
        parts = _parts(scope)
        kept = [part for part in parts if not _is_ours(part)]
        return scope if len(kept) == len(parts) else {**scope, "query_string": b"&".join(kept)}


def _parts(scope: Scope) -> list[bytes]:
    query: bytes = scope.get("query_string") or b""
    return query.split(b"&")


def _is_ours(part: bytes) -> bool:
    return part.partition(b"=")[0] == PARAMETER


def _user(key: str) -> Any:
    from django.contrib.auth import get_user_model

    model = get_user_model()
    try:
        return model._default_manager.get(pk=key)
    except model.DoesNotExist:
        raise AuthenticationFailed("the ticket's user does not exist any more") from None


def _check_arguments(user: Any, path: str, seconds: float) -> None:
    if getattr(user, "pk", None) is None or not user.is_authenticated:
        raise ValueError(f"A ticket is for a user who is saved and logged in, but came {user!r}.")
    if not is_account(user):
        # Its key would be looked up among users, and be somebody else's there.
        raise ValueError(
            f"A ticket is for a user of the model AUTH_USER_MODEL, but came {user!r:.80}."
        )
    if not getattr(user, "is_active", True):
        raise ValueError(f"The user {user!r} is not active, and gets no ticket.")
    if not path.startswith("/") or "?" in path or "#" in path:
        raise ValueError(
            "A ticket is for the path of a URL, such as '/chat/', without scheme, host and query "
            f"string, but came {path!r:.200}."
        )
    if not 0 < seconds <= MAX_TICKET_SECONDS:
        raise ValueError(
            f"A ticket lives for at most {MAX_TICKET_SECONDS:g} seconds, but came {seconds!r}. "
            "Issue it just before the connection is opened."
        )
