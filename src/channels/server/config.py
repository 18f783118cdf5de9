"""Everything that can be set about a server: one frozen value, passed whole.

Sizes are bytes, times are seconds. A time of None means "never". Each default
says where it comes from.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, fields


class ConfigurationError(ValueError):
    """A setting of the server has a value that cannot work."""


class StartError(OSError):
    """The server could not start; the text is one sentence for its user."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one server process."""

    host: str = "127.0.0.1"
    port: int = 8000
    unix_socket: str | None = None
    # Listening sockets made elsewhere; when given, nothing else is bound.
    sockets: tuple[socket.socket, ...] = ()
    # Linux caps it at net.core.somaxconn (4096 today); uvicorn's default.
    backlog: int = 2048
    root_path: str = ""
    server_name: str = "channels"

    # A browser sends its head in one packet; slower than this is an attack or a dead link.
    header_timeout: float | None = 10.0
    # Longer than the 60 s after which common load balancers let go of an idle connection.
    keep_alive_timeout: float | None = 75.0
    # Between two parts of a request's body; nginx's client_body_timeout.
    body_timeout: float | None = 60.0
    # From the request's head to the whole response; off, since responses may stream for ever.
    http_timeout: float | None = None
    max_request_line: int = 16384
    max_headers_size: int = 65536
    max_header_count: int = 100
    # None: the application decides (Django has DATA_UPLOAD_MAX_MEMORY_SIZE).
    max_body_size: int | None = None

    # asyncio's own high-water mark. Above it send() waits.
    high_water: int = 65536
    low_water: int = 16384
    # How long a client may stay above the high-water mark before it is closed. Over HTTP
    # one that took `high_water` bytes meanwhile is given as long again.
    write_deadline: float | None = 30.0
    # Bytes of client input waiting for the application before reading pauses.
    input_limit: int = 1 << 20
    # How long that may last. A handler that is stuck must not hold its client for ever;
    # one that works through a queue is far quicker.
    input_deadline: float | None = 300.0

    websocket_max_message_size: int = 1 << 20
    websocket_max_frame_size: int = 1 << 20
    # How long an application may take to accept or deny a handshake.
    websocket_accept_timeout: float | None = 20.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 5.0

    # What an application gets after its client has gone, before it is cancelled.
    application_close_timeout: float | None = 10.0
    # What running requests and applications get after a stop was asked for.
    graceful_timeout: float = 30.0
    # At a stop, what a connection that was opened or answered just now gets to send its next
    # request: its client cannot know yet. Several round trips, and no wait for a person.
    last_request_timeout: float = 0.5
    # "auto": an application that raises for lifespan is served without it.
    lifespan: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port is a number from 0 to 65535, not {self.port!r}.")
        if self.unix_socket == "":
            raise ConfigurationError("unix_socket is a path, not ''.")
        if self.lifespan not in ("auto", "on", "off"):
            raise ConfigurationError(f"lifespan is 'auto', 'on' or 'off', not {self.lifespan!r}.")
        if not 0 <= self.low_water <= self.high_water:
            raise ConfigurationError(
                f"low_water ({self.low_water}) is between 0 and high_water ({self.high_water})."
            )
        if self.ping_interval == 0:
            raise ConfigurationError("ping_interval is more than 0 seconds, or None for never.")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and value < 0:
                raise ConfigurationError(f"{field.name} is not negative, but it is {value!r}.")
