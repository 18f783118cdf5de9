"""The `channels` command: `channels serve`, `channels doctor`.

What a user got wrong (a module that does not import, a port that is taken, a bad
value) is answered with one sentence on stderr and exit status 1, without a
traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from . import __version__
from .command.doctor import add_doctor
from .command.parser import CommandError, Parser
from .command.serve import add_serve, make_config

__all__ = ["main", "make_config", "make_parser"]


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
    add_doctor(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
