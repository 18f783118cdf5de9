"""What an authenticator is: the seam between a kind of credential and the middleware.

An authenticator looks into a scope for credentials of its kind. What it says of
them goes to the log, never to the client, unless it asks for that; and neither
ever holds the credential itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, runtime_checkable

from ..exceptions import ChannelsError
from ..types import Message, Scope

__all__ = ["AuthenticationFailed", "Authenticator", "HidesCredential", "OnAccept", "VerifyError"]

REFUSAL: Final = "Authentication failed."


class AuthenticationFailed(ChannelsError):
    """A credential is there and is wrong: the connection is denied with 401.

    `reason` is for the log and `told` for the client; leave the credential out of both.
    """

    def __init__(self, reason: str, *, told: str = REFUSAL) -> None:
        super().__init__(reason)
        self.told = told


class VerifyError(ChannelsError):
    """A `verify` function raised; its text is withheld, since it may hold the token."""


class Authenticator(Protocol):
    """Finds the user of a scope by one kind of credential.

    An attribute `challenge`, if there is one, is the WWW-Authenticate header of a denial.
    """

    async def authenticate(self, scope: Scope) -> Any:
        """Return the user; None where the scope has no such credential.

        AuthenticationFailed for one that is wrong.
        """
        ...


@runtime_checkable
class HidesCredential(Protocol):
    """An authenticator that keeps its credential from the inner application."""

    def hide(self, scope: Scope) -> Scope:
        """Return a copy of the scope without the credential, or the scope if it has none."""
        ...


# Given the message that accepts a WebSocket, returns the one to send instead.
Accept = Callable[[Message], Message]


@runtime_checkable
class OnAccept(Protocol):
    """An authenticator that has a say in how a WebSocket is accepted."""

    def on_accept(self, scope: Scope) -> Accept | None:
        """Return what to do with the `websocket.accept` of this scope; None: nothing."""
        ...
