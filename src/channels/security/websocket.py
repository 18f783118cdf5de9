"""Which sites' pages may open a WebSocket.

Browsers send a visitor's cookies with a WebSocket whatever page opens it, and
apply no same-origin policy. They do tell the page's origin, and a server that
cares has to look at it (RFC 6455 10.2).
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.http import is_same_domain

from ..consumer import as_application
from ..exceptions import StopConsumer
from ..generic.websocket import AsyncWebsocketConsumer
from ..threads import lane
from ..types import ASGIApplication, Receive, Scope, Send

__all__ = ["AllowedHostsOriginValidator", "OriginValidator", "WebsocketDenier"]

logger = logging.getLogger("channels.security")

# What Django itself answers to under DEBUG without ALLOWED_HOSTS.
DEVELOPMENT_HOSTS: Final = (".localhost", "127.0.0.1", "[::1]")
DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class OriginValidator:
    """Lets WebSockets through to `application` whose Origin header fits one of `allowed_origins`.

    A pattern is `*` (all, also a missing Origin), a domain (`example.com`; `.example.com`
    with all below it) on any scheme and port, a domain with a port
    (`example.com:8000`), or an origin (`https://example.com`, `https://.example.com`,
    `capacitor://localhost`, `file://`), whose scheme and port must be equal too.
    Whatever fits none is answered 403.
    """

    def __init__(self, application: Any, allowed_origins: Collection[str]) -> None:
        self.application: ASGIApplication = as_application(application)
        self.allowed_origins = allowed_origins
        for pattern in allowed_origins:
            _parsed_pattern(pattern)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] != "websocket":
            raise ValueError("You cannot use OriginValidator on a non-WebSocket connection")
        text = _origin_of(scope)
        if self.valid_origin(_parsed(text)):
            async with lane(label=scope.get("path", "")):
                return await self.application(scope, receive, send)
        logger.warning(
            "WebSocket %s refused with 403: %s is not among the allowed origins %r.",
            scope.get("path"),
            "a missing Origin header" if text is None else f"the Origin {text[:200]!r}",
            list(self.allowed_origins),
        )
        return await WebsocketDenier()(scope, receive, send)

    def valid_origin(self, parsed_origin: Any) -> bool:
        """Whether a parsed Origin, or None for one that is missing or malformed, may pass."""
        if parsed_origin is None and "*" not in self.allowed_origins:
            return False
        return self.validate_origin(parsed_origin)

    def validate_origin(self, parsed_origin: Any) -> bool:
        """Whether any of the patterns fits."""
        return any(
            pattern == "*" or self.match_allowed_origin(parsed_origin, pattern)
            for pattern in self.allowed_origins
        )

    def match_allowed_origin(self, parsed_origin: Any, pattern: str) -> bool:
        """Whether one pattern, other than `*`, fits."""
        if parsed_origin is None:
            return False
        allowed = _parsed_pattern(pattern)
        if not _same_host(parsed_origin, allowed):
            return False
        if allowed.scheme and allowed.scheme != parsed_origin.scheme:
            return False
        if not allowed.scheme and allowed.port is None:
            return True
        return self.get_origin_port(parsed_origin) == self.get_origin_port(allowed)

    def get_origin_port(self, origin: Any) -> int | None:
        """The origin's port, or the usual one of its scheme, or None."""
        if origin.port is not None:
            return int(origin.port)
        return DEFAULT_PORTS.get(origin.scheme)


def _origin_of(scope: Scope) -> str | None:
    values = [value for name, value in scope.get("headers", ()) if name.lower() == b"origin"]
    return values[-1].decode("latin1") if values else None


def _parsed(text: str | None) -> SplitResult | None:
    if text is None:
        return None
    try:
        origin = urlsplit(text)
        _ = origin.port
    except ValueError:
        return None
    return origin


def _parsed_pattern(pattern: str) -> SplitResult:
    try:
        parsed = urlsplit(pattern if "://" in pattern else f"//{pattern}")
        _ = parsed.port
    except ValueError as error:
        raise ValueError(
            "An allowed origin is '*', a domain, a domain:port or scheme://domain[:port], "
            f"but this is {pattern!r}: {error}"
        ) from None
    return parsed


def _same_host(origin: Any, allowed: SplitResult) -> bool:
    if origin.hostname is None or allowed.hostname is None:
        # file:// and its like have no host; only a pattern without one fits them.
        return bool(allowed.scheme) and origin.hostname is None and allowed.hostname is None
    return is_same_domain(origin.hostname, allowed.hostname)


def AllowedHostsOriginValidator(application: Any) -> OriginValidator:
    """Let WebSockets through that pages of this site open: those of ALLOWED_HOSTS."""
    allowed_hosts = settings.ALLOWED_HOSTS
    if settings.DEBUG and not allowed_hosts:
        allowed_hosts = list(DEVELOPMENT_HOSTS)
    return OriginValidator(application, allowed_hosts)


class WebsocketDenier(AsyncWebsocketConsumer):
    """Refuses every WebSocket with 403."""

    async def connect(self) -> None:
        await self.close()
        # Nothing else is of interest: it does not wait for the disconnect.
        raise StopConsumer()
