"""The socket of a bus: listening at it, and connecting to it."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from typing import Final

from .bus_place import BusPlace, is_allowed, members_text
from .credentials import Peer, peer_of, user_text
from .errors import BusError, BusTimeout, explained
from .files import file_mode, identity_of
from .folder import open_folder
from .lock import Lock

# Processes that connect at the same moment, as when a site's workers all start.
BACKLOG: Final = 128


def bind_bus(place: BusPlace, lock: Lock) -> socket.socket:
    """Listen at the place; who holds the lock may replace what a dead host left."""
    if not lock.is_held:
        raise BusError(f"Only the process that holds {place.lock_path} may host the bus.")
    advice = "Remove what is there, or set the layer's option `directory` to another folder."
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with explained(f"listen at {place.socket_path}", advice):
            _remove_stale_socket(place, lock.folder)
            _bind(sock, place, lock.folder)
            lock.bound = _socket_identity(lock.folder, place.socket_path.name)
            sock.listen(BACKLOG)
            sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale_socket(place: BusPlace, folder: int) -> None:
    name = place.socket_path.name
    if _is_socket(folder, name, place):
        os.unlink(name, dir_fd=folder)


def _is_socket(folder: int, name: str, place: BusPlace) -> bool:
    """Tell whether a socket is there; what is neither a socket nor nothing is refused."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISSOCK(mode):
        return True
    what = "a symbolic link" if stat.S_ISLNK(mode) else "not a socket"
    raise BusError(
        f"{place.socket_path} is {what}, where the socket of the bus should be. Find out who put"
        " it there and remove it."
    )


def _bind(sock: socket.socket, place: BusPlace, folder: int) -> None:
    mode = file_mode(place)
    if sys.platform == "linux":
        # The file gets the descriptor's mode, less the umask: it is never too open. Elsewhere
        # the folder alone guards it until the next line. (umask() is no way: it would change
        # the files that other threads make at this moment.)
        os.fchmod(sock.fileno(), mode)
    sock.bind(str(place.socket_path))
    _set_socket_mode(folder, place, mode)


def _set_socket_mode(folder: int, place: BusPlace, mode: int) -> None:
    """Give the new socket its mode and group, through the folder that was checked."""
    name = place.socket_path.name
    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if place.group is not None and info.st_gid != place.group:
        os.chown(name, -1, place.group, dir_fd=folder, follow_symlinks=False)
    if stat.S_IMODE(info.st_mode) == mode:
        return
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, mode, dir_fd=folder, follow_symlinks=False)
        return
    # Linux changes no mode without following links, but does so through a descriptor of the
    # file itself: a member of the group could have put a link to a file of ours here.
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if stat.S_ISSOCK(os.fstat(opened).st_mode):
            os.chmod(f"/proc/self/fd/{opened}", mode)
    finally:
        os.close(opened)


def _socket_identity(folder: int, name: str) -> tuple[int, ...] | None:
    """Tell which socket file it is; inodes are used again, hence the time it was made."""
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return (*identity_of(info), info.st_mtime_ns)


def unbind_bus(place: BusPlace, sock: socket.socket, lock: Lock) -> None:
    """Stop listening, remove our socket if it still is ours, and release the lock."""
    sock.close()
    name = place.socket_path.name
    if lock.is_held and lock.bound is not None:
        if _socket_identity(lock.folder, name) == lock.bound:
            os.unlink(name, dir_fd=lock.folder)
        lock.bound = None
    lock.release()


def connect_bus(place: BusPlace, timeout: float) -> socket.socket | None:
    """Return a non-blocking connection to the host; None where nobody hosts.

    Raises BusError where folder, socket or host are not what they should be, and
    BusTimeout where the host does not take connections.
    """
    folder = open_folder(place)
    if folder is None:
        return None
    try:
        if not _is_socket(folder, place.socket_path.name, place):
            return None
    finally:
        os.close(folder)
    return _connected(place, timeout)


def _connected(place: BusPlace, timeout: float) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(sock, place, timeout)
        _check_host(place, peer_of(sock))
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _connect(sock: socket.socket, place: BusPlace, timeout: float) -> None:
    """Connect with the kernel's own deadline for a full backlog.

    A non-blocking connect to a Unix socket does not queue, it fails at once: Python's
    `settimeout` would have to try again and again.
    """
    _set_send_timeout(sock, max(timeout, 0.001))
    try:
        sock.connect(str(place.socket_path))
        sock.getpeername()  # Fails if a signal ended the wait: that looks like success.
    except (BlockingIOError, TimeoutError) as error:
        raise BusTimeout(_timeout_text(place, timeout)) from error
    except PermissionError as error:
        raise BusError(
            f"The bus {place.socket_path} is not open to {user_text(os.geteuid())}, but for"
            f" {members_text(place)}. Run this process as that user, or set the layer's option"
            " `group`."
        ) from error
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            raise BusTimeout(_timeout_text(place, timeout)) from error
        raise
    _set_send_timeout(sock, 0.0)


def _set_send_timeout(sock: socket.socket, seconds: float) -> None:
    whole = int(seconds)
    value = struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def _timeout_text(place: BusPlace, timeout: float) -> str:
    return (
        f"The host of the bus {place.socket_path} did not take a connection within {timeout:g} s:"
        f" the process whose number is in {place.lock_path} is stopped or stuck. Look at it, or"
        " end it: another process takes over."
    )


def _check_host(place: BusPlace, host: Peer) -> None:
    if not is_allowed(place, host):
        raise BusError(
            f"The bus {place.socket_path} is hosted by process {host.pid} of"
            f" {user_text(host.uid)}, and only {members_text(place)} may host it. Find out what"
            " that process is; nothing was sent to it."
        )
