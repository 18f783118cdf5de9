"""Users, groups and the process at the other end of a Unix socket.

The kernel notes a process's user and groups when it calls `connect` or `listen`,
and tells the other end: what it says can neither be forged nor forgotten. Groups
come from there first, and from the user database second: processes in containers
and services with added groups (systemd's SupplementaryGroups=) are often in no
database.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final

from ....exceptions import InvalidChannelLayerError
from .errors import BusError

# -1 means "leave it as it is" to chown, so it is nobody's id.
_NO_ID: Final = 2**32 - 1
# Linux's option for all groups of a peer (since 4.13), which `socket` has no name for.
_SO_PEERGROUPS: Final = 59
# The most bytes `getsockopt` takes: 256 groups.
_GROUPS_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end; `pid` is 0 where the system does not tell."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


def peer_of(sock: socket.socket) -> Peer:
    """Return who connected to, or listens behind, a connected Unix socket."""
    if sys.platform == "linux":
        pid, uid, gid = struct.unpack("iII", _option(sock, socket.SO_PEERCRED, 12))
        return Peer(pid, uid, gid, _groups_of(sock))
    if sys.platform == "darwin" or "bsd" in sys.platform:
        return _bsd_peer_of(sock)
    raise BusError(
        f"The platform {sys.platform} does not say which user is behind a Unix socket, so"
        " the local channel layer cannot keep other users out. Use another channel layer."
    )


def _option(sock: socket.socket, option: int, size: int) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, option, size)


def _groups_of(sock: socket.socket) -> frozenset[int]:
    try:
        data = _option(sock, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:  # An old kernel, or over 256 groups: the database answers then.
        return frozenset()
    return frozenset(struct.unpack(f"{len(data) // 4}I", data))


def _bsd_peer_of(sock: socket.socket) -> Peer:
    # Written from the headers of macOS and FreeBSD (sys/un.h, sys/ucred.h), not run there.
    # struct xucred: u_int version; uid_t uid; short ngroups; gid_t groups[16], effective first.
    sol_local, local_peercred, local_peerpid = 0, 1, 2
    data = sock.getsockopt(sol_local, local_peercred, 76)
    version, uid, count = struct.unpack_from("IIh", data)
    groups = struct.unpack_from(f"{count}I", data, 12) if 0 < count <= 16 else ()
    if version != 0 or not groups:
        raise BusError("The system did not say which user is behind a connection to the bus.")
    pid = sock.getsockopt(sol_local, local_peerpid) if sys.platform == "darwin" else 0
    return Peer(pid, uid, groups[0], frozenset(groups))


def user_id(user: str | int) -> int:
    """Return the uid of an account's name or of a number."""
    if isinstance(user, str):
        try:
            return pwd.getpwnam(user).pw_uid
        except (KeyError, ValueError):
            pass
    return _number(user, "user", "user")


def group_id(group: str | int) -> int:
    """Return the gid of a group's name or of a number."""
    if isinstance(group, str):
        try:
            return grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):
            pass
    return _number(group, "group", "group")


def _number(given: object, option: str, noun: str) -> int:
    """Take a number as it is: containers have ids without an entry in any database."""
    if isinstance(given, str) and given.isascii() and given.isdigit():
        given = int(given)
    if type(given) is int and 0 <= given < _NO_ID:
        return given
    raise InvalidChannelLayerError(
        f"Option `{option}` of the local channel layer names no {noun} of this machine:"
        f" {given!r:.60}. Give the name of a {noun} that exists, or its number."
    )


def in_group(uid: int, group: int) -> bool:
    """Tell whether the user database has this user in this group."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return False
    return group in os.getgrouplist(account.pw_name, account.pw_gid)


def is_known(uid: int) -> bool:
    """Tell whether the user database knows this user at all."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def user_text(uid: int) -> str:
    """Name a user for people: `www-data (uid 33)`, or `uid 12345`."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def group_text(gid: int) -> str:
    """Name a group for people: `site (gid 998)`, or `gid 2000`."""
    try:
        return f"{grp.getgrgid(gid).gr_name} (gid {gid})"
    except KeyError:
        return f"gid {gid}"
