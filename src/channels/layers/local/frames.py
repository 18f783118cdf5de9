"""The bus's frames: what nodes and their host say to each other.

A frame is its length (4 bytes, of all that follows), an op, and a body. Frames
that carry messages have a fixed layout, so that the host reads no more than it
needs and passes them on as the same bytes; the rest, which is rare, is a dict
in the codec of messages. Sans-IO: bytes in, frames out.

    PUBLISH   node epoch number expires group payload     node -> host -> subscribers
    SEND      node id expires capacity channel payload    node -> host [-> owner]
    SENT      node outcome room id...                     [owner ->] host -> node
    ITEM      expires channel payload                     host -> node that wanted one
    RETURN    expires channel payload                     node -> host: nobody took it
    WANT, UNWANT  channel                                 node -> host
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ..codec import MAX_MESSAGE, decode, encode

VERSION: Final = 1
NODE_LENGTH: Final = 12
# With its head; and lists of groups.
MAX_FRAME: Final = MAX_MESSAGE + (1 << 20)


class Op(enum.IntEnum):
    """What a frame says."""

    HELLO = 1  # {version, node, pid, project, keeps, words}; and so many more, of what it wants
    WELCOME = 2  # {host, pid, project}
    BYE = 3  # the host: {nodes: [...]}, write no more; the node: that was all
    PUBLISH = 4
    POSITIONS = 5  # {node, positions: {group: (epoch, number, time)}}
    SUBSCRIBE = 6  # {groups: [...]}
    SUBSCRIBED = 7  # {positions: {group: {node: (epoch, number, time)}}}
    UNSUBSCRIBE = 8  # {groups: [...]}
    SEND = 9
    SENT = 10
    WANT = 11
    UNWANT = 12
    ITEM = 13
    RETURN = 14
    CALL = 15  # {id, node, to, method, ...}; `to` is a node, "" for the host, "*" for all
    REPLY = 16  # {id, node (who called), of (who replies), result}
    REFUSED = 17  # {reason}; the host's last frame to whom it does not let in
    DROPPED = 18  # {group, channel}; the host: a named member of your group was full


class Outcome(enum.IntEnum):
    """What became of a message that was sent to one channel."""

    QUEUED = 0
    FULL = 1
    GONE = 2  # its process, or its consumer, has ended


class BadFrame(ValueError):
    """Bytes that are no frame; nothing after them can be read."""


_HEAD: Final = struct.Struct("!IB")
_PUBLISH: Final = struct.Struct("!12sQQdB")
_SEND: Final = struct.Struct("!12sIdIB")
_SENT: Final = struct.Struct("!12sBI")
_ITEM: Final = struct.Struct("!dB")
HEAD: Final = _HEAD.size

# Bound once: these are called for each message.
_write_head, _read_head = _HEAD.pack, _HEAD.unpack_from
_write_publish, _read_publish = _PUBLISH.pack, _PUBLISH.unpack_from
_write_send, _read_send = _SEND.pack, _SEND.unpack_from
_write_sent, _read_sent = _SENT.pack, _SENT.unpack_from


class Publication(NamedTuple):
    """One message to a group, still encoded."""

    node: str
    epoch: int
    number: int
    expires_at: float
    group: str
    payload: bytes


class Sending(NamedTuple):
    """One message to a channel, still encoded; `id` is the sender's."""

    node: str
    id: int
    expires_at: float
    capacity: int
    channel: str
    payload: bytes


class Sent(NamedTuple):
    """The answer to some Sendings of a node to one channel; `room`: how many more it takes."""

    node: str
    ids: tuple[int, ...]
    outcome: int
    room: int


class Item(NamedTuple):
    """One message of a named channel, still encoded."""

    expires_at: float
    channel: str
    payload: bytes


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = b""
        self._parts: list[bytes] = []
        self._missing = 0

    def receive(self, data: bytes) -> list[bytes]:
        """Take bytes; answer the frames that are complete, each whole with its head."""
        if self._missing > len(data):
            # The rest of a long frame: joined once, not at each part.
            self._parts.append(data)
            self._missing -= len(data)
            return []
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts = []
        frames, start, end = [], 0, len(data)
        while end - start >= HEAD:
            length, _ = _read_head(data, start)
            if not 1 <= length <= self._max_frame:
                raise BadFrame(f"a frame of {length} bytes; the limit is {self._max_frame}")
            stop = start + 4 + length
            if stop > end:
                break
            frames.append(data[start:stop])
            start = stop
        if start < end:
            self._parts = [data[start:]]
            self._missing = stop - end if end - start >= HEAD else HEAD - (end - start)
        else:
            self._missing = 0
        return frames


