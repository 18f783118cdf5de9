"""`channels serve`: an ASGI application, in this process or with workers.

Django is imported only if the application has to be looked up in its settings.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .application import load_application
from .logs import LOG_LEVELS, make_action, open_access_log, set_up_logging
from .parser import CommandError
from .workers import add_workers, check_workers, needs_supervisor, supervise, with_jitter

if TYPE_CHECKING:
    from ..server import ServerConfig, Supervised


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


def serve(options: argparse.Namespace) -> int:
    from ..server import ConfigurationError, Supervised

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
    from ..server import Server

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
    from ..exceptions import ChannelsError
    from ..layers import hosted_layers

    ask = None if supervised is None else lambda details: supervised.ask("bus", details)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hosted_layers(ask))
        except ChannelsError as error:
            raise CommandError(str(error)) from error
        yield


def make_config(options: argparse.Namespace) -> ServerConfig:
    from ..server import ServerConfig

    if options.unix_socket is not None:
        if options.bind is not None or options.port is not None:
            raise CommandError("--unix-socket cannot be combined with --bind or --port.")
        return ServerConfig(unix_socket=options.unix_socket)
    host = "127.0.0.1" if options.bind is None else options.bind
    return ServerConfig(host=host, port=8000 if options.port is None else options.port)
