"""Commands that serve, under Django's autoreloader.

Django's reloader has two processes. The parent starts a child, and again after
each change. The child serves in a thread, while its main thread looks for
changes and hears signals. Two things are ours: before the child ends, for a
change or for a signal, what it serves is asked to stop and gets its time; and
the parent waits for that, where Django's kills the child after 0.25 s.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import autoreload

from channels.routing import get_default_application

# What the child ends with when code has changed; Django's number.
CHANGED: Final = 3
# What a child may take to end besides what it serves.
END_SECONDS: Final = 2.0


class Serving(Protocol):
    """What runs in the child's thread; `request_stop` is called from another one."""

    def request_stop(self) -> None: ...


def run_with_reloader(
    serve: Callable[..., None],
    serving: Callable[[], Serving | None],
    seconds: float,
    **options: Any,
) -> None:
    """Call `serve(**options)` in a thread, and start anew when code changes.

    At the end what `serving` answers is stopped, and has `seconds` to do so; None is
    not waited for.
    """
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true":
        sys.exit(_run_children(seconds + END_SECONDS))
    threads: list[threading.Thread] = []

    def serve_here(**options: Any) -> None:
        threads.append(threading.current_thread())
        serve(**options)

    try:
        autoreload.run_with_reloader(serve_here, **options)
    finally:
        server = serving()
        if server is not None:
            server.request_stop()
            # Another Ctrl-C: somebody is in a hurry.
            with contextlib.suppress(KeyboardInterrupt):
                threads[0].join(seconds)


def _run_children(seconds: float) -> int:
    """Run this program again as a child, anew after each change; answer the last one's status."""
    arguments = autoreload.get_child_arguments()
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    status = CHANGED
    while status == CHANGED:
        with subprocess.Popen(arguments, env=environment, close_fds=False) as child:
            with _sigterm_reaches(child):
                status = _wait_end(child, seconds)
    return status


def _wait_end(child: subprocess.Popen[bytes], seconds: float) -> int:
    with contextlib.suppress(KeyboardInterrupt):
        return child.wait()
    # The terminal sends Ctrl-C to the child as well; a mere `kill -INT` does not.
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return _last(child.wait(seconds))
        child.terminate()
        return _last(child.wait(seconds))
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        child.kill()
        return _last(child.wait())


def _last(status: int) -> int:
    """It was to stop: that code changed in the same moment is no reason to begin anew."""
    return 0 if status == CHANGED else status


@contextlib.contextmanager
def _sigterm_reaches(child: subprocess.Popen[bytes]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda number, frame: child.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def import_application() -> None:
    """Let an import that fails inside ASGI_APPLICATION be seen as it is.

    As with a broken URLconf: the console shows the line, and the reloader, which
    looks for it in the traceback, watches the file until it is mended. The checks
    say what else can be wrong with the setting.
    """
    try:
        get_default_application()
    except ImproperlyConfigured as error:
        cause, path = error.__cause__, settings.ASGI_APPLICATION
        if isinstance(cause, ModuleNotFoundError) and path.startswith(f"{cause.name}."):
            return
        if cause is not None:
            raise cause from None
