"""`manage.py runserver`: Django's development server, with WebSockets.

Options, autoreload and static files are Django's; what serves is our own server,
in this thread or, under the autoreloader, in the one that Django makes for it.
`--noasgi` leaves everything to Django's WSGI server.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.core.management.base import CommandParser
from django.core.management.commands.runserver import Command as RunserverCommand
from django.core.servers.basehttp import WSGIServer
from django.db import connections
from django.utils import autoreload

from channels import __version__
from channels.layers import hosted_layers
from channels.management.reloader import import_application, run_with_reloader
from channels.routing import get_default_application
from channels.server import ConfigurationError, Server, ServerConfig
from channels.types import ASGIApplication

logger = logging.getLogger("django.channels.server")

# What running requests and sockets get when the server stops or reloads: somebody waits for it.
STOP_SECONDS: Final = 2.0
# daphne's; a consumer that does not accept is noticed while its author still looks.
HANDSHAKE_SECONDS: Final = 5


class Command(RunserverCommand):
    help = "Starts a development server for Django's views and Channels' consumers."

    server_cls: Any = Server
    # Set by Django's handle().
    addr: str
    port: str
    _server: Server | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Run Django's WSGI server instead: no WebSockets.",
        )
        self._add_limits(parser)
        if apps.is_installed("django.contrib.staticfiles"):
            self._add_static_options(parser)

    def _add_limits(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--http_timeout",
            type=float,
            default=None,
            help="Seconds that an HTTP response may take; no limit by default.",
        )
        parser.add_argument(
            "--websocket_handshake_timeout",
            type=float,
            default=HANDSHAKE_SECONDS,
            help="Seconds that a consumer may take to accept a WebSocket (default %(default)s).",
        )
        for name in ("message", "frame"):
            parser.add_argument(
                f"--websocket-max-{name}-size",
                type=int,
                default=None,
                help=f"Most bytes in a WebSocket {name} (default 1 MiB; 0: no limit).",
            )

    def _add_static_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--nostatic",
            action="store_false",
            dest="use_static_handler",
            help="Do not serve static files at STATIC_URL.",
        )
        parser.add_argument(
            "--insecure",
            action="store_true",
            dest="insecure_serving",
            help="Serve static files even if DEBUG is False.",
        )

    # -- running -------------------------------------------------------------

    def handle(self, *args: Any, **options: Any) -> None:
        if options["use_asgi"] and not getattr(settings, "ASGI_APPLICATION", None):
            raise CommandError(
                "You have not set ASGI_APPLICATION, which is needed to run the server. Name your "
                'application in the settings, as in ASGI_APPLICATION = "mysite.asgi.application".'
            )
        super().handle(*args, **options)

    def run(self, **options: Any) -> None:
        """Serve until stopped, reloading when code changes unless told otherwise."""
        if options["use_asgi"]:
            # Said here, where it is one sentence; the reloader's threads show tracebacks.
            self._config(options)
        if options["use_reloader"]:
            run_with_reloader(self.inner_run, lambda: self._server, STOP_SECONDS, **options)
        else:
            self.inner_run(None, **options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Check the project and serve it; called again in each process the reloader starts."""
        if not options["use_asgi"]:
            self.server_cls = WSGIServer
            return super().inner_run(*args, **options)
        autoreload.raise_last_exception()
        self._check_project(options)
        with hosted_layers():
            server = self._server = self._make_server(options)
            status = server.run()
        if status:
            self._exit(status)
        if message := options.get("shutdown_message"):
            self.stdout.write(message)

    def _check_project(self, options: dict[str, Any]) -> None:
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            import_application()
            self.check(display_num_errors=True)
        self.check_migrations()
        for connection in connections.all(initialized_only=True):
            connection.close()

    def _make_server(self, options: dict[str, Any]) -> Server:
        _show_actions()
        server: Server = self.server_cls(
            self.get_application(options),
            self._config(options),
            on_action=ActionLines(self.style),
            on_listening=lambda urls: self.on_bind(_port_of(server)),
        )
        return server

    def _config(self, options: dict[str, Any]) -> ServerConfig:
        try:
            return ServerConfig(
                host="0.0.0.0" if self.addr == "0" else self.addr,
                port=int(self.port),
                root_path=getattr(settings, "FORCE_SCRIPT_NAME", None) or "",
                http_timeout=options["http_timeout"],
                websocket_accept_timeout=options["websocket_handshake_timeout"],
                websocket_max_message_size=_size("message", options),
                websocket_max_frame_size=_size("frame", options),
                graceful_timeout=STOP_SECONDS,
            )
        except ConfigurationError as error:
            raise CommandError(str(error)) from error

    def get_application(self, options: dict[str, Any]) -> ASGIApplication:
        """Return what is served: ASGI_APPLICATION, and static files where Django serves them."""
        application: Any
        try:
            application = get_default_application()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if self._serves_static(options):
            from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

            application = ASGIStaticFilesHandler(application)
        return application  # type: ignore[no-any-return]

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return the WSGI application that `--noasgi` serves."""
        handler: Any = super().get_handler(*args, **options)
        if self._serves_static(options):
            from django.contrib.staticfiles.handlers import StaticFilesHandler

            handler = StaticFilesHandler(handler)
        return handler

    def _serves_static(self, options: dict[str, Any]) -> bool:
        wanted = options.get("use_static_handler", False)
        return bool(wanted and (settings.DEBUG or options["insecure_serving"]))

    def _exit(self, status: int) -> None:
        if threading.current_thread() is threading.main_thread():
            sys.exit(status)
        # Not sys.exit(): outside of the main thread it would end nothing but the thread.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def on_bind(self, server_port: int) -> None:
        """Say where the server is, and how to end it."""
        if not self._server:
            return super().on_bind(server_port)
        address = "0.0.0.0" if self.addr == "0" else self.addr
        address = f"[{address}]" if ":" in address else address
        quit_command = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        self.stdout.write(
            f"{datetime.now():%B %d, %Y - %X}\n"
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Starting ASGI/Channels version {__version__} development server "
            f"at {self.protocol}://{address}:{server_port}/\n"
            f"Quit the server with {quit_command}."
        )
        self.stdout.flush()


def _port_of(server: Server) -> int:
    # Not the option's: it may have been 0.
    address = server.addresses[0]
    assert isinstance(address, tuple), "runserver listens on a port"
    return address[1]


def _size(name: str, options: dict[str, Any]) -> int:
    """A limit: the option, else daphne's setting, else the server's default."""
    given = options[f"websocket_max_{name}_size"]
    if given is None:
        given = getattr(settings, f"DAPHNE_WEBSOCKET_MAX_{name.upper()}_SIZE", None)
    default = 1 << 20
    return default if given is None else int(given)


def _show_actions() -> None:
    """Without DEBUG Django's logging shows none of its loggers on the console."""
    if not settings.DEBUG and not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