# -- writing -------------------------------------------------------------------


def _frame(op: Op, *parts: bytes) -> bytes:
    return b"".join((_write_head(1 + sum(map(len, parts)), op), *parts))


def publication(
    node: bytes, epoch: int, number: int, expires_at: float, group: bytes, payload: bytes
) -> bytes:
    return _frame(
        Op.PUBLISH, _write_publish(node, epoch, number, expires_at, len(group)), group, payload
    )


def sending(
    node: bytes, id: int, expires_at: float, capacity: int, channel: bytes, payload: bytes
) -> bytes:
    return _frame(
        Op.SEND, _write_send(node, id, expires_at, capacity, len(channel)), channel, payload
    )


def sent(node: str, ids: Sequence[int], outcome: Outcome, room: int) -> bytes:
    head = _write_sent(node.encode(), outcome, max(room, 0))
    return _frame(Op.SENT, head, struct.pack(f"!{len(ids)}I", *ids))


def item(op: Op, expires_at: float, channel: str, payload: bytes) -> bytes:
    """An ITEM or a RETURN."""
    name = channel.encode()
    return _frame(op, _ITEM.pack(expires_at, len(name)), name, payload)


def want(op: Op, channel: str) -> bytes:
    """A WANT or an UNWANT."""
    return _frame(op, channel.encode())


def control(op: Op, **content: Any) -> bytes:
    """A frame whose body is a dict."""
    return _frame(op, encode(content))


# -- reading -------------------------------------------------------------------
# A frame of a wrong layout is a BadFrame; who sent it is not spoken with any more.


def op_of(frame: bytes) -> int:
    return frame[4]


def _name(frame: bytes, start: int, length: int) -> str:
    name = frame[start : start + length]
    if len(name) != length:
        raise BadFrame("a name is cut off")
    try:
        return name.decode("ascii")
    except UnicodeDecodeError:
        raise BadFrame(f"a name is not ASCII: {name!r:.60}") from None


def read_publication(frame: bytes) -> Publication:
    try:
        node, epoch, number, expires_at, length = _read_publish(frame, HEAD)
    except struct.error as error:
        raise BadFrame(str(error)) from None
    start = HEAD + _PUBLISH.size
    group = _name(frame, start, length)
    return Publication(
        node.decode("latin-1"), epoch, number, expires_at, group, frame[start + length :]
    )


def read_sending(frame: bytes) -> Sending:
    try:
        node, id, expires_at, capacity, length = _read_send(frame, HEAD)
    except struct.error as error:
        raise BadFrame(str(error)) from None
    start = HEAD + _SEND.size
    channel = _name(frame, start, length)
    return Sending(
        node.decode("latin-1"), id, expires_at, capacity, channel, frame[start + length :]
    )


def read_sent(frame: bytes) -> Sent:
    start = HEAD + _SENT.size
    try:
        node, outcome, room = _read_sent(frame, HEAD)
        ids = struct.unpack_from(f"!{(len(frame) - start) // 4}I", frame, start)
    except struct.error as error:
        raise BadFrame(str(error)) from None
    return Sent(node.decode("latin-1"), ids, outcome, room)


def read_item(frame: bytes) -> Item:
    try:
        expires_at, length = _ITEM.unpack_from(frame, HEAD)
    except struct.error as error:
        raise BadFrame(str(error)) from None
    start = HEAD + _ITEM.size
    return Item(expires_at, _name(frame, start, length), frame[start + length :])


def read_want(frame: bytes) -> str:
    return _name(frame, HEAD, len(frame) - HEAD)


def read_control(frame: bytes) -> dict[str, Any]:
    try:
        return decode(frame[HEAD:])
    except ValueError as error:
        raise BadFrame(f"a body that cannot be read: {error}") from None
