"""The `channels` command: `channels serve`, and later its sisters.

What a user got wrong (a module that does not import, a port that is taken, a bad
value) is answered with one sentence on stderr and exit status 1, without a
traceback. Django is imported only if the application has to be looked up in its
settings.

With several workers `channels serve` is a supervisor, which imports nothing of the
project and starts itself again, with the same options, as each worker.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import logging
import os
import random
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from . import __version__

if TYPE_CHECKING:
    from .server import ServerConfig, Supervised

# Seconds without a heartbeat after which a worker is replaced. gunicorn's figure.
WORKER_TIMEOUT: Final = 30.0
# Of --max-requests, so that workers which started together do not retire together.
JITTER: Final = 0.1

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


class CommandError(Exception):
    """The text is the one sentence that the user gets."""


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong option is one sentence and exit status 1 like all else."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}. See {self.prog} --help\n")


def main(
    arguments: Sequence[str] | None = None, on_listening: Callable[[list[str]], None] | None = None
) -> int:
    """Run one command; answers the exit status. `on_listening(urls)`: a server is there."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = make_parser().parse_args(arguments)
    options.arguments = list(arguments)
    options.on_listening = on_listening
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
    add_workers(parser)
    parser.set_defaults(run=serve)


def add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-w",
        "--workers",
        type=worker_count,
        default=1,
        metavar="N",
        help="processes that serve; auto: as many as there are cores (default: %(default)s)",
    )
    parser.add_argument(
        "--worker-timeout",
        type=float,
        metavar="SECONDS",
        help=f"replace a worker that is stuck for so long, 0 for never "
        f"(default: {WORKER_TIMEOUT:g}; with --reload never)",
    )
    parser.add_argument(
        "--max-requests", type=int, metavar="N", help="replace a worker after N requests"
    )
    parser.add_argument(
        "--max-requests-jitter",
        type=int,
        metavar="N",
        help=f"up to so many requests more, by chance (default: {JITTER:.0%} of them)".replace(
            "%", "%%"
        ),
    )
    parser.add_argument(
        "--reload", action="store_true", help="start new workers when the code changes"
    )
    parser.add_argument(
        "--reload-dir",
        action="append",
        metavar="PATH",
        help="where to look for changes, repeatable (default: the current folder)",
    )


def worker_count(text: str) -> int:
    if text == "auto":
        return usable_cores()
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1, or auto, not {text!r}")
    return int(text)


def usable_cores() -> int:
    """The cores that this process may use, which may be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def serve(options: argparse.Namespace) -> int:
    from .server import ConfigurationError, Supervised

    check_workers(options)
    try:
        config = make_config(options)
        supervised = Supervised.take()
        if supervised is None and needs_supervisor(options):
            return supervise(options, config)
        return serve_here(options, config, supervised)
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


def serve_here(
    options: argparse.Namespace, config: ServerConfig, supervised: Supervised | None
) -> int:
    """Serve in this process, which may be a worker."""
    from .server import Server

    if supervised is not None:
        config = dataclasses.replace(config, sockets=supervised.sockets)
        supervised.retire_after = with_jitter(options)
    with open_access_log(options.access_log) as stream:
        application = load_application(options.application)
        set_up_logging(options.log_level)
        with layers_of_project(supervised):
            action = make_action(stream)
            return Server(application, config, action, supervised, options.on_listening).run()


@contextlib.contextmanager
def layers_of_project(supervised: Supervised | None) -> Iterator[None]:
    """Keep the layers of a Django project open; another application has none."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        yield
        return
    from .exceptions import ChannelsError
    from .layers import hosted_layers

    ask = None if supervised is None else lambda details: supervised.ask("bus", details)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hosted_layers(ask))
        except ChannelsError as error:
            raise CommandError(str(error)) from error
        yield


def make_config(options: argparse.Namespace) -> ServerConfig:
    from .server import ServerConfig

    if options.unix_socket is not None:
        if options.bind is not None or options.port is not None:
            raise CommandError("--unix-socket cannot be combined with --bind or --port.")
        return ServerConfig(unix_socket=options.unix_socket)
    host = "127.0.0.1" if options.bind is None else options.bind
    return ServerConfig(host=host, port=8000 if options.port is None else options.port)


# -- supervising -----------------------------------------------------------------


def check_workers(options: argparse.Namespace) -> None:
    """CommandError for options that cannot work, alone or together."""
    if os.name != "posix" and needs_supervisor(options):
        raise CommandError(
            "--workers, --max-requests and --reload need processes that inherit sockets, "
            "which this system does not have."
        )
    for name in ("worker_timeout", "max_requests", "max_requests_jitter"):
        value = getattr(options, name)
        if value is not None and not value >= 0:
            option = name.replace("_", "-")
            raise CommandError(f"--{option} is not negative, but it is {value!r}.")
    if options.max_requests_jitter is not None and not options.max_requests:
        raise CommandError("--max-requests-jitter goes with --max-requests.")
    if options.reload_dir and not options.reload:
        raise CommandError("--reload-dir goes with --reload.")
    for folder in options.reload_dir or ():
        if not os.path.isdir(folder):
            raise CommandError(f"--reload-dir names a folder, but {folder!r} is none.")


def needs_supervisor(options: argparse.Namespace) -> bool:
    return bool(options.workers > 1 or options.max_requests or options.reload)


def with_jitter(options: argparse.Namespace) -> int:
    """The number of requests after which this worker wants a successor; 0 for never."""
    most = int(options.max_requests or 0)
    jitter = options.max_requests_jitter
    if jitter is None:
        jitter = int(most * JITTER)
    return most and most + random.randint(0, jitter)


def supervise(options: argparse.Namespace, config: ServerConfig) -> int:
    """Start workers, which run this command again, and look after them."""
    from .server import Supervisor

    timeout = options.worker_timeout
    if timeout is None and not options.reload:
        timeout = WORKER_TIMEOUT
    changes = watch_code(options.reload_dir or ["."]) if options.reload else None
    set_up_logging(options.log_level)
    with contextlib.ExitStack() as stack:
        supervisor = Supervisor(
            config,
            worker_command(options.arguments),
            workers=options.workers,
            worker_timeout=timeout or None,
            on_request={"bus": Buses(stack)},
            changes=changes,
            on_listening=options.on_listening,
        )
        return supervisor.run()


def worker_command(arguments: Sequence[str]) -> list[str]:
    # multiprocessing starts its processes with the same flags. -P: a folder that is
    # called `channels`, where somebody stands, is not this package.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-P", "-m", "channels", *arguments]


class Buses:
    """Hosts the buses that workers ask for, from the first request until `stack` ends."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._host: Callable[[Mapping[str, Any]], None] | None = None

    def __call__(self, details: Mapping[str, Any]) -> None:
        if self._host is None:
            # Not before somebody asks: it imports Django.
            from .layers import hosted_buses

            self._host = self._stack.enter_context(hosted_buses())
        self._host(details)


def watch_code(folders: Sequence[str]) -> Callable[[threading.Event], Iterator[str]]:
    """What yields the Python files below `folders` that change, until an event is set."""
    try:
        import watchfiles
    except ImportError as error:
        raise CommandError(
            "--reload needs the package watchfiles; install channels[reload]."
        ) from error

    def changes(stop: threading.Event) -> Iterator[str]:
        watch = watchfiles.watch(*folders, watch_filter=watchfiles.PythonFilter(), stop_event=stop)
        for found in watch:
            paths = sorted(os.path.relpath(path) for _, path in found)
            yield paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"

    return changes


# -- logs ------------------------------------------------------------------------


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