class ActionLines:
    """One line on `django.channels.server` for each response and each step of a WebSocket."""

    def __init__(self, style: Any) -> None:
        self._style = style

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        # A decoded path may hold line breaks: escaped, one line stays one line.
        path = details["path"]
        if not path.isprintable():
            details = {**details, "path": path.encode("unicode_escape").decode("ascii")}
        if protocol == "http":
            self._request(details)
        else:
            self._socket(action, details)

    def _request(self, details: dict[str, Any]) -> None:
        style, level = _style_of_status(details["status"])
        line = "HTTP %(method)s %(path)s %(status)s [%(time_taken).2f, %(client)s]"
        logger.log(level, getattr(self._style, style)(line), details)

    def _socket(self, action: str, details: dict[str, Any]) -> None:
        word, style = _SOCKET_ACTIONS[action]
        line = f"WebSocket {word} %(path)s [%(client)s]"
        logger.info(getattr(self._style, style)(line), details)


_SOCKET_ACTIONS: Final = {
    "connecting": ("HANDSHAKING", "HTTP_INFO"),
    "connected": ("CONNECT", "HTTP_SUCCESS"),
    "rejected": ("REJECT", "HTTP_NOT_FOUND"),
    "disconnected": ("DISCONNECT", "HTTP_NOT_MODIFIED"),
}


def _style_of_status(status: int) -> tuple[str, int]:
    if status >= 500:
        return "HTTP_SERVER_ERROR", logging.ERROR
    if status == 404:
        return "HTTP_NOT_FOUND", logging.WARNING
    if status >= 400:
        return "HTTP_BAD_REQUEST", logging.WARNING
    if status == 304:
        return "HTTP_NOT_MODIFIED", logging.INFO
    if status >= 300:
        return "HTTP_REDIRECT", logging.INFO
    return ("HTTP_SUCCESS" if status >= 200 else "HTTP_INFO"), logging.INFO
