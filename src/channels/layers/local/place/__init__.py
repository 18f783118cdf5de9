"""Where the processes of one machine meet, who may be there, and who hosts.

A *place* is a folder with, for each bus, a socket that the host listens at and a file
whose lock makes a process the host:

    /tmp/channels-1000/default.sock, default.lock

Three things keep others out, and each would do alone: the folder's mode, the check
that folder and socket are what they should be (the folder for temporary files is
everybody's, so someone else may have been there first), and the credentials that the
kernel gives each end about the other. What was checked is used through its
descriptor, so that nothing can be put in its place between the look and the deed.

Nothing here waits, except `connect_bus`, and that not longer than it was told.
"""

from __future__ import annotations

from .bus_place import BusPlace, find_place, may_host, refuse_reason
from .credentials import Peer, peer_of
from .errors import BusError, BusTimeout
from .folder import prepare_folder
from .lock import Lock, try_lock
from .sockets import bind_bus, connect_bus, unbind_bus

__all__ = [
    "BusError",
    "BusPlace",
    "BusTimeout",
    "Lock",
    "Peer",
    "bind_bus",
    "connect_bus",
    "find_place",
    "may_host",
    "peer_of",
    "prepare_folder",
    "refuse_reason",
    "try_lock",
    "unbind_bus",
]
