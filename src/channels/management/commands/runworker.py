"""`manage.py runworker thumbnails ...`: consumers that work off named channels."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.routing import get_default_application
from channels.worker import Worker

logger = logging.getLogger("django.channels.worker")


class Command(BaseCommand):
    help = "Runs the consumers of named channels, until it is told to stop."
    leave_locale_alone = True
    worker_class = Worker

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--layer",
            default=DEFAULT_CHANNEL_LAYER,
            help="Alias of the channel layer to read from (default: %(default)s).",
        )
        parser.add_argument("channels", nargs="+", help="Channels to read.")

    def handle(self, *args: Any, **options: Any) -> None:
        layer = get_channel_layer(options["layer"] or DEFAULT_CHANNEL_LAYER)
        if layer is None:
            raise CommandError(_no_layer(options["layer"]))
        for channel in options["channels"]:
            _check_name(layer, channel)
        if isinstance(layer, InMemoryChannelLayer):
            self.stderr.write(
                self.style.WARNING(
                    "The in-memory channel layer stays within one process: this worker gets "
                    "nothing that other processes send. Configure another BACKEND."
                )
            )
        logger.info("Running worker for channels %s", options["channels"])
        worker = self.worker_class(
            application=get_default_application(),
            channels=options["channels"],
            channel_layer=layer,
        )
        worker.run()


def _no_layer(alias: str) -> str:
    configured = getattr(settings, "CHANNEL_LAYERS", None)
    if not configured:
        return "You do not have any CHANNEL_LAYERS configured."
    return f"There is no {alias!r} in CHANNEL_LAYERS, only {', '.join(map(repr, configured))}."


def _check_name(layer: Any, channel: str) -> None:
    """A wrong name is told at once; a layer would be asked for it again and again."""
    check = getattr(layer, "require_valid_channel_name", None)
    if check is None:
        return
    try:
        check(channel)
    except TypeError as error:
        raise CommandError(str(error)) from error
