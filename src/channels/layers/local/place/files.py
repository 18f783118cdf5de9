"""The files of a bus: made with their owner, group and mode, and known again."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from typing import Final

from .bus_place import BusPlace

_FILE: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def open_lock_file(folder: int, place: BusPlace) -> int:
    name = place.lock_path.name
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        make_lock_file(folder, place)
        descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a plain file")
    return descriptor


def make_lock_file(folder: int, place: BusPlace) -> None:
    """Make it under another name: it appears with its mode, and replaces nobody's."""
    name = place.lock_path.name
    draft = f".{secrets.token_hex(8)}"
    descriptor = os.open(draft, _FILE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    try:
        hand_over(descriptor, place, file_mode(place))
        with suppress(FileExistsError):
            os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(descriptor)
        os.unlink(draft, dir_fd=folder)


def file_mode(place: BusPlace) -> int:
    return 0o600 if place.group is None else 0o660


def hand_over(descriptor: int, place: BusPlace, mode: int) -> None:
    """Give what this process made its owner, group and mode, whatever the umask."""
    gives = os.geteuid() == 0 and place.owner != 0
    if gives or place.group is not None:
        group = -1 if place.group is None else place.group
        os.fchown(descriptor, place.owner if gives else -1, group)
    os.fchmod(descriptor, mode)  # After fchown, which may clear setgid.


def identity(folder: int, name: str) -> tuple[int, ...] | None:
    try:
        return identity_of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None


def identity_of(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino
