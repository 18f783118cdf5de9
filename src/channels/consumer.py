"""Consumers: small, long-lived applications that handle the events of one scope.

An event's type names its handler: `websocket.receive` goes to
`websocket_receive`. Events of the client and messages of the channel layer come
out of one mailbox, one at a time and in order, in one task.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from asgiref.sync import async_to_sync

from . import DEFAULT_CHANNEL_LAYER
from .broadcast import renderer_of
from .consuming import Run
from .db import aclose_old_connections, database_sync_to_async
from .exceptions import StopConsumer, UnknownMessageType
from .handlers import ON_RECONNECT, get_handler_name
from .intake import Intake
from .layers import fills_mailboxes, get_channel_layer
from .mailbox import DEFAULT_CLIENT_LIMIT, SharedMessage
from .threads import lane
from .types import ASGIApplication, Message, Receive, Scope, Send
from .utils import await_many_dispatch, name_that_thing

__all__ = [
    "AsyncConsumer",
    "StopConsumer",
    "SyncConsumer",
    "aclose_old_connections",
    "as_application",
    "await_many_dispatch",
    "database_sync_to_async",
    "get_channel_layer",
    "get_handler_name",
]


def as_application(thing: Any) -> ASGIApplication:
    """Return an ASGI application: a consumer class is wrapped, all else is one already."""
    if isinstance(thing, type) and callable(getattr(thing, "as_asgi", None)):
        application: ASGIApplication = thing.as_asgi()  # type: ignore[attr-defined]
        return application
    return thing  # type: ignore[no-any-return]


class AsyncConsumer:
    """Handles the events of one scope with coroutine methods.

    Inside a handler: `self.scope`, `self.channel_layer` (None without one),
    `self.channel_name` (with a layer), `await self.send(event)`. A handler ends the
    consumer by raising `StopConsumer`; an event `*.disconnect` that has no handler
    ends it too.
    """

    _sync: ClassVar[bool] = False
    channel_layer_alias: ClassVar[str] = DEFAULT_CHANNEL_LAYER

    scope: Scope
    channel_layer: Any
    channel_name: str
    _serves_one_scope: bool
    _as_made: dict[str, Any]
    _in_use = False
    _attached: tuple[Any, str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("type") == "lifespan" and not hasattr(self, "lifespan_startup"):
            # ASGI lifespan 2.0: raising, with nothing read, says that we do without.
            raise UnknownMessageType(f"{name_that_thing(self)} has no handler for lifespan events")
        if (
            "_serves_one_scope" in self.__dict__
            or type(self).__call__ is not AsyncConsumer.__call__
        ):
            # In the second case the subclass has begun already, with this very object.
            return await self._serve(scope, receive, send)
        one = self._for_one_scope()
        try:
            await one._serve(scope, receive, send)
        finally:
            one._in_use = False

    def _for_one_scope(self) -> AsyncConsumer:
        """An instance used as an application: who comes while it serves gets a copy.

        Or connections would overwrite each other's state. The copy is of the instance
        as it was made; what the only connection leaves in it can be read afterwards.
        """
        if self._in_use:
            return self._another()
        if "_as_made" not in self.__dict__:
            self._as_made = dict(self.__dict__)
        self._in_use = True
        return self

    def _another(self) -> AsyncConsumer:
        # Not copy.copy(): it asks the new instance for `__setstate__`, and a subclass's
        # `__getattr__`, which may hand on to an attribute, would look for that for ever.
        other = object.__new__(type(self))
        other.__dict__.update(self._as_made)
        state = object.__getstate__(self)
        if isinstance(state, tuple):
            # What is in slots, of a subclass that has any.
            for name, value in state[1].items():
                setattr(other, name, value)
        return other

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        async with lane("sockets", type(self).__qualname__, alone=True) as active:
            # Messages of a named channel that nobody works on yet belong to the layer.
            ahead = 0 if scope.get("type") == "channel" else DEFAULT_CLIENT_LIMIT
            intake = Intake(receive, send, ahead)
            try:
                # What middleware asked the database is no part of the first event.
                active.end_event()
                active.reader = intake.mailbox
                await self._enter(intake, receive)
                await Run(self, intake.mailbox, active).run()
            finally:
                active.reader = None
                self._leave()
                await intake.aclose()

    async def _enter(self, intake: Intake, receive: Receive) -> None:
        self._bind_send(intake.send)
        layer = self.channel_layer = get_channel_layer(self.channel_layer_alias)
        if layer is None:
            return
        self.channel_name = await layer.new_channel()
        self.channel_receive = functools.partial(layer.receive, self.channel_name)
        kind: Any = type(layer)
        if not fills_mailboxes(kind):
            intake.add_layer(self.channel_receive)
            return
        if intake.direct:
            intake.mailbox.renderer = renderer_of(type(self))  # type: ignore[arg-type]
            intake.mailbox.sink = receive.sink  # type: ignore[attr-defined]
        layer.attach(self.channel_name, intake.mailbox)
        # Not what the attributes say at the end: handlers may put others there.
        self._attached = (layer, self.channel_name)

    def _leave(self) -> None:
        """Leave the layer's channel and, with it, every group."""
        attached, self._attached = self._attached, None
        if attached is not None:
            layer, channel_name = attached
            layer.detach(channel_name)

    def _bind_send(self, send: Send) -> None:
        self.base_send: Any = send

    async def dispatch(self, message: Message) -> None:
        """Call the handler of one message."""
        handler = getattr(self, get_handler_name(message), None)
        if not callable(handler):
            raise UnknownMessageType(f"No handler for message type {message['type']}")
        await handler(message)

    async def _dispatch_notice(self, may_have_missed: bool) -> None:
        await getattr(self, ON_RECONNECT)(may_have_missed)

    async def send(self, message: Message) -> None:
        """Send one ASGI event to the client."""
        await self.base_send(message)

    async def _send_shared(self, shared: SharedMessage) -> None:
        await self.base_send(_content_event(shared))

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> ASGIApplication:
        """Return an ASGI application that makes a new instance for each scope.

        `initkwargs` go to the constructor. The class stays readable as
        `app.consumer_class`, the arguments as `app.consumer_initkwargs`.
        """

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            consumer = cls(**initkwargs)
            consumer._serves_one_scope = True
            return await consumer(scope, receive, send)

        app.consumer_class = cls  # type: ignore[attr-defined]
        app.consumer_initkwargs = initkwargs  # type: ignore[attr-defined]
        functools.update_wrapper(app, cls, updated=())
        return app


def _content_event(shared: SharedMessage) -> Message:
    if shared.text is not None:
        return {"type": "websocket.send", "text": shared.text}
    return {"type": "websocket.send", "bytes": shared.data}


class SyncConsumer(AsyncConsumer):
    """Handles the events of one scope with ordinary, blocking methods.

    They run in the scope's lane: one at a time and in order, beside those of other
    connections.
    """

    _sync = True

    @database_sync_to_async
    def dispatch(self, message: Message) -> None:
        """Call the handler of one message."""
        handler = getattr(self, get_handler_name(message), None)
        if not callable(handler):
            raise UnknownMessageType(f"No handler for message type {message['type']}")
        handler(message)

    @database_sync_to_async
    def _dispatch_notice(self, may_have_missed: bool) -> None:
        getattr(self, ON_RECONNECT)(may_have_missed)

    def send(self, message: Message) -> None:  # type: ignore[override]
        """Send one ASGI event to the client; returns when the server has taken it."""
        self.base_send(message)

    def _bind_send(self, send: Send) -> None:
        self._async_send = send
        self.base_send = async_to_sync(send)

    async def _send_shared(self, shared: SharedMessage) -> None:
        await self._async_send(_content_event(shared))
