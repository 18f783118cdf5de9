"""A port for a process that has to be told one before it starts.

What can be asked for its port afterwards binds port 0 itself instead.
"""

from __future__ import annotations

import socket


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
