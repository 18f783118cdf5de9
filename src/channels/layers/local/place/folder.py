"""The folder of a bus: 0700, or 2770 where a group shares it, and followed by no link."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from typing import Final

from .bus_place import BusPlace, members_text
from .credentials import group_text, in_group, is_known, user_text
from .errors import BusError, explained
from .files import hand_over, make_lock_file

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def prepare_folder(place: BusPlace) -> None:
    """Make the folder of the bus, or check the one that is there."""
    folder = open_folder(place)
    if folder is None:
        _make_folder(place)
        folder = open_folder(place)
    if folder is None:
        raise BusError(f"The folder {place.directory} of the bus went away as it was made.")
    os.close(folder)


def open_folder(place: BusPlace) -> int | None:
    """Return a descriptor of the checked folder; None where there is none."""
    try:
        folder = os.open(place.directory, _FOLDER)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BusError(_closed_text(place, error)) from error
    if problem := _folder_problem(place, os.fstat(folder)):
        os.close(folder)
        raise BusError(problem)
    return folder


def _closed_text(place: BusPlace, error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return (
            f"{place.directory} is a symbolic link or no folder, and the bus follows no links:"
            " someone else may have put it there. Remove it, or set the layer's option"
            " `directory` to the folder itself."
        )
    return (
        f"The folder {place.directory} of the bus cannot be opened by {user_text(os.geteuid())}:"
        f" {error.strerror}. The bus is for {members_text(place)}: run this process as that"
        " user, or set the layer's option `directory` or `group`."
    )


def _folder_problem(place: BusPlace, info: os.stat_result) -> str | None:
    directory, mode = place.directory, stat.S_IMODE(info.st_mode)
    if not _may_own(place, info):
        return (
            f"The folder {directory} of the bus belongs to {user_text(info.st_uid)}, and should"
            f" belong to {user_text(place.owner)}: whoever made it could read and forge"
            " messages. Have it removed, or set the layer's option `directory` to another."
        )
    if place.group is not None and info.st_gid != place.group:
        return (
            f"The folder {directory} of the bus has the group {group_text(info.st_gid)}, and"
            f" should have {group_text(place.group)}. Run `chgrp {place.group} {directory}`, or"
            " set the layer's option `directory` to another."
        )
    expected = _folder_mode(place)
    # A private folder may have inherited setgid from its parent, which harms nobody.
    if mode & (0o777 if place.group is None else 0o2777) != expected:
        return (
            f"The folder {directory} of the bus has mode {mode:04o}, and should have"
            f" {expected:04o}, so that nobody else comes in. Run `chmod {expected:04o}"
            f" {directory}` (systemd: RuntimeDirectoryMode={expected:04o}), or set the layer's"
            " option `directory` to a folder of its own."
        )
    return None


def _may_own(place: BusPlace, info: os.stat_result) -> bool:
    if info.st_uid == place.owner:
        return True
    if place.group is None:
        return False
    if info.st_uid == 0 or in_group(info.st_uid, place.group):
        return True
    # Containers: the database does not know the user. Only a member can give a folder both
    # the group and setgid, so the folder answers for it.
    vouched = info.st_gid == place.group and bool(info.st_mode & stat.S_ISGID)
    return vouched and not is_known(info.st_uid)


def _folder_mode(place: BusPlace) -> int:
    # setgid: what any member makes there belongs to the group.
    return 0o700 if place.group is None else 0o2770


def _make_folder(place: BusPlace) -> None:
    """Make the folder elsewhere and move it, so that nobody ever sees it half made.

    The lock file is in it already: `rename` replaces an empty folder, and must not
    replace that of a process which was quicker.
    """
    with explained(
        f"make the folder {place.directory} of the bus as {user_text(os.geteuid())}",
        "Make it by hand, or set the layer's option `directory` to one whose parent exists and"
        " can be written to.",
    ):
        draft = tempfile.mkdtemp(prefix=".channels-", dir=place.directory.parent)
        try:
            _furnish(draft, place)
            os.rename(draft, place.directory)
        except OSError as error:
            shutil.rmtree(draft)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


def _furnish(draft: str, place: BusPlace) -> None:
    os.chmod(draft, 0o700)  # The umask may have taken something away.
    folder = os.open(draft, _FOLDER)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "someone else replaces what is made there")
        make_lock_file(folder, place)
        hand_over(folder, place, _folder_mode(place))
    finally:
        os.close(folder)
