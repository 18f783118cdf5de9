"""The ASGI server of Channels: HTTP/1.1 and WebSocket on one event loop.

It runs any ASGI application and imports no Django. Reading order: `server`
starts and stops, `listener` accepts, `connection` turns bytes into requests,
`asgi.http` and `asgi.websocket` speak with the application; what the bytes mean
is decided in `wire`.
"""

from __future__ import annotations

from .config import ConfigurationError, ServerConfig, StartError
from .server import Server

__all__ = ["ConfigurationError", "Server", "ServerConfig", "StartError"]
