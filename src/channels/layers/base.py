"""The base of every channel layer, and what our own layers offer beyond it.

`BaseChannelLayer` is what layers of other packages inherit: the rules of
names, and capacities by channel. `MailboxLayer` is the seam to consumers: a
layer that has it delivers straight into a consumer's mailbox; one that has not
is read with `receive()`.
"""

from __future__ import annotations

import fnmatch
import functools
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from ..mailbox import Mailbox, SharedMessage
from ..types import Message
from .names import CHANNEL_NAME, GROUP_NAME, MAX_NAME_LENGTH, name_problem

if TYPE_CHECKING:
    from .sync import SyncLayer

Capacities = list[tuple[Any, int]]


@runtime_checkable
class MailboxLayer(Protocol):
    """A layer that fills the mailboxes of its own process."""

    async def new_channel(self, prefix: str = "specific.") -> str: ...

    def attach(self, channel: str, mailbox: Mailbox) -> None: ...
    def detach(self, channel: str) -> None: ...


class Renderer(Protocol):
    """Turns a group message into what many sockets are sent; found on `Mailbox.renderer`.

    One object per consumer class, told apart by identity.
    """

    def handles(self, type: str, /) -> bool: ...
    def render(self, message: Message, /) -> SharedMessage | None: ...


class BaseChannelLayer:
    """Names and capacities, the same for every channel layer.

    `expiry`: seconds after which an unread message is dropped. `capacity`: messages
    waiting per channel. `channel_capacity`: capacities of channels by glob pattern
    (or compiled regular expression); the first match wins.
    """

    MAX_NAME_LENGTH: ClassVar[int] = MAX_NAME_LENGTH

    channel_name_regex: re.Pattern[str] = CHANNEL_NAME
    group_name_regex: re.Pattern[str] = GROUP_NAME
    invalid_name_error = (
        "{} name must be a valid unicode string with length < 100 containing only ASCII "
        "alphanumerics, hyphens, underscores, or periods."
    )

    def __init__(
        self,
        expiry: float = 60,
        capacity: int = 100,
        channel_capacity: Mapping[Any, int] | None = None,
    ) -> None:
        self.expiry = expiry
        self.capacity = capacity
        self.channel_capacity: Capacities = self.compile_capacities(channel_capacity or {})

    # -- capacities --------------------------------------------------------

    def compile_capacities(self, channel_capacity: Mapping[Any, int] | Capacities) -> Capacities:
        """Return (pattern, capacity) pairs; what is compiled already stays as it is."""
        pairs: Iterable[tuple[Any, int]]
        pairs = (
            channel_capacity.items() if isinstance(channel_capacity, Mapping) else channel_capacity
        )
        return [(_compiled(pattern), capacity) for pattern, capacity in pairs]

    def get_capacity(self, channel: str) -> int:
        """Return how many messages may wait on `channel`."""
        for pattern, capacity in self.channel_capacity:
            if pattern.match(channel):
                return capacity
        return self.capacity

    # -- names -------------------------------------------------------------

    def match_type_and_length(self, name: object) -> bool:
        """Tell whether `name` is a string of less than MAX_NAME_LENGTH characters."""
        return isinstance(name, str) and len(name) < self.MAX_NAME_LENGTH

    def require_valid_channel_name(self, name: Any, receive: bool = False) -> bool:
        """Return True, or raise a TypeError that says which rule `name` breaks."""
        if not self.match_type_and_length(name) or not self.channel_name_regex.match(name):
            raise self._invalid("Channel", name)
        if receive and "!" in name and not name.endswith("!"):
            raise TypeError("Specific channel names in receive() must end at the !")
        return True

    def require_valid_group_name(self, name: Any) -> bool:
        """Return True, or raise a TypeError that says which rule `name` breaks."""
        if not self.match_type_and_length(name) or not self.group_name_regex.match(name):
            raise self._invalid("Group", name)
        return True

    def valid_channel_names(self, names: list[str], receive: bool = False) -> bool:
        """Return True if `names` is a list of at least one valid channel name, else raise."""
        if not isinstance(names, list) or not names:
            raise TypeError(f"names must be a non-empty list, not {names!r:.60}")
        return all([self.require_valid_channel_name(name, receive=receive) for name in names])

    def valid_channel_name(self, channel_name: Any, receive: bool = False) -> bool:
        """Use `require_valid_channel_name`: this is its deprecated name.

        It never looked at `receive`, and the layers that call it rely on that.
        """
        _warn_deprecated("valid_channel_name", "require_valid_channel_name")
        return self.require_valid_channel_name(channel_name)

    def valid_group_name(self, group_name: Any) -> bool:
        """Use `require_valid_group_name`: this is its deprecated name."""
        _warn_deprecated("valid_group_name", "require_valid_group_name")
        return self.require_valid_group_name(group_name)

    def non_local_name(self, name: str) -> str:
        """Return the part of a channel name that is shared: up to and with the first "!"."""
        head, mark, _ = name.partition("!")
        return head + mark

    def _invalid(self, kind: str, name: object) -> TypeError:
        problem = name_problem(name, self.MAX_NAME_LENGTH, specific=kind == "Channel")
        return TypeError(f"{self.invalid_name_error.format(kind)} {problem}")

    # -- what a layer does -------------------------------------------------

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` to one channel."""
        raise self._missing("send")

    async def receive(self, channel: str) -> dict[str, Any]:
        """Return the next message of `channel`, waiting for it."""
        raise self._missing("receive")

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Return a channel name that belongs to this process and to nobody else."""
        raise self._missing("new_channel")

    async def flush(self) -> None:
        """Forget every message and group."""
        raise self._missing("flush")

    async def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member of `group`."""
        raise self._missing("group_add")

    async def group_discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`."""
        raise self._missing("group_discard")

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send `message` to every member of `group`."""
        raise self._missing("group_send")

    @cached_property
    def sync(self) -> SyncLayer:
        """The same layer for code that blocks: `layer.sync.group_send(...)` in a view."""
        # The core of a layer is no user of asgiref.
        from .sync import SyncLayer

        return SyncLayer(self)

    def _missing(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} does not have {method}()")


def method_of(layer: Any, name: str) -> Any:
    """Return a method of a layer, None where its class has none.

    The class is asked: a layer may answer for every name, and need a running event loop
    for it, as that of channels_redis over pub/sub does.
    """
    return getattr(layer, name) if hasattr(type(layer), name) else None


@functools.lru_cache(maxsize=1024)
def fills_mailboxes(kind: type) -> bool:
    """Whether consumers may attach a mailbox to layers of this class.

    Not where a subclass has a `receive` of its own: what it makes of messages counts.
    """
    return hasattr(kind, "attach") and _definer(kind, "attach") <= _definer(kind, "receive")


def _definer(kind: type, name: str) -> float:
    """How far up in the order of bases the method stands."""
    found = (place for place, base in enumerate(kind.__mro__) if name in vars(base))
    return next(found, math.inf)


def _compiled(pattern: Any) -> Any:
    if hasattr(pattern, "match"):
        return pattern
    return re.compile(fnmatch.translate(pattern))


def _warn_deprecated(old: str, new: str) -> None:
    warnings.warn(
        f"{old} is deprecated, use {new} instead.",
        DeprecationWarning,
        stacklevel=3,
    )
