"""The `channels` command: `channels serve`, and later its sisters.

What a user got wrong (a module that does not import, a port that is taken, a bad
value) is answered with one sentence on stderr and exit status 1, without a
traceback. Django is imported only if the application has to be looked up in its
settings.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import IO, Any, NoReturn

from . import __version__

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


class CommandError(Exception):
    """The text is the one sentence that the user gets."""


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong option is one sentence and exit status 1 like all else."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}. See {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status."""
    options = make_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except CommandError as error:
        print(f"channels: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Ctrl-C before the server took over the signals: what a shell expects of it.
        return 130


def make_parser() -> Parser:
    parser = Parser(prog="channels", description="Real time for Django, and an ASGI server.")
    parser.add_argument("--version", action="version", version=f"channels {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_serve(commands)
    return parser


# -- serve ---------------------------------------------------------------------


def add_serve(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve an ASGI application",
        description="Serve an ASGI application over HTTP/1.1 and WebSocket.",
    )
    parser.add_argument(
        "application",
        nargs="?",
        metavar="module.path:application",
        help="default: ASGI_APPLICATION of the settings that DJANGO_SETTINGS_MODULE names",
    )
    parser.add_argument("-b", "--bind", metavar="HOST", help="address (default: 127.0.0.1)")
    parser.add_argument("-p", "--port", type=int, help="TCP port, 0 for any (default: 8000)")
    parser.add_argument("-u", "--unix-socket", metavar="PATH", help="a Unix socket instead")
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="info", help="(default: %(default)s)"
    )
    parser.add_argument("--access-log", metavar="PATH", help="append to a file; - is stdout")
    parser.set_defaults(run=serve)


def serve(options: argparse.Namespace) -> int:
    from .server import ConfigurationError, Server

    try:
        config = make_config(options)
    except ConfigurationError as error:
        raise CommandError(str(error)) from error
    with open_access_log(options.access_log) as stream:
        application = load_application(options.application)
        set_up_logging(options.log_level)
        return Server(application, config, make_action(stream)).run()


def make_config(options: argparse.Namespace) -> Any:
    from .server import ServerConfig

    if options.unix_socket is not None:
        if options.bind is not None or options.port is not None:
            raise CommandError("--unix-socket cannot be combined with --bind or --port.")
        return ServerConfig(unix_socket=options.unix_socket)
    host = "127.0.0.1" if options.bind is None else options.bind
    return ServerConfig(host=host, port=8000 if options.port is None else options.port)


@contextlib.contextmanager
def open_access_log(path: str | None) -> Iterator[IO[str] | None]:
    if path is None or path == "-":
        yield None if path is None else sys.stdout
        return
    try:
        stream = open(path, "a", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"Cannot write the access log {path!r}: {error.strerror}.") from error
    with stream:
        yield stream


def make_action(stream: IO[str] | None) -> Any:
    from .server.access import AccessLog

    return None if stream is None else AccessLog(stream)


def set_up_logging(level: str) -> None:
    """Show our own records on stderr, unless the application has set up logging for them."""
    logger = logging.getLogger("channels")
    logger.setLevel(level.upper())
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


# -- finding the application -----------------------------------------------------


def load_application(path: str | None) -> Any:
    """Import `module.path:name`, or what Django's settings name if `path` is None."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if path is None:
        path = application_of_settings()
    module_name, _, name = path.partition(":")
    if not module_name or not name or module_name.startswith((".", "/")):
        raise CommandError(f"The application is given as module.path:name, but came {path!r}.")
    found = import_module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise CommandError(f"Module {module_name!r} has no {name!r}.")
        found = getattr(found, part)
    if not callable(found):
        raise CommandError(f"{path!r} is no ASGI application: {found!r:.80} cannot be called.")
    return found


def import_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CommandError(f"Cannot import {name!r}: {error}{_where(error)}.") from error
    except Exception as error:
        raise CommandError(
            f"Cannot import {name!r}: {type(error).__name__}: {error}{_where(error)}."
        ) from error


def _where(error: Exception) -> str:
    """The line of the user's that failed; nothing where the error tells, or there is none."""
    lines = [
        f" ({frame.filename}, line {frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__)
        and not frame.filename.startswith("<frozen ")
    ]
    return "" if isinstance(error, SyntaxError) or not lines else lines[-1]


def application_of_settings() -> str:
    settings_name = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not settings_name:
        raise CommandError(
            "Say which application to serve, as module.path:name, or set DJANGO_SETTINGS_MODULE."
        )
    settings = import_module(settings_name)
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        raise CommandError(f"The settings {settings_name!r} have no ASGI_APPLICATION.")
    module_name, _, name = str(path).rpartition(".")
    if not module_name:
        raise CommandError(
            f"ASGI_APPLICATION of {settings_name!r} is a dotted path, as in "
            f"'mysite.asgi.application', but it is {path!r}."
        )
    return f"{module_name}:{name}"


if __name__ == "__main__":
    sys.exit(main())
