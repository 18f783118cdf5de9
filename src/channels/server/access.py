"""The access log: one line for each response and each step of a WebSocket.

The format is the common one of NCSA servers, with the time zone that some leave
out. `AccessLog` is an action callback: the server calls it with a protocol, an
action and their details.
"""

from __future__ import annotations

import time
from typing import IO, Any, Final

_WEBSOCKET: Final = {
    "connecting": "WSCONNECTING",
    "connected": "WSCONNECT",
    "rejected": "WSREJECT",
    "disconnected": "WSDISCONNECT",
}


class AccessLog:
    """Writes what happens to a stream; call it with each action."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        if protocol == "http":
            request = f"{details['method']} {details['path']}"
            self._line(details, request, details["status"], details["size"])
        elif action in _WEBSOCKET:
            self._line(details, f"{_WEBSOCKET[action]} {details['path']}", "-", "-")

    def _line(self, details: dict[str, Any], request: str, status: object, size: object) -> None:
        when = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        client = details["client"] or "-"
        # A decoded path may hold line breaks or quotes: escaped, one line stays one line.
        request = request.encode("unicode_escape").decode("ascii").replace('"', '\\"')
        self._stream.write(f'{client} - - [{when}] "{request}" {status} {size}\n')
        self._stream.flush()
