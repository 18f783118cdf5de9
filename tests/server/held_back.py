"""Where bytes stop: at a client that does not read, or a server that reads no more.

"Nothing moves any more" is no matter of time: whoever holds back says so, and the
kernel says whether its buffers take more.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable
from typing import Any


def connection_of(served: Any) -> Any:
    """The only connection that the server has."""
    served.wait_until(lambda: served.statistics["connections"])
    (connection,) = served.server._host.connections
    return connection


def takes_more(end: Any) -> bool:
    return bool(select.select([], [end], [], 0)[1])


def nothing_came(end: socket.socket) -> bool:
    return not select.select([end], [], [], 0)[0]


def wait_until_unread(served: Any) -> None:
    """Return when the server holds back what its client does not read."""
    connection = connection_of(served)
    flow = getattr(connection, "flow", None) or connection._flow
    own_end = connection._transport.get_extra_info("socket")
    served.wait_until(lambda: served.call(lambda: flow.paused and not takes_more(own_end)))


def send_until_held(
    served: Any, client: socket.socket, pieces: Iterable[bytes]
) -> tuple[int, bytes]:
    """Send until neither the server nor the kernels take more.

    How many bytes went, and what is left of the last piece.
    """
    transport = connection_of(served)._transport
    client.setblocking(False)
    sent = 0
    for piece in pieces:
        while piece:
            try:
                count = client.send(piece)
            except BlockingIOError:
                served.wait_until(lambda: takes_more(client) or not transport.is_reading())
                if takes_more(client):
                    continue
                client.settimeout(5)
                return sent, piece
            sent, piece = sent + count, piece[count:]
    raise AssertionError(f"{sent} bytes were sent, and nothing held the client back")
