"""The channel layer of one machine: hub, codec, and the bus between its processes."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import cached_property, partial
from typing import Any, Final, Literal, NamedTuple

from ...exceptions import ChannelFull, InvalidChannelLayerError, LayerUnavailable, MessageTooLarge
from ...mailbox import Mailbox
from ..base import BaseChannelLayer
from ..codec import decode, encode
from ..hub import Hub
from ..losses import WARN_EVERY, Loss, Reason
from ..mailroom import Mailroom, require_message
from ..sync import SyncLayer
from ..waiter import running_loop
from .addresses import channel_of_node, node_of_channel
from .frames import MAX_MESSAGE, Item, Outcome, Publication, Sending
from .inbox import Inbox
from .node import WAIT_SECONDS, Arrival, Node
from .place import BusPlace, find_place
from .windows import Windows

logger = logging.getLogger("channels.layers")

# What other nodes get to answer a question put to all of them.
REPORT_SECONDS: Final = 2.0


class Notice(NamedTuple):
    """Consumers are to be told that the bus was away; `group` None: all of them."""

    group: str | None
    may_have_missed: bool


class LocalChannelLayer(BaseChannelLayer):
    """Channels and groups that all processes of a site on one machine share.

    `expiry`, `capacity`, `channel_capacity`: as for every layer. `group_expiry`: seconds
    after which a membership ends of a channel that no consumer reads; those of running
    consumers end with them, or with their process. `name`, `directory`, `user`, `group`:
    which bus this is and who may join it. `host`: whether this process may carry it for
    the others: "auto" (if it serves, or reads messages), True or False.
    """

    extensions = ["groups", "flush"]

    def __init__(
        self,
        expiry: float = 60,
        group_expiry: float | None = 86400,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
        *,
        name: str = "default",
        directory: str | os.PathLike[str] | None = None,
        user: str | int | None = None,
        group: str | int | None = None,
        host: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(expiry=expiry, capacity=capacity, channel_capacity=channel_capacity)
        if host not in (True, False, "auto"):
            raise InvalidChannelLayerError(f'host is True, False or "auto", not {host!r:.60}.')
        self.group_expiry = group_expiry
        self.place: BusPlace = find_place(name, directory, user, group)
        self.clock: Callable[[], float] = time.monotonic
        self.project = _project()
        # Set for processes that serve until they are stopped.
        self.long_lived = False
        self._host = host
        self._reads = False
        # The loop that last asked for a message with receive().
        self._receiving: asyncio.AbstractEventLoop | None = None
        self._begin()
        _look_after(self)

    def _begin(self) -> None:
        self._mailroom = Mailroom(
            self.get_capacity, self.expiry, self.group_expiry, self._now, self._group_changed
        )
        self._windows = Windows()
        self._missed: dict[str, int] = {}
        self._missed_said_at = -WARN_EVERY
        self.node = Node(
            self.place, self, may_host=self._may_host, project=self.project, clock=self._now
        )
        self._inbox: Inbox[Arrival | Notice] = Inbox(
            self._deliver,
            self._main_loop,
            self.node.resume,
            per_turn=max(1, min(16, self.capacity // 8)),
        )

    def _now(self) -> float:
        return self.clock()

    def _may_host(self) -> bool:
        if self._host == "auto":
            return self.long_lived or self._reads
        return self._host

    def _main_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop to deliver on: where it is busy, senders and readers take turns."""
        loop = self.hub.main_loop()
        if loop is None and self._receiving is not None and self._receiving.is_running():
            return self._receiving
        return loop

    @property
    def hub(self) -> Hub:
        return self._mailroom.hub

    @property
    def channels(self) -> dict[str, Any]:
        """The channels of this process that are read or have messages, as they are now."""
        return self.hub.channels()

    @property
    def groups(self) -> dict[str, dict[str, float]]:
        """Group -> {channel of this process: time of joining, by the monotonic clock}."""
        return self.hub.groups

    # -- channels ----------------------------------------------------------

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a channel name that belongs to this process and to nobody else."""
        return channel_of_node(self.node.id, prefix)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel; ChannelFull if its capacity is reached."""
        sending = self._start_sending(channel, message)
        if sending is None:
            return
        await self._wait_ready()
        answer = sending()
        if answer is None:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                outcome, room = await asyncio.wrap_future(answer)
        except TimeoutError:
            raise self._unanswered(channel) from None
        self._judge(channel, outcome)

    def _start_sending(
        self, channel: str, message: dict[str, Any]
    ) -> Callable[[], Future[tuple[Outcome | None, int]] | None] | None:
        """Deliver here, or answer a function that sends to another process.

        Which answers the future of what became of it, or None if nobody need wait.
        """
        require_message(message)
        self._require_channel(channel)
        payload = self._encode(message)
        expires_at = self.clock() + self.expiry
        if node_of_channel(channel) == self.node.id:
            self._mailroom.send(channel, decode(payload), expires_at)
            return None
        return partial(self._send_away, channel, payload, expires_at)

    def _send_away(
        self, channel: str, payload: bytes, expires_at: float
    ) -> Future[tuple[Outcome | None, int]] | None:
        hurry = self._windows.may_hurry(channel, time.monotonic())
        answer: Future[tuple[Outcome | None, int]] | None = None if hurry else Future()
        self._windows.sent(channel)
        capacity = self.get_capacity(channel)
        self.node.send(
            channel, payload, expires_at, capacity, partial(self._answered, channel, answer)
        )
        return answer

    def _answered(
        self,
        channel: str,
        answer: Future[tuple[Outcome | None, int]] | None,
        outcome: Outcome | None,
        room: int,
    ) -> None:
        """In the node's thread: it is known what became of a message."""
        self._windows.answered(channel, room, time.monotonic())
        if answer is not None:
            if answer.set_running_or_notify_cancel():
                answer.set_result((outcome, room))
        elif outcome is not Outcome.QUEUED:
            # Its sender has not waited, so it is said here.
            self._mailroom.lost(None, [Loss(channel, _REASONS[outcome])])

    def _judge(self, channel: str, outcome: Outcome | None) -> None:
        """Tell the sender of a message what became of it."""
        if outcome is Outcome.FULL:
            raise ChannelFull(channel)
        if outcome is None:
            raise self._unanswered(channel)
        if outcome is Outcome.GONE:
            # As for a consumer of this process that has just ended.
            self._mailroom.lost(None, [Loss(channel, Reason.CLOSED)])

    def _unanswered(self, channel: str) -> LayerUnavailable:
        return LayerUnavailable(
            f"The bus {self.place.socket_path} has not said what became of a message to channel "
            f"{channel!r}: it may have been delivered or lost."
        )

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of `channel`, waiting for it.

        Several may wait on one channel, in any process: each message goes to one of them.
        """
        item = self._start_receiving(channel)
        if item is None:
            self._receiving = asyncio.get_running_loop()
            return await self._mailroom.receive(channel)
        try:
            return decode((await asyncio.wrap_future(item)).payload)
        except asyncio.CancelledError:
            self.node.withdraw(channel, item)
            raise

    def _start_receiving(self, channel: str) -> Future[Item] | None:
        """Ask the host for an item; None for a channel of this process."""
        self._require_channel(channel)
        self._reads = True
        owner = node_of_channel(channel)
        if owner is None:
            return self.node.want(channel)
        if owner != self.node.id:
            raise ValueError(f"Channel {channel!r} belongs to another process, which reads it.")
        self.node.start()
        return None

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
        await self._change_membership("join", group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`; it need not be a member."""
        await self._change_membership("leave", group, channel)

    async def _change_membership(self, method: str, group: str, channel: str) -> None:
        away = self._start_change(method, group, channel)
        if away is not None:
            await self._wait_ready()
        waiting = self._subscribed(group) if away is None else away()
        if waiting is None:
            return
        try:
            async with asyncio.timeout(self.node.patience):
                await asyncio.wrap_future(waiting)
        except TimeoutError:
            self._change_unanswered(away is None, group)

    def _start_change(
        self, method: str, group: str, channel: str
    ) -> Callable[[], Future[Any]] | None:
        """Change a membership of this process, or answer a function that asks another one."""
        self._require_group(group)
        self._require_channel(channel)
        owner = node_of_channel(channel)
        if owner == self.node.id:
            self._change_here(method, group, channel)
            return None
        return partial(self._change_away, method, group, channel, owner)

    def _change_here(self, method: str, group: str, channel: str) -> None:
        if method == "join":
            self.hub.join(group, channel, self.clock())
        else:
            self.hub.leave(group, channel)

    def _change_away(self, method: str, group: str, channel: str, owner: str | None) -> Future[Any]:
        details = {
            "group": group,
            "channel": channel,
            "capacity": self.get_capacity(channel),
            "expiry": self.group_expiry,
        }
        if owner is None:
            kept = {"method": method, **details} if method == "join" else None
            self.node.keep_named(group, channel, kept)
        return self.node.call(owner or "", method, **details).future

    def _subscribed(self, group: str) -> Future[None] | None:
        """The future of a subscription that the host has not taken yet."""
        return self.node.subscribed(group)

    def _change_unanswered(self, here: bool, group: str) -> None:
        if not here:
            raise LayerUnavailable(
                f"The bus {self.place.socket_path} has not said whether the membership in "
                f"{group!r} was changed."
            )
        # It stands in this process, and the next host is told. Its consumer hears of that.
        logger.warning("The bus is away: group %r reaches this process when it is back", group)

    def _group_changed(self, group: str, present: bool) -> None:
        if present:
            self.node.subscribe(group)
        else:
            self.node.unsubscribe(group)

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
        return self._encode(message)

    # -- the whole ---------------------------------------------------------

    async def flush(self) -> None:
        """Forget every waiting message and every group, in every process."""
        await self._wait_ready()
        await self._ask_all("flush")
        self._forget_all()

    def _forget_all(self) -> None:
        self._inbox.clear()
        self.hub.flush()
        self.node.forget_named()

    async def report(self) -> dict[str, dict[str, Any]]:
        """Ask every process for what it holds: {node: report}, that of the host under ""."""
        await self._wait_ready()
        answers = await self._ask_all("report")
        answers = {node: answer["report"] for node, answer in answers.items()}
        return {**answers, self.node.id: self._report()}

    async def ping(self) -> float:
        """Return the seconds that a word to the host and back takes."""
        await self._wait_ready()
        began = time.monotonic()
        call = self.node.call("", "ping")
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.wrap_future(call.future)
        except TimeoutError:
            self.node.abandon(call)
            raise LayerUnavailable(
                f"The host of the bus {self.place.socket_path} has not answered for "
                f"{WAIT_SECONDS:g} s."
            ) from None
        return time.monotonic() - began

    async def _ask_all(self, method: str) -> dict[str, dict[str, Any]]:
        call = self.node.call("*", method)
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await asyncio.wrap_future(call.future)
        except TimeoutError:
            # A process that is stopped holds nobody up: what the others said will do.
            self.node.abandon(call)
        return dict(call.answers)

    def serve(self, ask: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        """Join now, as a process that serves until it is stopped, and may host for others.

        `ask` has a supervisor host, which outlives this process. Where it cannot, we do.
        """
        self.long_lived = True
        if ask is not None:
            try:
                ask({**self.place.details(), "project": self.project})
            except Exception as error:
                logger.error("The supervisor does not host the bus: %s", error)
        self.node.start()

    async def close(self) -> None:
        """Write what waits and leave the bus; what is used again joins again."""
        await asyncio.to_thread(self.leave)

    def leave(self) -> None:
        """Do what `close` does, blocking."""
        self.node.close()
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

    def _report(self) -> dict[str, Any]:
        members = {group: list(channels) for group, channels in list(self.groups.items())}
        return {
            "pid": os.getpid(),
            "hosting": self.node.hosting,
            "statistics": self.statistics(),
            "groups": members,
        }

    @cached_property
    def sync(self) -> SyncLayer:
        """The same layer for code that blocks, without an event loop in between."""
        return LocalSync(self)

    # -- inside ------------------------------------------------------------

    async def _wait_ready(self) -> None:
        """Return when the host takes more; LayerUnavailable if it does not in time."""
        ready = self.node.ready()
        if ready is None:
            return
        try:
            async with asyncio.timeout(self.node.patience):
                while ready is not None:
                    await asyncio.wrap_future(ready)
                    ready = self.node.ready()
        except TimeoutError:
            raise self.node.unavailable() from None

    def _encode(self, message: dict[str, Any]) -> bytes:
        payload = encode(message)
        if len(payload) > MAX_MESSAGE:
            raise MessageTooLarge(
                f"A message of {len(payload)} bytes; the local layer carries up to {MAX_MESSAGE}. "
                "Store it elsewhere, and send where it is."
            )
        return payload

    # Checking a name takes longer than delivering to it, so what the hub knows is
    # not checked again.

    def _require_channel(self, channel: str) -> None:
        if type(channel) is not str or not self.hub.knows(channel):
            self.require_valid_channel_name(channel)

    def _require_group(self, group: str) -> None:
        if type(group) is not str or group not in self.hub.groups:
            self.require_valid_group_name(group)

    # -- what the node tells, in its own thread ----------------------------

    def arrived(self, arrivals: list[Arrival]) -> bool:
        return self._inbox.put((arrival, len(arrival.payload)) for arrival in arrivals)

    def missed(self, group: str, count: int) -> None:
        self._missed[group] = self._missed.get(group, 0) + count
        now = self.clock()
        if now - self._missed_said_at >= WARN_EVERY:
            self._missed_said_at = now
            total, self._missed = self._missed, {}
            logger.warning(
                "%d message(s) were lost on the bus; the last to group %r. Its members are told "
                "by layer_reconnected(True).",
                sum(total.values()),
                group,
            )
        self._inbox.put([(Notice(group, True), 0)])

    def dropped(self, group: str, channel: str) -> None:
        self._mailroom.lost(group, [Loss(channel, Reason.FULL)])

    def reconnected(self, missed: frozenset[str], *, all_may_have: bool) -> None:
        self._inbox.put([(Notice(None, all_may_have), 0)])

    def called(self, call: dict[str, Any]) -> dict[str, Any]:
        method = call["method"]
        if method in ("join", "leave"):
            self._change_here(method, call["group"], call["channel"])
        elif method == "flush":
            self._forget_all()
        elif method == "report":
            return {"report": self._report()}
        return {}

    # -- deliveries, on the consumers' loop --------------------------------

    def _deliver(self, arrival: Arrival | Notice) -> None:
        try:
            if type(arrival) is Publication:
                message = decode(arrival.payload)
                self._mailroom.send_to_group(arrival.group, message, arrival.expires_at)
            elif type(arrival) is Sending:
                self._deliver_sending(arrival)
            elif type(arrival) is Notice:
                self._deliver_notice(arrival)
        except Exception:
            # One message must not stop those behind it.
            logger.exception("Delivering what came from the bus failed")

    def _deliver_sending(self, sending: Sending) -> None:
        outcome = Outcome.QUEUED
        try:
            self._mailroom.send(sending.channel, decode(sending.payload), sending.expires_at)
        except ChannelFull:
            outcome = Outcome.FULL
        self.node.answer(sending, outcome, self._room(sending.channel))

    def _room(self, channel: str) -> int:
        place = self.hub.attached.get(channel)
        if place is not None:
            return place[1] - place[0].layer_count
        queue = self.hub.queues.get(channel)
        return 0 if queue is None else queue.capacity - len(queue)

    def _deliver_notice(self, notice: Notice) -> None:
        groups = None if notice.group is None else [notice.group]
        here = running_loop()
        for mailbox in self.hub.mailboxes_of(groups):
            if not mailbox.wants_notices:
                continue
            if mailbox.loop is here:
                mailbox.put_notice(notice.may_have_missed)
            elif not mailbox.loop.is_closed():
                mailbox.loop.call_soon_threadsafe(mailbox.put_notice, notice.may_have_missed)

    # -- forks and exits ---------------------------------------------------

    def forked(self) -> None:
        """In a forked child: leave the parent's connection and members alone."""
        self.node.close_in_child()
        self.long_lived = self._reads = False
        self._begin()


class LocalSync(SyncLayer):
    """A local layer for code that blocks: what is sent goes straight to the bus."""

    layer: LocalChannelLayer

    def send(self, channel: str, message: dict[str, Any]) -> None:
        self.require_no_loop("send")
        sending = self.layer._start_sending(channel, message)
        if sending is None:
            return
        self._wait_ready()
        answer = sending()
        if answer is None:
            return
        try:
            outcome, _ = answer.result(WAIT_SECONDS)
        except TimeoutError:
            raise self.layer._unanswered(channel) from None
        self.layer._judge(channel, outcome)

    def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.require_no_loop("group_send")
        layer = self.layer
        payload = layer._prepare_group_send(group, message)
        self._wait_ready()
        layer.node.publish(group, payload, layer.clock() + layer.expiry)

    def _wait_ready(self) -> None:
        node = self.layer.node
        deadline = time.monotonic() + node.patience
        try:
            while (ready := node.ready()) is not None:
                ready.result(max(deadline - time.monotonic(), 0.0))
        except TimeoutError:
            raise node.unavailable() from None


_REASONS: Final = {
    Outcome.FULL: Reason.FULL,
    Outcome.GONE: Reason.CLOSED,
    None: Reason.UNREACHABLE,
}

_layers: weakref.WeakSet[LocalChannelLayer] = weakref.WeakSet()
_looking_after = threading.Lock()
_registered = False


def _look_after(layer: LocalChannelLayer) -> None:
    """Have forks and the process's end told to `layer`."""
    global _registered
    with _looking_after:
        _layers.add(layer)
        if not _registered:
            _registered = True
            os.register_at_fork(after_in_child=_forked)
            atexit.register(_exiting)


def _forked() -> None:
    for layer in list(_layers):
        layer.forked()


def _exiting() -> None:
    """A script that has just sent something ends when the kernel has it."""
    for layer in list(_layers):
        layer.node.flush(WAIT_SECONDS)


def _project() -> str:
    """The folder of the project's settings, by which people tell two projects apart."""
    name = os.environ.get("DJANGO_SETTINGS_MODULE", "").partition(".")[0]
    module = sys.modules.get(name)
    path = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    return os.path.dirname(os.path.abspath(path)) if path else ""
