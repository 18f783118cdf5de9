"""Tokens among the subprotocols that a WebSocket offers.

A browser cannot set headers on a WebSocket, but it can offer subprotocols:
`new WebSocket(url, ["bearer", "bearer." + token])`. A server answers with one of
those offered, and a browser that offered some and is answered with none gives the
connection up. So the entry without the token, the marker, is there to be chosen;
the one with the token is taken out, and never is.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

from ..types import Header, Message, Scope
from ..utils import name_that_thing
from .authenticators import Accept, AuthenticationFailed
from .bearer import MAX_TOKEN_BYTES
from .verification import Verify, check_verify, user_of

__all__ = ["SubprotocolToken"]

# RFC 6455 4.1, 10: a subprotocol is a token of RFC 9110 5.6.2.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class SubprotocolToken:
    """Finds the user by a subprotocol `bearer.<token>`, with `name` in place of `bearer`.

    `verify(token)`, sync or async, returns the token's user, or None for a wrong token.
    """

    challenge = 'Bearer error="invalid_token"'

    def __init__(self, verify: Verify, name: str = "bearer") -> None:
        check_verify(verify, "SubprotocolToken")
        if not _TOKEN.fullmatch(name):
            raise ValueError(
                f"The name of a subprotocol is made of letters, digits and !#$%&'*+-.^_`|~, "
                f"but came {name!r:.80}."
            )
        self.verify = verify
        self.name = name
        self._prefix = f"{name}."

    def __repr__(self) -> str:
        return f"SubprotocolToken({name_that_thing(self.verify)}, {self.name!r})"

    async def authenticate(self, scope: Scope) -> Any:
        """Return the user of the token that is offered; None if none is."""
        entries = [entry for entry in _offered(scope) if entry.startswith(self._prefix)]
        if not entries:
            return None
        if len(entries) > 1:
            raise _malformed(f"Several subprotocols begin with {self._prefix!r}; offer one.")
        token = entries[0].removeprefix(self._prefix)
        if not token:
            raise _malformed(f"There is no token behind {self._prefix!r}.")
        if len(token) > MAX_TOKEN_BYTES:
            raise _malformed(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
        if not _TOKEN.fullmatch(token):
            raise _malformed(
                "A token in a subprotocol is made of letters, digits and !#$%&'*+-.^_`|~ "
                "(RFC 6455); encode it as base64url without padding."
            )
        return await user_of(token, self.verify)

    def hide(self, scope: Scope) -> Scope:
        """Take the token and its marker out of the subprotocols and of their header."""
        if not self._is_offered(scope):
            return scope
        subprotocols = [entry for entry in _offered(scope) if not self._is_ours(entry)]
        headers = [kept for header in scope.get("headers", ()) if (kept := self._kept(header))]
        return {**scope, "subprotocols": subprotocols, "headers": headers}

    def on_accept(self, scope: Scope) -> Accept | None:
        """Choose the marker where the application chooses nothing, if it was offered."""
        if not self._is_offered(scope):
            return None
        offered = _offered(scope)
        marker = self.name if self.name in offered else None
        others = [entry for entry in offered if not self._is_ours(entry)]
        return partial(self._chosen, marker, others)

    def _chosen(self, marker: str | None, others: list[str], message: Message) -> Message:
        subprotocol = message.get("subprotocol")
        if subprotocol is None:
            return {**message, "subprotocol": marker} if marker else message
        if subprotocol != marker and subprotocol not in others:
            # Said here, since servers would list all that was offered, tokens too.
            ours = subprotocol.startswith(self._prefix)
            came = "the one that carries the token" if ours else f"{subprotocol!r:.80}"
            raise ValueError(
                "The subprotocol of an accept is one of scope['subprotocols'], or None, "
                f"but came {came}."
            )
        return message

    def _is_offered(self, scope: Scope) -> bool:
        return any(entry.startswith(self._prefix) for entry in _offered(scope))

    def _is_ours(self, entry: str) -> bool:
        return entry == self.name or entry.startswith(self._prefix)

    def _kept(self, header: Header) -> Header | None:
        """The header without our entries; None if nothing is left of it."""
        name, value = header
        if name.lower() != b"sec-websocket-protocol":
            return header
        entries = [entry.strip() for entry in value.split(b",")]
        rest = [entry for entry in entries if not self._is_ours(entry.decode("latin-1"))]
        return (name, b", ".join(rest)) if any(rest) else None


def _offered(scope: Scope) -> list[str]:
    return list(scope.get("subprotocols") or ()) if scope["type"] == "websocket" else []


def _malformed(why: str) -> AuthenticationFailed:
    return AuthenticationFailed(why, told=why)
