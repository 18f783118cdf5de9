"""The channels and groups of this process: who is where.

The pure core of every layer. It keeps no clock (`now` is passed in) and calls
no loop; what it answers, `delivery` carries out. Every change is made under
one lock, because layers are used from several threads and loops at once. No
message costs more than its members; whatever must be searched as a whole is
searched at most once an expiry.
"""

from __future__ import annotations

import math
import threading
from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..mailbox import Mailbox
from .groups import Groups
from .names import OWN_CHANNELS, OWN_GROUPS
from .queue import ChannelQueue, Waiter

AnyWaiter = TypeVar("AnyWaiter", bound=Waiter)


class Hub:
    """Mailboxes and queues by channel, channels by group.

    `attached`: channel -> (mailbox, capacity). `groups`: group -> {channel: time of
    joining}, never an empty one. `loops`: event loop -> how many mailboxes live on it.
    `expiry` and `group_expiry` are in seconds, None for memberships that never end.
    `on_group(group, present)` is called, under the lock, when a group gets its first
    member here and when it has lost its last.
    """

    def __init__(
        self,
        capacity_of: Callable[[str], int],
        expiry: float = 60,
        group_expiry: float | None = 86400,
        on_group: Callable[[str, bool], None] | None = None,
    ) -> None:
        self.attached: dict[str, tuple[Mailbox, int]] = {}
        self.loops: Counter[AbstractEventLoop] = Counter()
        self.queues: dict[str, ChannelQueue] = {}
        self._groups = Groups(group_expiry, self.attached, on_group)
        self.groups = self._groups.members
        self.expired = 0
        # Delivered to a mailbox whose consumer ended before it came to them.
        self.unread = 0
        self._capacity_of = capacity_of
        self._expiry = expiry
        self._sweep_at = -math.inf
        # Re-entrant: detach() may be called by a finalizer, at any allocation.
        self._lock = threading.RLock()

    # -- channels ----------------------------------------------------------

    def attach(self, channel: str, mailbox: Mailbox) -> None:
        """Send what is for `channel` into `mailbox`, beginning with what waits already.

        To be called on the mailbox's own loop.
        """
        with self._lock:
            capacity = self._capacity_of(channel)
            replaced = self.attached.get(channel)
            if replaced is not None:
                self._leave_loop(replaced[0])
            self.loops[mailbox.loop] += 1
            self.attached[channel] = (mailbox, capacity)
            queue = self.queues.pop(channel, None)
            if queue is not None:
                for message, expires_at in queue.messages:
                    mailbox.put_layer(message, expires_at, capacity)
                self._forget(queue)

    def detach(self, channel: str) -> None:
        """Forget `channel` and take it out of its groups; unknown ones are no error."""
        with self._lock:
            self._groups.leave_all(channel)
            place = self.attached.pop(channel, None)
            if place is not None:
                self.expired += place[0].expired
                self.unread += place[0].layer_count
                self._leave_loop(place[0])
            queue = self.queues.pop(channel, None)
            if queue is not None:
                self._forget(queue)

    def _leave_loop(self, mailbox: Mailbox) -> None:
        self.loops[mailbox.loop] -= 1
        if not self.loops[mailbox.loop]:
            del self.loops[mailbox.loop]

    def main_loop(self) -> AbstractEventLoop | None:
        """Return the running event loop that most mailboxes live on, None if there is none."""
        with self._lock:
            running = [loop for loop in self.loops if loop.is_running()]
            return max(running, key=self.loops.__getitem__, default=None)

    def knows(self, channel: str) -> bool:
        return channel in self.attached or channel in self.queues

    def channels(self) -> dict[str, Mailbox | ChannelQueue]:
        """Return what is read, or has messages, of the project at this moment."""
        with self._lock:
            queues = {name: queue for name, queue in self.queues.items() if not queue.idle}
            read = queues | {name: place[0] for name, place in self.attached.items()}
            return {name: of for name, of in read.items() if not name.startswith(OWN_CHANNELS)}

    # -- queues ------------------------------------------------------------

    def enqueue(
        self,
        channel: str,
        message: dict[str, Any],
        expires_at: float,
        now: float,
    ) -> bool | None:
        """Queue a message for whoever will read `channel`.

        False when it is full; None when a mailbox has been attached meanwhile.
        """
        with self._lock:
            if channel in self.attached:
                return None
            queued = self._queue(channel).put(message, expires_at, now)
            self._sweep_queues(now)
            return queued

    def take(
        self, channel: str, now: float, make_waiter: Callable[[], AnyWaiter]
    ) -> dict[str, Any] | AnyWaiter:
        """Return the next message of `channel`, or a new waiter that is woken to ask again."""
        with self._lock:
            if channel in self.attached:
                raise RuntimeError(
                    f"The messages of channel {channel!r} go to its consumer's mailbox; "
                    "receive() is for channels that no consumer reads."
                )
            queue = self._queue(channel)
            message = queue.take(now)
            if message is not None:
                return message
            waiter = make_waiter()
            queue.waiters.append(waiter)
            self._sweep_queues(now)
            return waiter

    def withdraw(self, channel: str, waiter: Waiter) -> None:
        """Forget a waiter that was cancelled."""
        with self._lock:
            queue = self.queues.get(channel)
            if queue is not None and waiter in queue.waiters:
                queue.waiters.remove(waiter)

    def _queue(self, channel: str) -> ChannelQueue:
        queue = self.queues.get(channel)
        if queue is None:
            queue = self.queues[channel] = ChannelQueue(self._capacity_of(channel))
        return queue

    def _forget(self, queue: ChannelQueue) -> None:
        self.expired += queue.expired
        queue.wake_all()

    def _sweep_queues(self, now: float) -> None:
        """Drop queues that are empty and unread; dropping each at once would make many anew."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + self._expiry
        for channel, queue in tuple(self.queues.items()):
            queue.expire(now)
            if queue.idle:
                del self.queues[channel]
                self._forget(queue)

    def wake_all(self) -> None:
        """Let everybody who waits for a message look again."""
        with self._lock:
            for queue in self.queues.values():
                queue.wake_all()

    # -- groups ------------------------------------------------------------

    def join(self, group: str, channel: str, now: float) -> None:
        """Make `channel` a member, or renew its membership."""
        with self._lock:
            self._groups.join(group, channel, now)

    def leave(self, group: str, channel: str) -> None:
        """End a membership; one that does not exist is no error."""
        with self._lock:
            self._groups.leave(group, channel)

    def members(self, group: str, now: float) -> list[str]:
        """Return the members of `group`: a list of its own, safe from changes."""
        with self._lock:
            return self._groups.current(group, now)

    def mailboxes_of(self, groups: Iterable[str] | None) -> list[Mailbox]:
        """Return the attached mailboxes that are members of any of `groups`, each once.

        None asks for all that are attached.
        """
        with self._lock:
            channels = list(self.attached)
            if groups is not None:
                channels = [name for group in groups for name in list(self.groups.get(group, ()))]
            places = map(self.attached.get, channels)
            return list({place[0]: None for place in places if place is not None})

    def projects_groups(self) -> dict[str, dict[str, float]]:
        """The groups without those of Channels itself; live while there are none of these."""
        if OWN_GROUPS.isdisjoint(self.groups):
            return self.groups
        with self._lock:
            return {name: of for name, of in self.groups.items() if name not in OWN_GROUPS}

    def is_member(self, group: str, channel: str) -> bool:
        members = self.groups.get(group)
        return members is not None and channel in members

    # -- the whole ---------------------------------------------------------

    def flush(self) -> None:
        """Forget every waiting message and every group; attached mailboxes stay attached."""
        with self._lock:
            self._groups.clear()
            queues = list(self.queues.values())
            self.queues.clear()
            for queue in queues:
                self._forget(queue)

    def statistics(self) -> dict[str, int]:
        """Count channels, groups, memberships, and messages: waiting, stale, never read."""
        with self._lock:
            mailboxes = [mailbox for mailbox, _ in self.attached.values()]
            queues = self.queues.values()
            return {
                "channels": len(self.channels()),
                "groups": len(self.groups),
                "memberships": sum(map(len, self.groups.values())),
                "waiting": sum(map(len, queues)) + sum(box.layer_count for box in mailboxes),
                "unread": self.unread,
                "expired": self.expired
                + sum(queue.expired for queue in queues)
                + sum(box.expired for box in mailboxes),
            }
