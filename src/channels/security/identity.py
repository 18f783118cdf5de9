"""Whom a socket was opened as, in the terms in which the end of that is announced.

A session is told by the digest of its key and a password by the digest of its
encoded form: whoever reads what a channel layer carries can make use of neither.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import LazyObject, empty

from ..types import Scope

__all__ = [
    "Identity",
    "digest",
    "identity_of",
    "is_account",
    "key_text",
    "password_digest",
    "session_key_naming",
]


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and what vouches for them.

    `user`: the primary key, as text. `password`: a digest. `session_key`: None where no
    session names the user, as with tokens.
    """

    user: str
    password: str = field(repr=False)
    session_key: str | None = field(repr=False)


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def password_digest(user: Any) -> str:
    return digest(str(getattr(user, "password", None) or ""))


def key_text(user: Any) -> str:
    """Return the primary key of `user` as sessions write it."""
    return str(user._meta.pk.value_to_string(user))


def is_account(thing: Any) -> bool:
    """Tell whether `thing` is of the project's user model."""
    try:
        return isinstance(thing, get_user_model())
    except ImproperlyConfigured:
        # The project has no user model.
        return False


def identity_of(scope: Scope) -> Identity | None:
    """Return whom the scope belongs to; None for nobody, and for users without an account."""
    user = scope.get("user")
    # type() and not isinstance(): the latter asks a lazy object for its content, and
    # what is lazy still would ask the database, on the event loop.
    if issubclass(type(user), LazyObject):
        user = user._wrapped  # type: ignore[union-attr]
    if user is empty or not getattr(user, "is_authenticated", False) or not is_account(user):
        return None
    assert user is not None
    if user.pk is None:
        return None
    name = key_text(user)
    return Identity(name, password_digest(user), session_key_naming(name, scope.get("session")))


def session_key_naming(user: str, session: Any) -> str | None:
    """Return the key of a scope's session, if that is where the user comes from."""
    key = getattr(session, "session_key", None)
    # One that nobody has read yet is not where the user comes from.
    if not key or not hasattr(session, "_session_cache"):
        return None
    return str(key) if session.get(SESSION_KEY) == user else None
