"""Several processes that serve: the options of `channels serve` for them, and their supervisor.

The supervisor imports nothing of the project, and starts this command again, with
the same options, as each worker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .logs import set_up_logging
from .parser import CommandError

if TYPE_CHECKING:
    from ..server import ServerConfig

# Seconds without a heartbeat after which a worker is replaced. gunicorn's figure.
WORKER_TIMEOUT: Final = 30.0
# Of --max-requests, so that workers which started together do not retire together.
JITTER: Final = 0.1


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
    from ..server import Supervisor

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
            from ..layers import hosted_buses

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
