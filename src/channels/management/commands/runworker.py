"""`manage.py runworker thumbnails ...`: consumers that work off named channels.

A long-lived process: it hosts the bus of a local layer where nobody else does.
With DEBUG it starts anew when code changes, as runserver does.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import autoreload

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import InMemoryChannelLayer, get_channel_layer, hosted_layers, method_of
from channels.management.layers import no_layer
from channels.management.reloader import import_application, run_with_reloader
from channels.routing import get_default_application
from channels.types import ASGIApplication
from channels.worker import STOP_SECONDS, Worker

logger = logging.getLogger("django.channels.worker")

# Running handlers have STOP_SECONDS; the worker says which did not end in them.
RELOAD_SECONDS: Final = STOP_SECONDS + 1.0


class Command(BaseCommand):
    help = "Runs the consumers of named channels, until it is told to stop."
    leave_locale_alone = True
    worker_class = Worker
    _worker: Worker | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--layer",
            default=DEFAULT_CHANNEL_LAYER,
            help="Alias of the channel layer to read from (default: %(default)s).",
        )
        parser.add_argument(
            "--concurrency",
            type=int,
            default=1,
            help="Messages of a channel that are handled at once (default: %(default)s). "
            "With more than one they may overtake each other.",
        )
        parser.add_argument(
            "--noreload",
            action="store_false",
            dest="use_reloader",
            help="Do not start anew when code changes; it is done only if DEBUG is True.",
        )
        parser.add_argument("channels", nargs="+", help="Channels to read.")

    def get_check_kwargs(self, options: Any) -> Any:
        """Make no checks before the reloader runs: what is wrong can be mended under it."""
        return {"tags": set()}

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until stopped, beginning anew when code changes unless told otherwise."""
        # Said here, where it is one sentence; the reloader's threads show tracebacks.
        self._check_options(options)
        if settings.DEBUG and options["use_reloader"]:
            run_with_reloader(self.inner_run, lambda: self._worker, RELOAD_SECONDS, **options)
        else:
            self.inner_run(**options)

    def _check_options(self, options: dict[str, Any]) -> None:
        if options["concurrency"] < 1:
            raise CommandError(f"--concurrency is 1 or more, not {options['concurrency']}.")
        layer = get_channel_layer(options["layer"] or DEFAULT_CHANNEL_LAYER)
        if layer is None:
            raise no_layer(options["layer"] or DEFAULT_CHANNEL_LAYER)
        for channel in options["channels"]:
            _check_name(layer, channel)

    def inner_run(self, **options: Any) -> None:
        """Check the project and work; called again in each process the reloader starts."""
        autoreload.raise_last_exception()
        if not options["skip_checks"]:
            import_application()
            self.check()
        with hosted_layers():
            self._worker = self._make_worker(options)
            logger.info("Running worker for channels %s", options["channels"])
            self._worker.run()

    def _make_worker(self, options: dict[str, Any]) -> Worker:
        layer = get_channel_layer(options["layer"] or DEFAULT_CHANNEL_LAYER)
        if isinstance(layer, InMemoryChannelLayer):
            self.stderr.write(
                self.style.WARNING(
                    "The in-memory channel layer stays within one process: this worker gets "
                    "nothing that other processes send. Configure another BACKEND."
                )
            )
        # Not said where it changes nothing: other packages have workers of their own.
        more: Any = {"concurrency": options["concurrency"]} if options["concurrency"] > 1 else {}
        return self.worker_class(
            application=_application(),
            channels=options["channels"],
            channel_layer=layer,
            **more,
        )


def _application() -> ASGIApplication:
    try:
        return get_default_application()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def _check_name(layer: Any, channel: str) -> None:
    """A wrong name is told at once; a layer would be asked for it again and again."""
    check = method_of(layer, "require_valid_channel_name")
    if check is None:
        return
    try:
        check(channel)
    except TypeError as error:
        raise CommandError(str(error)) from error
