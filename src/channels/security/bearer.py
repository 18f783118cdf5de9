"""Tokens in the Authorization header: RFC 6750 2.1.

For clients that can set headers: programs, mobile applications, other servers.
A browser's WebSocket cannot; see subprotocol_token.py and tickets.py.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..types import Scope
from ..utils import name_that_thing
from .authenticators import AuthenticationFailed
from .verification import Verify, check_verify, user_of

__all__ = ["BearerHeader"]

# What servers take for all headers of a request, at least: 8 kB (RFC 9110 5.4).
MAX_TOKEN_BYTES: Final = 8192
# RFC 9110 5.6.2: the characters of a token, which a scheme is.
_CREDENTIALS: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]*)(.*)", re.DOTALL)
# RFC 6750 2.1: 1*SP b64token.
_REST: Final = re.compile(rb" +([0-9A-Za-z._~+/-]+=*)")


class BearerHeader:
    """Finds the user by `Authorization: Bearer <token>`.

    `verify(token)`, sync or async, returns the token's user, or None for a wrong token.
    """

    # RFC 6750 3.1.
    challenge = 'Bearer error="invalid_token"'

    def __init__(self, verify: Verify) -> None:
        check_verify(verify, "BearerHeader")
        self.verify = verify

    def __repr__(self) -> str:
        return f"BearerHeader({name_that_thing(self.verify)})"

    async def authenticate(self, scope: Scope) -> Any:
        """Return the user of the header's token; None without a header of this scheme."""
        values = [value for name, value in scope.get("headers", ()) if _is_ours(name)]
        if not any(map(_is_bearer, values)):
            return None
        if len(values) > 1:
            raise _malformed("The request has several Authorization headers; send one.")
        return await user_of(_token_of(values[0]), self.verify)

    def hide(self, scope: Scope) -> Scope:
        """Take the header out, of a WebSocket's scope alone.

        Views behind an HTTP scope may read the header themselves, and Django's error
        pages mask it.
        """
        headers = scope.get("headers", ())
        if scope["type"] == "http" or not any(
            _is_ours(name) and _is_bearer(value) for name, value in headers
        ):
            return scope
        return {**scope, "headers": [header for header in headers if not _is_ours(header[0])]}


def _is_ours(name: bytes) -> bool:
    return name.lower() == b"authorization"


def _split(value: bytes) -> tuple[bytes, bytes]:
    match = _CREDENTIALS.match(value.strip(b" \t"))
    assert match is not None, "the pattern fits everything"
    return match[1], match[2]


def _is_bearer(value: bytes) -> bool:
    return _split(value)[0].lower() == b"bearer"


def _token_of(value: bytes) -> str:
    rest = _split(value)[1]
    if not rest:
        raise _malformed("The Authorization header has no token behind 'Bearer'.")
    if len(rest) > MAX_TOKEN_BYTES:
        raise _malformed(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
    match = _REST.fullmatch(rest)
    if match is None:
        raise _malformed(
            "The Authorization header is not 'Bearer', a space, and a token of letters, "
            "digits, '-', '.', '_', '~', '+', '/' with '=' at its end."
        )
    return match[1].decode("ascii")


def _malformed(why: str) -> AuthenticationFailed:
    return AuthenticationFailed(why, told=why)
