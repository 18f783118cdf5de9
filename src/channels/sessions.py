"""Cookies and Django's sessions for any scope that comes over HTTP.

`scope["cookies"]` is a dict, `scope["session"]` the session of Django's
SESSION_ENGINE. A session that was changed is saved, and its cookie sent, with
the response's head: that of an HTTP response, or that which accepts or denies a
WebSocket. Later changes on a WebSocket are the consumer's to save, and no cookie
can be sent any more. A session that was deleted meanwhile, as by logging out in
another tab, is never written again.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Awaitable
from importlib import import_module
from typing import Any, Final

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse, parse_cookie
from django.utils.functional import LazyObject
from django.utils.http import http_date

from .consumer import as_application
from .db import database_sync_to_async
from .mailbox import DirectReceive
from .threads import lane
from .types import ASGIApplication, Message, Receive, Scope, Send

__all__ = [
    "CookieMiddleware",
    "InstanceSessionWrapper",
    "SessionMiddleware",
    "SessionMiddlewareStack",
]

logger = logging.getLogger("channels.security")

HEAD_MESSAGES: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")
LONG_AGO: Final = "Thu, 01 Jan 1970 00:00:00 GMT"


class CookieMiddleware:
    """Puts the cookies of the request into `scope["cookies"]`, names and values as str."""

    def __init__(self, inner: Any) -> None:
        self.inner: ASGIApplication = as_application(inner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if "headers" not in scope:
            raise ValueError(
                "CookieMiddleware was passed a scope that did not have a headers key "
                "(make sure it is only passed HTTP or WebSocket connections)"
            )
        # RFC 9113 8.2.3: HTTP/2 may split the header; its parts are joined with "; ".
        parts = [value for name, value in scope["headers"] if name.lower() == b"cookie"]
        cookies = parse_cookie(b"; ".join(parts).decode("latin1"))
        async with lane(label=scope.get("path", "")):
            return await self.inner({**scope, "cookies": cookies}, receive, send)

    @classmethod
    def set_cookie(
        cls,
        message: Message,
        key: str,
        value: str = "",
        max_age: int | datetime.timedelta | None = None,
        expires: str | datetime.datetime | None = None,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: Any = "lax",
    ) -> None:
        """Add a Set-Cookie header to a message that begins a response or accepts a WebSocket.

        `expires`: an HTTP date, or a datetime (UTC where naive), which replaces `max_age`.
        """
        if isinstance(expires, datetime.datetime):
            max_age = None
        response = HttpResponse()
        response.set_cookie(key, value, max_age, expires, path, domain, secure, httponly, samesite)
        header = response.cookies[key].output(header="").strip().encode()
        # A new list: the caller's may be a constant that many messages share.
        message["headers"] = [*(message.get("headers") or ()), (b"Set-Cookie", header)]

    @classmethod
    def delete_cookie(
        cls, message: Message, key: str, path: str = "/", domain: str | None = None
    ) -> None:
        """Add a Set-Cookie header that makes the browser forget a cookie."""
        cls.set_cookie(message, key, max_age=0, expires=LONG_AGO, path=path, domain=domain)


class InstanceSessionWrapper:
    """The session of one connection: its place in the scope, and its `send`."""

    save_message_types: list[str] = list(HEAD_MESSAGES)
    cookie_response_message_types: list[str] = list(HEAD_MESSAGES)

    def __init__(self, scope: Scope, send: Send) -> None:
        self.cookie_name: str = settings.SESSION_COOKIE_NAME
        self.session_store: Any = import_module(settings.SESSION_ENGINE).SessionStore
        self.scope: Scope = dict(scope)
        self.real_send = send
        self._refused = False
        # A session is there already, from a middleware further out that will save it.
        self.activated = "session" not in scope
        if not self.activated:
            return
        if "cookies" not in scope:
            raise ValueError(
                "No cookies in scope - SessionMiddleware needs to run inside of CookieMiddleware."
            )
        self.scope["session"] = LazyObject()

    async def resolve_session(self) -> None:
        """Make the session that the cookie names. Nothing is read until it is used."""
        if self.activated:
            key = self.scope["cookies"].get(self.cookie_name)
            self.scope["session"]._wrapped = self.session_store(key)

    @markcoroutinefunction
    def send(self, message: Message) -> Awaitable[None]:
        """Send an event on; with the response's head goes what became of the session."""
        # No coroutine of our own around the many messages that are no head; marked, since
        # async_to_sync asks for one.
        if self.activated and (self._refused or message["type"] in self.save_message_types):
            return self._send_head(message)
        return self.real_send(message)

    async def _send_head(self, message: Message) -> None:
        if self._refused:
            return
        if self._must_save(message):
            try:
                await self._save_into(message)
            except SuspiciousOperation as error:
                return await self._refuse(message["type"], error)
        await self.real_send(message)

    def _must_save(self, message: Message) -> bool:
        session = self.scope["session"]
        if message.get("status", 200) >= 500:
            return False
        if message["type"] == "http.response.start" and settings.SESSION_SAVE_EVERY_REQUEST:
            return True
        return bool(session.modified)

    async def _save_into(self, message: Message) -> None:
        session = self.scope["session"]
        # Read it if nobody has: only then it is known to be empty, or gone.
        await session.akeys()
        empty = session.is_empty()
        if not empty:
            await self.save_session()
        if message["type"] not in self.cookie_response_message_types:
            return
        if not empty:
            self._set_cookie(message, session)
        elif self.cookie_name in self.scope["cookies"]:
            CookieMiddleware.delete_cookie(
                message,
                self.cookie_name,
                path=settings.SESSION_COOKIE_PATH,
                domain=settings.SESSION_COOKIE_DOMAIN,
            )

    def _set_cookie(self, message: Message, session: Any) -> None:
        lasting = not session.get_expire_at_browser_close()
        max_age = session.get_expiry_age() if lasting else None
        CookieMiddleware.set_cookie(
            message,
            self.cookie_name,
            # After the save: a session that was new got its key there.
            session.session_key,
            max_age=max_age,
            expires=http_date(time.time() + max_age) if max_age is not None else None,
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=bool(settings.SESSION_COOKIE_SECURE),
            httponly=bool(settings.SESSION_COOKIE_HTTPONLY),
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )

    async def save_session(self) -> None:
        """Save the session. SuspiciousOperation if it has been deleted meanwhile."""
        try:
            await database_sync_to_async(self.scope["session"].save)()
        except UpdateError:
            raise SuspiciousOperation(
                "The request's session was deleted before the request completed. "
                "The user may have logged out in a concurrent request, for example."
            ) from None

    async def _refuse(self, head: str, error: SuspiciousOperation) -> None:
        """Answer in place of the application, whose later messages then go nowhere."""
        self._refused = True
        logger.warning("%s refused: %s", self.scope.get("path", "A connection"), error)
        if head == "websocket.accept":
            await self.real_send({"type": "websocket.close"})
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await self.real_send({"type": head, "status": 400, "headers": headers})
        body_type = head.removesuffix("start") + "body"
        await self.real_send({"type": body_type, "body": str(error).encode()})


class SessionMiddleware:
    """Puts the session into `scope["session"]`; stands inside CookieMiddleware."""

    def __init__(self, inner: Any) -> None:
        self.inner: ASGIApplication = as_application(inner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        wrapper = InstanceSessionWrapper(scope, send)
        await wrapper.resolve_session()
        wrapped_send: Send = wrapper.send if wrapper.activated else send
        if type(receive) is DirectReceive and receive.send is send:
            # A consumer behind us still stands directly on the server: of what it
            # sends we change the head alone, and that takes its way through us.
            receive = DirectReceive(receive.mailbox, wrapped_send, receive.sink)
        async with lane(label=scope.get("path", "")):
            return await self.inner(wrapper.scope, receive, wrapped_send)


def SessionMiddlewareStack(inner: Any) -> CookieMiddleware:
    """Wrap an application in sessions and the cookies they need."""
    return CookieMiddleware(SessionMiddleware(inner))
