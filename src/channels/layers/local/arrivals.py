"""What comes from the bus, and where it goes in this process.

The node calls from its own thread; messages and notices then take their turn in
the inbox, in order, and are delivered on the consumers' event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ...exceptions import ChannelFull
from ..codec import decode
from ..copies import copier_of
from ..losses import WARN_EVERY, Loss, Reason
from ..mailroom import Mailroom
from ..waiter import running_loop
from .frames import Outcome, Publication, Sending
from .hearing import Arrival
from .inbox import Inbox
from .node import Node

logger = logging.getLogger("channels.layers")


class Notice(NamedTuple):
    """Consumers are to be told that the bus was away; `group` None: all of them."""

    group: str | None
    may_have_missed: bool


class Arrivals:
    """The events of a node, for the channels and groups of one process.

    `flush` forgets everything here; `statistics` tells the layer's counts.
    """

    node: Node

    def __init__(
        self,
        mailroom: Mailroom,
        main_loop: Callable[[], asyncio.AbstractEventLoop | None],
        per_turn: int,
        statistics: Callable[[], dict[str, int]],
    ) -> None:
        self._mailroom = mailroom
        self._hub = mailroom.hub
        self._main_loop = main_loop
        self._statistics = statistics
        self._inbox: Inbox[Arrival | Notice] = Inbox(
            self._deliver, main_loop, lambda: self.node.resume(), per_turn
        )
        # (sender, channel) -> ids of messages whose senders have not been told yet.
        self._delivered: dict[tuple[str, str], list[int]] = {}
        self._answering: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._missed: dict[str, int] = {}
        self._missed_said_at = -WARN_EVERY

    # -- told by the node, in its own thread -------------------------------

    def arrived(self, arrivals: list[Arrival]) -> bool:
        return self._inbox.put((arrival, len(arrival.payload)) for arrival in arrivals)

    def missed(self, group: str, count: int) -> None:
        with self._lock:
            self._missed[group] = self._missed.get(group, 0) + count
        now = self._mailroom.clock()
        if now - self._missed_said_at >= WARN_EVERY:
            self._missed_said_at = now
            self._say_missed()
            loop = self._main_loop()
            # It may be closed between the question and the call.
            with contextlib.suppress(RuntimeError):
                if loop is not None:
                    # The end of a burst must be said even if nothing is lost after it.
                    loop.call_soon_threadsafe(loop.call_later, WARN_EVERY, self._say_missed)
        self._inbox.put([(Notice(group, True), 0)])

    def _say_missed(self) -> None:
        with self._lock:
            missed, self._missed = self._missed, {}
        if missed:
            logger.warning(
                "%d message(s) were lost on the bus; the last to group %r. Its members are told "
                "by layer_reconnected(True).",
                sum(missed.values()),
                list(missed)[-1],
            )

    def dropped(self, group: str, channel: str) -> None:
        self._mailroom.lost(group, [Loss(channel, Reason.FULL)])

    def reconnected(self, *, all_may_have_missed: bool) -> None:
        self._inbox.put([(Notice(None, all_may_have_missed), 0)])

    def called(self, call: dict[str, Any]) -> dict[str, Any]:
        method = call["method"]
        if method in ("join", "leave"):
            self.change(method, call["group"], call["channel"])
            if method == "leave":
                self.node.keep_named(call["group"], call["channel"], None)
        elif method == "flush":
            self.flush()
        elif method == "report":
            return {"report": self.report()}
        return {}

    # -- what this process holds -------------------------------------------

    def change(self, method: str, group: str, channel: str) -> None:
        """Change a membership of this process: "join" or "leave"."""
        if method == "join":
            self._hub.join(group, channel, self._mailroom.clock())
        else:
            self._hub.leave(group, channel)

    def flush(self) -> None:
        """Forget every waiting message and every group of this process."""
        self._inbox.clear()
        self._hub.flush()
        self.node.forget_named()

    def report(self) -> dict[str, Any]:
        """Plain values for people."""
        members = {group: list(channels) for group, channels in list(self._hub.groups.items())}
        return {
            "pid": os.getpid(),
            "hosting": self.node.hosting,
            "statistics": self._statistics(),
            "groups": members,
        }

    # -- deliveries, on the consumers' loop --------------------------------

    def _deliver(self, arrival: Arrival | Notice) -> None:
        try:
            if type(arrival) is Publication:
                copy = copier_of(arrival.payload)
                self._mailroom.send_to_group(arrival.group, copy, arrival.expires_at)
            elif type(arrival) is Sending:
                self._deliver_sending(arrival)
            elif type(arrival) is Notice:
                self._deliver_notice(arrival)
        except Exception:
            # One message must not stop those behind it.
            logger.exception("Delivering what came from the bus failed")

    def _deliver_sending(self, sending: Sending) -> None:
        node, id, expires_at, _, channel, payload = sending
        try:
            self._mailroom.send(channel, decode(payload), expires_at)
        except ChannelFull:
            self.node.answer(node, [id], Outcome.FULL, 0)
            return
        # Together with others of this turn, and when consumers had theirs: the room that
        # is told is then what is left, and a steady sender need not wait for it.
        loop = running_loop()
        if loop is None:
            self.node.answer(node, [id], Outcome.QUEUED, self._room(channel))
            return
        if self._answering is None or self._answering.is_closed():
            self._answering = loop
            loop.call_soon(self._answer)
        self._delivered.setdefault((node, channel), []).append(id)

    def _answer(self) -> None:
        self._answering = None
        delivered, self._delivered = self._delivered, {}
        for (node, channel), ids in delivered.items():
            self.node.answer(node, ids, Outcome.QUEUED, self._room(channel))

    def _room(self, channel: str) -> int:
        """How many more messages the channel takes, at this moment."""
        place = self._hub.attached.get(channel)
        if place is not None:
            return place[1] - place[0].layer_count
        queue = self._hub.queues.get(channel)
        return 0 if queue is None else queue.capacity - len(queue)

    def _deliver_notice(self, notice: Notice) -> None:
        here = running_loop()
        groups = None if notice.group is None else [notice.group]
        for mailbox in self._hub.mailboxes_of(groups):
            if mailbox.loop is here:
                mailbox.put_notice(notice.may_have_missed)
            elif mailbox.wants_notices and not mailbox.loop.is_closed():
                mailbox.loop.call_soon_threadsafe(mailbox.put_notice, notice.may_have_missed)
