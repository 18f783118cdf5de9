"""How events get into a consumer's mailbox.

A consumer that stands directly on our server takes over the mailbox that the
server fills: no pump, no copy. Behind a middleware that wraps `receive` or
`send`, or on another server, one long-lived task moves events from `receive()`
into a mailbox of the consumer's own; a layer that offers nothing but
`receive(channel)` gets another.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any, Final

from .mailbox import DEFAULT_CLIENT_LIMIT, DirectReceive, Mailbox
from .types import ClientDisconnected, Message, Receive, Send

logger = logging.getLogger("channels.consumer")

# A layer that fails is asked again after this, doubled each time up to the most.
FIRST_RETRY_SECONDS: Final = 0.1
LONGEST_RETRY_SECONDS: Final = 5.0
# An outage is said once in so long.
SAY_AGAIN_SECONDS: Final = 60.0
# Messages taken ahead from a foreign layer. One: its own capacity and expiry
# stay in force for the rest.
FOREIGN_LAYER_AHEAD: Final = 1


class Intake:
    """A consumer's mailbox and the tasks that fill it, if any are needed."""

    __slots__ = (
        "_client",
        "_receive",
        "_resumed",
        "_server_send",
        "_tasks",
        "direct",
        "mailbox",
        "send",
    )

    def __init__(
        self, receive: Receive, send: Send, client_limit: int = DEFAULT_CLIENT_LIMIT
    ) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._resumed: asyncio.Event | None = None
        self.direct = False
        self.send = send
        if type(receive) is DirectReceive and receive.send is send and not receive.mailbox.claimed:
            self.direct = True
            self.mailbox = receive.mailbox
            self.mailbox.claimed = True
            return
        self._receive, self._server_send = receive, send
        self.send = self._send_or_tell
        self.mailbox = Mailbox(asyncio.get_running_loop(), self, client_limit)
        self._client: asyncio.Task[None] | None = self._start(self._pump_client(receive))

    def add_layer(self, receive: Callable[[], Awaitable[Message]]) -> None:
        """Take messages from a layer that only answers `receive(channel)`."""
        self._start(self._pump_layer(receive))

    def _start(self, pump: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(pump)
        task.add_done_callback(self._pump_ended)
        self._tasks.append(task)
        return task

    def _pump_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.mailbox.fail(error)

    # -- Inlet -------------------------------------------------------------

    def pause_input(self) -> None:
        self._resumed = asyncio.Event()

    def resume_input(self) -> None:
        if self._resumed is not None:
            self._resumed.set()

    # -- pumps -------------------------------------------------------------

    async def _pump_client(self, receive: Receive) -> None:
        while True:
            message = await receive()
            if str(message.get("type", "")).endswith(".disconnect"):
                self.mailbox.put_disconnect(message)
                return
            self.mailbox.put_client(message, _payload_size(message))
            if self._resumed is not None:
                await self._resumed.wait()
                self._resumed = None

    async def _pump_layer(self, receive: Callable[[], Awaitable[Message]]) -> None:
        clock = self.mailbox.loop.time
        delay, said_at = FIRST_RETRY_SECONDS, -math.inf
        while True:
            try:
                message = await receive()
            except Exception:
                # An engine that fails must not take the socket with it.
                if clock() - said_at >= SAY_AGAIN_SECONDS:
                    said_at = clock()
                    logger.exception(
                        "A channel layer failed in receive(). The socket stays; the layer is "
                        "asked again in %.1f s, then less and less often, at least each %.0f s",
                        delay,
                        LONGEST_RETRY_SECONDS,
                    )
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, LONGEST_RETRY_SECONDS)
                continue
            delay = FIRST_RETRY_SECONDS
            # A copy: channels_redis gives all members in a process the same dict.
            self.mailbox.put_layer(deepcopy(message), float("inf"), FOREIGN_LAYER_AHEAD)
            await self.mailbox.wait_layer_room(FOREIGN_LAYER_AHEAD)

    # -- to the client -----------------------------------------------------

    async def _send_or_tell(self, message: Message) -> None:
        """Servers raise an OSError of their own choice once the client has gone."""
        try:
            if message.get("type") == "websocket.close":
                await self._send_close(message)
            else:
                await self._server_send(message)
        except OSError as error:
            raise ClientDisconnected(str(error)) from error

    async def _send_close(self, message: Message) -> None:
        """Send a close while nobody is in `receive`.

        Granian holds a close back until the client says something, as long as somebody
        waits for that. No server loses an event by the cancellation: it stays in its
        queue, or the next `receive` tells of the disconnect once more.
        """
        pump = self._client
        if pump is None or pump.done():
            return await self._server_send(message)
        pump.cancel()
        try:
            await asyncio.wait((pump,))
            await self._server_send(message)
        finally:
            if pump.done():
                self._tasks.remove(pump)
            told = pump.done() and not pump.cancelled()
            if self._client is pump and not told and not self.mailbox.closed:
                self._client = self._start(self._pump_client(self._receive))

    async def aclose(self) -> None:
        """Cancel the pumps and wait until they are gone."""
        self.mailbox.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._let_go()

    def _let_go(self) -> None:
        """Leave no cycle behind, or the server's objects would wait for the garbage collector.

        Granian then may not end a socket for as long. A cancelled task holds its
        traceback, that the pump's frame, and that holds us.
        """
        self._tasks.clear()
        self.mailbox.on_disconnect = None
        if not self.direct:
            self._client = self.mailbox.inlet = None
            self.send = self._server_send


def _payload_size(message: Message) -> int:
    contents = (message.get(key) for key in ("text", "bytes", "body"))
    return sum(len(content) for content in contents if isinstance(content, (str, bytes)))
