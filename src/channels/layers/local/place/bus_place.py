"""One bus: where it is, whose it is, and who may join and host it.

Values in, values out: but for the user database, nothing of the machine is looked at.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from ....exceptions import InvalidChannelLayerError
from .credentials import Peer, group_id, group_text, in_group, user_id, user_text

# sizeof(sun_path) less the final NUL: 108 on Linux, 104 on macOS and the BSDs.
SOCKET_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\Z")


@dataclass(frozen=True, slots=True)
class BusPlace:
    """Where one bus is; valid by construction. `group` None: the owner's processes only."""

    directory: Path
    name: str
    owner: int
    group: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "directory", _checked_directory(self.directory))
        _check_name(self.name)
        _check_length(self.socket_path)

    @property
    def socket_path(self) -> Path:
        return self.directory / f"{self.name}.sock"

    @property
    def lock_path(self) -> Path:
        return self.directory / f"{self.name}.lock"

    def details(self) -> dict[str, str | int | None]:
        """Return what `from_details` makes the same place of; fit for JSON."""
        return {
            "directory": str(self.directory),
            "name": self.name,
            "owner": self.owner,
            "group": self.group,
        }

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> BusPlace:
        """Return the place that another process described with `details`."""
        group = details["group"]
        return cls(
            details["directory"],
            details["name"],
            user_id(details["owner"]),
            None if group is None else group_id(group),
        )


def find_place(
    name: str = "default",
    directory: str | PathLike[str] | None = None,
    user: str | int | None = None,
    group: str | int | None = None,
) -> BusPlace:
    """Return the place that a layer's options mean; nothing is made or looked at."""
    owner = os.geteuid() if user is None else user_id(user)
    gid = None if group is None else group_id(group)
    if directory is None:
        directory = _default_directory(owner, gid)
    return BusPlace(_checked_directory(directory), name, owner, gid)


def _default_directory(owner: int, group: int | None) -> Path:
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise InvalidChannelLayerError(
            "No folder for temporary files can be written to, so the local channel layer has"
            " no place. Set its option `directory` to a folder that can."
        ) from error
    return Path(temporary, f"channels-{owner}" if group is None else f"channels-g{group}")


def _checked_directory(directory: object) -> Path:
    try:
        path = Path(os.fsdecode(directory))  # type: ignore[arg-type]  # a TypeError tells
    except TypeError:
        path = Path()
    if path.is_absolute() and "\0" not in str(path):
        return path
    raise InvalidChannelLayerError(
        "Option `directory` of the local channel layer takes the absolute path of a folder, so"
        f" that processes find it wherever they were started. This one is {directory!r:.100}."
    )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidChannelLayerError(
            "Option `name` of the local channel layer takes ASCII letters, digits and"
            f' "_", "-", "." (not as the first). This one is {name!r:.60}.'
        )


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES:
        raise InvalidChannelLayerError(
            f"The path of the local channel layer's socket has {length} bytes, and this platform"
            f" allows {SOCKET_PATH_BYTES}: {str(path)!r}. Set its option `directory` to a folder"
            " with a shorter path, or a shorter `name`."
        )


# -- Who may join, who may host


def refuse_reason(place: BusPlace, peer: Peer) -> str | None:
    """Say why this process may not join the bus; None where it may."""
    if is_allowed(place, peer):
        return None
    return (
        f"Process {peer.pid} of {user_text(peer.uid)} may not join the bus {place.socket_path},"
        f" which is for {members_text(place)}. Run it as that user, or give the layer the same"
        " `group` in every process and put both users in it."
    )


def is_allowed(place: BusPlace, peer: Peer) -> bool:
    if peer.uid in (place.owner, 0):
        return True
    if place.group is None:
        return False
    return peer.gid == place.group or place.group in peer.groups or in_group(peer.uid, place.group)


def members_text(place: BusPlace) -> str:
    if place.group is None:
        return user_text(place.owner)
    return f"{user_text(place.owner)} and members of the group {group_text(place.group)}"


def may_host(place: BusPlace) -> str | None:
    """Say why this process's user may not host the bus; None where it may."""
    uid = os.geteuid()
    if uid == place.owner:
        return None
    if uid == 0:
        # What root makes there the owner could not take over when root's process ends.
        return (
            f"This process runs as root, which does not host the bus {place.socket_path} of"
            f" {user_text(place.owner)}. Start a process of that user that hosts it."
        )
    myself = Peer(os.getpid(), uid, os.getegid(), frozenset(os.getgroups()))
    if is_allowed(place, myself):
        return None
    return (
        f"This process runs as {user_text(uid)}, and the bus {place.socket_path} is for"
        f" {members_text(place)}. Run it as that user, or set the layer's option `group`."
    )
