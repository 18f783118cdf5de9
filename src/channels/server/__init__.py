"""The ASGI server of Channels: HTTP/1.1 and WebSocket on one event loop.

It runs any ASGI application and imports no Django. Reading order: `server`
starts and stops, `listener` accepts, `connection` turns bytes into requests,
`asgi.http` and `asgi.websocket` speak with the application; what the bytes mean
is decided in `wire`. With several workers a `supervisor` starts them, and each is
such a server, `supervised`.
"""

from __future__ import annotations

from .config import ConfigurationError, ServerConfig, StartError
from .server import Server
from .supervised import Supervised
from .supervisor import Supervisor

__all__ = [
    "ConfigurationError",
    "Server",
    "ServerConfig",
    "StartError",
    "Supervised",
    "Supervisor",
]
