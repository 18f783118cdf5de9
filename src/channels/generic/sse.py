"""Server-sent events: a response that stays open, and says what happens as text.

Browsers read it with `EventSource`, connect again by themselves, and then tell the
id of the last event that they saw. HTML Living Standard, section 9.2.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from ..exceptions import StopConsumer
from ..mailbox import SharedMessage
from ..types import ClientDisconnected, Header
from .http import AsyncHttpConsumer
from .json_text import dumps
from .messages import check_groups_supported

logger = logging.getLogger("channels.consumer")

# HTML 9.2.5: a line ends with any of these, and with nothing else.
_LINE_END: Final = re.compile("\r\n|\r|\n")
STREAM_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx would otherwise hold events back until its buffer is full.
    (b"x-accel-buffering", b"no"),
)


def event_bytes(
    data: str | None, *, event: str | None = None, id: str | None = None, retry: int | None = None
) -> bytes:
    """Return one event as it goes over the wire.

    `data`: text of any number of lines; None dispatches nothing, and so only sets `id`
    or `retry`, in milliseconds. ValueError where `event` or `id` would end its line.
    """
    lines = []
    if event is not None:
        lines.append(f"event: {_one_line('event', event)}")
    if id is not None:
        lines.append(f"id: {_one_line('id', id)}")
    if retry is not None:
        if type(retry) is not int or retry < 0:
            raise ValueError(f"retry is whole milliseconds, 0 or more, not {retry!r:.60}")
        lines.append(f"retry: {retry}")
    if data is not None:
        if not isinstance(data, str):
            raise TypeError(f"The data of an event is str, not {data!r:.60}. See send_json().")
        lines.extend(f"data: {line}" for line in _LINE_END.split(data))
    return "\n".join((*lines, "", "")).encode()


def comment_bytes(text: str = "") -> bytes:
    """Return a comment, which clients read past."""
    return "".join(f":{line}\n" for line in _LINE_END.split(text)).encode() + b"\n"


def _one_line(name: str, value: str) -> str:
    # HTML 9.2.6: an id with a NULL is ignored.
    if _LINE_END.search(value) or (name == "id" and "\0" in value):
        raise ValueError(f"The {name} of an event is one line without NULL, not {value!r:.60}")
    return value


class AsyncEventStreamConsumer(AsyncHttpConsumer):
    """A stream of events to one client, over an ordinary HTTP response.

    `connect()` accepts or denies the client and may send first events; then handlers
    of layer messages send more, until the client leaves or `close()` is called.
    `connect()` may as well stream for as long as it likes: it is cancelled when the
    client leaves, but layer messages then wait for it.

    `groups`: joined before `connect()`, left at the end. `retry`: milliseconds after
    which a client that lost the stream connects again; None leaves it to the browser.
    `keep_alive`: seconds of silence after which a comment is sent, so that proxies
    and clients see that the stream lives; None for never.
    """

    groups: Iterable[str] | None = None
    retry: int | None = None
    keep_alive: float | None = 15.0

    _pulse: asyncio.Task[None] | None = None
    _joined: tuple[str, ...] = ()
    _sent_at = 0.0

    @property
    def last_event_id(self) -> str | None:
        """The id of the last event that the client saw before it connected again."""
        for name, value in self.scope["headers"]:
            if name.lower() == b"last-event-id":
                # HTML 9.2.3: sent as UTF-8.
                return str(value, "utf-8", "replace")
        return None

    async def connect(self) -> None:
        """Accept or deny the client; accepts, unless overridden."""
        await self.accept()

    async def accept(self, headers: Iterable[Header] = ()) -> None:
        """Begin the stream. `headers`: pairs of bytes, besides those that a stream needs."""
        await self.send_headers(headers=[*STREAM_HEADERS, *headers])
        if self.scope["method"] == "HEAD":
            await self.send_body(b"")
            raise StopConsumer()
        begin = b"" if self.retry is None else event_bytes(None, retry=self.retry)
        self._go_on_until_the_client_leaves()
        await self._write(begin)
        if self.keep_alive is not None:
            self._pulse = asyncio.create_task(self._keep_alive(self.keep_alive))

    async def deny(
        self, status: int = 403, body: bytes = b"", headers: Iterable[Header] = ()
    ) -> None:
        """Answer with a status instead. 204 also keeps a browser from connecting again."""
        await self.send_response(status, body, headers=headers)

    async def send_event(
        self,
        data: str | None,
        *,
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
    ) -> None:
        """Send an event. `event`: its name, "message" for browsers if None."""
        await self._write(event_bytes(data, event=event, id=id, retry=retry))

    async def send_json(
        self, content: Any, *, event: str | None = None, id: str | None = None
    ) -> None:
        """Send an event whose data is `content` as JSON."""
        await self.send_event(await self.encode_json(content), event=event, id=id)

    async def send_comment(self, text: str = "") -> None:
        """Send what clients read past."""
        await self._write(comment_bytes(text))

    async def send_rendered(self, shared: SharedMessage | None) -> None:
        """Send what a `@broadcast` handler returned, which has to be text, as an event."""
        if shared is not None:
            await self.send_event(shared.text)

    async def close(self) -> None:
        """End the stream. A browser connects again, unless it is then answered 204."""
        await self._stop_pulse()
        if not self._complete:
            await self.send_body(b"")

    @classmethod
    async def encode_json(cls, content: Any) -> str:
        return dumps(content)

    # -- inside ------------------------------------------------------------

    async def handle(self, body: bytes) -> None:
        for group in self.groups or ():
            check_groups_supported(self.channel_layer, self.channel_layer_alias)
            self._joined += (group,)
            await self.channel_layer.group_add(group, self.channel_name)
        await self.connect()

    async def _write(self, data: bytes) -> None:
        await self.send_body(data, more_body=True)
        self._sent_at = asyncio.get_running_loop().time()

    async def _keep_alive(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while True:
                silent_for = clock() - self._sent_at
                if silent_for < seconds:
                    await asyncio.sleep(seconds - silent_for)
                else:
                    await self.send_comment()
        except ClientDisconnected:
            # The consumer hears of it from the client's side.
            return

    async def _stop_pulse(self) -> None:
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            pulse.cancel()
            (error,) = await asyncio.gather(pulse, return_exceptions=True)
            if isinstance(error, Exception):
                logger.error("Keeping a stream alive failed", exc_info=error)

    async def _disconnect_once(self) -> None:
        await self._stop_pulse()
        if self._disconnected:
            return
        joined, self._joined = self._joined, ()
        try:
            for group in joined:
                await self.channel_layer.group_discard(group, self.channel_name)
        finally:
            await super()._disconnect_once()
