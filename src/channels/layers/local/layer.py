"""The channel layer of one machine: hub, codec, and the bus between its processes.

Each method prepares what it can at once, then waits for the bus only if it must.
`blocking` has the same for code that blocks, without an event loop in between.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cached_property, partial
from typing import Any, Final, Literal, TypeVar

from ...exceptions import InvalidChannelLayerError, LayerUnavailable
from ...mailbox import Mailbox
from ..base import BaseChannelLayer
from ..codec import decode, encode_message
from ..hub import Hub
from ..losses import WARN_EVERY
from ..mailroom import Mailroom, require_message
from ..sync import SyncLayer
from .addresses import channel_of_node, node_of_channel
from .afar import Answer, FarChannels
from .arrivals import Arrivals
from .calls import Call
from .frames import Item
from .node import WAIT_SECONDS, Node
from .place import BusPlace, find_place
from .processes import default_name, look_after, project_folder

logger = logging.getLogger("channels.layers")

# What other nodes get to answer a question put to all of them.
REPORT_SECONDS: Final = 2.0
# Messages delivered before consumers get their turn, fewer where mailboxes are small;
# and sent without waiting before a sender lets others have theirs.
PER_TURN: Final = 16

T = TypeVar("T")


class LocalChannelLayer(BaseChannelLayer):
    """Channels and groups that all processes of a site on one machine share.

    `expiry`, `capacity`, `channel_capacity`: as for every layer. `group_expiry`: seconds
    after which a membership ends of a channel that no consumer reads; those of running
    consumers end with them, or with their process. `name`, `directory`, `user`, `group`:
    which bus this is and who may join it; by default each project has its own. `host`:
    whether this process may carry it for the others: "auto" (if it serves, or reads
    messages), True or False.
    """

    extensions = ["groups", "flush"]

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float | None = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        *,
        name: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        user: str | int | None = None,
        group: str | int | None = None,
        host: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=channel_capacity)
        if host not in (True, False, "auto"):
            raise InvalidChannelLayerError(f'host is True, False or "auto", not {host!r:.60}.')
        self.group_expiry = group_expiry
        self._project = project_folder()
        self.place: BusPlace = find_place(
            default_name(self._project) if name is None else name, directory, user, group
        )
        self.clock: Callable[[], float] = time.monotonic
        self._host = host
        self._begin()
        look_after(self)

    def _begin(self) -> None:
        """Be a process that has not joined yet."""
        # It serves until it is stopped; it reads messages.
        self._serves = self._reads = False
        self._away_said_at = -math.inf
        # Messages sent without waiting for what became of them.
        self._ahead = 0
        # The loop that last asked for a message with receive().
        self._receiving: asyncio.AbstractEventLoop | None = None
        self._mailroom = Mailroom(
            self.get_capacity, self.expiry, self.group_expiry, self._now, self._group_changed
        )
        per_turn = max(1, min(PER_TURN, self.capacity // 8))
        self._arrivals = Arrivals(self._mailroom, self._main_loop, per_turn, self.statistics)
        self.node = self._arrivals.node = Node(
            self.place,
            self._arrivals,
            may_host=self._may_host,
            project=self._project,
            clock=self._now,
        )
        self._afar = FarChannels(self.node, self._mailroom, self.get_capacity)

    def _now(self) -> float:
        return self.clock()

    def _may_host(self) -> bool:
        if self._host == "auto":
            return self._serves or self._reads
        return self._host

    def _main_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop to deliver on: there, senders and readers take turns."""
        loop = self.hub.main_loop()
        if loop is None and self._receiving is not None and self._receiving.is_running():
            return self._receiving
        return loop

    def _group_changed(self, group: str, present: bool) -> None:
        if present:
            self.node.subscribe(group)
        else:
            self.node.unsubscribe(group)

    @property
    def hub(self) -> Hub:
        """Who is where in this process."""
        return self._mailroom.hub

    @property
    def channels(self) -> dict[str, Any]:
        """The channels of this process that are read or have messages, as they are now."""
        return self.hub.channels()

    @property
    def groups(self) -> dict[str, dict[str, float]]:
        """Group -> {channel of this process: time of joining, by the monotonic clock}."""
        return self.hub.projects_groups()

    # -- channels ----------------------------------------------------------

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a channel name that belongs to this process and to nobody else."""
        return channel_of_node(self.node.id, prefix)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel; ChannelFull if its capacity is reached."""
        sending = self._prepare_send(channel, message)
        if sending is None:
            return
        await self._wait_ready()
        answer = sending()
        if answer is None:
            self._ahead += 1
            if self._ahead % PER_TURN == 0:
                await asyncio.sleep(0)
            return
        try:
            outcome = await _wait(answer, WAIT_SECONDS)
        except TimeoutError:
            raise self._afar.unanswered(channel) from None
        self._afar.judge(channel, outcome)

    def _prepare_send(
        self, channel: str, message: dict[str, Any]
    ) -> Callable[[], Answer | None] | None:
        """Deliver in this process, or return what sends it to another one."""
        require_message(message)
        self._require_channel(channel)
        payload = encode_message(message)
        expires_at = self.clock() + self.expiry
        if node_of_channel(channel) != self.node.id:
            return partial(self._afar.send, channel, payload, expires_at)
        self._mailroom.send(channel, decode(payload), expires_at)
        return None

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of `channel`, waiting for it.

        Several may wait on one channel, in any process: each message goes to one of them.
        """
        self._require_channel(channel)
        self._reads = True
        owner = node_of_channel(channel)
        if owner is None:
            return await self._receive_named(channel)
        if owner != self.node.id:
            raise ValueError(f"Channel {channel!r} belongs to another process, which reads it.")
        self.node.start()
        self._receiving = asyncio.get_running_loop()
        return await self._mailroom.receive(channel)

    async def _receive_named(self, channel: str) -> dict[str, Any]:
        item: Future[Item] = self.node.want(channel)
        try:
            return decode((await asyncio.wrap_future(item)).payload)
        except (asyncio.CancelledError, GeneratorExit):
            self.node.withdraw(channel, item)
            raise

    def attach(self, channel: str, mailbox: Mailbox) -> None:
        """Deliver what is sent to `channel`, one of this process, straight into `mailbox`.

        To be called on the mailbox's own loop.
        """
        if node_of_channel(channel) != self.node.id:
            raise ValueError(f"Channel {channel!r} is not one that new_channel() made here.")
        self._reads = True
        self.node.start()
        self.hub.attach(channel, mailbox)

    def detach(self, channel: str) -> None:
        """Forget `channel` and take it out of every group. Never fails."""
        self.hub.detach(channel)

    # -- groups ------------------------------------------------------------

    async def group_add(self, group: str, channel: str) -> None:
        """Make `channel`, of whatever process, a member of `group`.

        When it returns, what any process sends to the group reaches the channel.
        """
        await self._change("join", group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`; it need not be a member."""
        await self._change("leave", group, channel)

    async def _change(self, method: str, group: str, channel: str) -> None:
        self._require_group(group)
        self._require_channel(channel)
        owner = node_of_channel(channel)
        if owner == self.node.id:
            self._arrivals.change(method, group, channel)
            await self._wait_subscribed(group)
        else:
            await self._wait_ready()
            call = self._change_afar(method, group, channel, owner)
            await self._answers(call, WAIT_SECONDS)

    async def _wait_subscribed(self, group: str) -> None:
        subscribed = self.node.subscribed(group)
        if subscribed is None:
            return
        try:
            # Others wait for the same subscription.
            await _wait(subscribed, self.node.patience, shared=True)
        except TimeoutError:
            # It stands in this process, and the next host is told. Its consumer hears of that.
            now = self.clock()
            if now - self._away_said_at >= WARN_EVERY:
                self._away_said_at = now
                logger.warning(
                    "The bus is away: group %r and others reach this process when it is back", group
                )

    def _change_afar(self, method: str, group: str, channel: str, owner: str | None) -> Call:
        details = {
            "group": group,
            "channel": channel,
            "capacity": self.get_capacity(channel),
            "expiry": self.group_expiry,
        }
        if owner is None:
            kept = {"method": method, **details} if method == "join" else None
            self.node.keep_named(group, channel, kept)
        return self.node.call(owner or "", method, **details)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send `message` to every member of `group`, in every process.

        A member that cannot take it misses it: that is counted and logged, not raised.
        """
        payload = self._prepare_group_send(group, message)
        await self._wait_ready()
        self.node.publish(group, payload, self.clock() + self.expiry)
        # One turn of the loop: members that can keep up do so, and a sender in a
        # loop does not fill their mailboxes before any of them has run.
        await asyncio.sleep(0)

    def _prepare_group_send(self, group: str, message: dict[str, Any]) -> bytes:
        require_message(message)
        self._require_group(group)
        return encode_message(message)

    # -- the whole ---------------------------------------------------------

    async def flush(self) -> None:
        """Forget every waiting message and every group, in every process."""
        await self._wait_ready()
        await self._ask_all("flush")
        self._arrivals.flush()

    async def report(self) -> dict[str, dict[str, Any]]:
        """Ask every process for what it holds: {node: report}, that of the host under ""."""
        await self._wait_ready()
        answers = await self._ask_all("report")
        # A supervisor's node has no layer, and nothing to report.
        reports = {node: answer["report"] for node, answer in answers.items() if "report" in answer}
        return {**reports, self.node.id: self._arrivals.report()}

    async def ping(self) -> float:
        """Return the seconds that a word to the host and back takes."""
        await self._wait_ready()
        began = time.monotonic()
        await self._answers(self.node.call("", "ping"), WAIT_SECONDS)
        return time.monotonic() - began

    async def _ask_all(self, method: str) -> dict[str, dict[str, Any]]:
        call = self.node.call("*", method)
        try:
            return await self._answers(call, REPORT_SECONDS)
        except LayerUnavailable:
            if "" not in call.answers:
                raise
            # A process that is stopped holds nobody up: what the others said will do.
            return dict(call.answers)

    def serve(self, ask: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        """Join now, as a process that serves until it is stopped, and may host for others.

        `ask` has a supervisor host, which outlives this process. Where it cannot, we do.
        """
        self._serves = True
        if ask is not None:
            try:
                ask({**self.place.details(), "project": self._project})
            except Exception as error:
                logger.error("The supervisor does not host the bus: %s", error)
        self.node.start()

    async def close(self) -> None:
        """Write what waits and leave the bus; what is used again joins again."""
        await asyncio.to_thread(self.leave)

    def leave(self) -> None:
        """Do what `close` does, blocking."""
        self.node.close()
        deaf = self._mailroom.close()
        if deaf:
            logger.warning(
                "The layer was closed under %d consumer(s): they hear nothing more", deaf
            )
        self._begin()

    def statistics(self) -> dict[str, int]:
        """Return counts of this process: what it holds, what was lost and why."""
        return {
            **self._mailroom.statistics(),
            "missed": self.node.missed,
            "duplicates": self.node.duplicates,
            "reconnects": self.node.reconnects,
            "waiting_bytes": self.node.waiting_bytes,
        }

    @cached_property
    def sync(self) -> SyncLayer:
        """The same layer for code that blocks, without an event loop in between."""
        from .blocking import LocalSync

        return LocalSync(self)

    # -- forks and exits ---------------------------------------------------

    def forked(self) -> None:
        """In a forked child: leave the parent's connection and members alone."""
        self.node.close_in_child()
        self._begin()

    def ending(self) -> None:
        """A script that has just sent something ends when the kernel has it."""
        if self.node.hosting:
            # Others may take over what it hosts.
            self.leave()
        else:
            self.node.flush(WAIT_SECONDS)

    # -- inside ------------------------------------------------------------

    async def _wait_ready(self) -> None:
        """Return when the host takes more; LayerUnavailable if it does not in time."""
        ready = self.node.ready()
        deadline = time.monotonic() + self.node.patience if ready is not None else 0.0
        try:
            while ready is not None:
                await _wait(ready, deadline - time.monotonic())
                ready = self.node.ready()
        except TimeoutError:
            raise self.node.unavailable() from None

    async def _answers(self, call: Call, seconds: float) -> dict[str, dict[str, Any]]:
        try:
            return await _wait(call.future, seconds)
        except TimeoutError:
            raise LayerUnavailable(
                f"Who was asked over the bus {self.place.socket_path} has not answered in "
                f"{seconds:g} s."
            ) from None
        finally:
            self.node.abandon(call)

    # Checking a name takes longer than delivering to it, so what is known is not
    # checked again.

    def _require_channel(self, channel: str) -> None:
        if type(channel) is str and (self.hub.knows(channel) or self._afar.knows(channel)):
            return
        self.require_valid_channel_name(channel)

    def _require_group(self, group: str) -> None:
        if type(group) is not str or group not in self.hub.groups:
            self.require_valid_group_name(group)


async def _wait(future: Future[T], seconds: float, *, shared: bool = False) -> T:
    """Wait for a future of the node's thread; TimeoutError after `seconds`."""
    waiting = asyncio.wrap_future(future)
    async with asyncio.timeout(seconds):
        return await (asyncio.shield(waiting) if shared else waiting)
