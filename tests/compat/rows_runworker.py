"""Rows: the command that runs workers."""

# ruff: noqa: E402 - settings come before what reads them.
from __future__ import annotations

import logging
from typing import Any

from tests.compat.behaviours import Rows, outcome, set_up_django

set_up_django(ASGI_APPLICATION=f"{__name__}.project_application")

from django.core.management import call_command, get_commands, load_command_class
from django.test import override_settings

from channels.layers import channel_layers
from channels.management.commands import runworker
from channels.worker import Worker

row = Rows()


project_application = object()


class Noted:
    """A worker that only notes how it was made and run."""

    calls: list[Any] = []

    def __init__(self, **options: Any) -> None:
        self.options = options

    def run(self) -> None:
        same = self.options["application"] is project_application
        layer = self.options["channel_layer"]
        names = [alias for alias in ("default", "second") if channel_layers[alias] is layer]
        self.calls.append([sorted(self.options), same, self.options["channels"], names])


class Command(runworker.Command):
    worker_class: Any = Noted


TWO_LAYERS = {
    alias: {"BACKEND": "channels.layers.InMemoryChannelLayer"} for alias in ("default", "second")
}


def commanded(*arguments: str) -> Any:
    """How the command makes its worker."""
    Noted.calls = []
    logging.disable(logging.CRITICAL)
    with override_settings(CHANNEL_LAYERS=TWO_LAYERS):
        error = outcome(call_command, Command(stderr=Silent()), *arguments)
    logging.disable(logging.NOTSET)
    return error or Noted.calls[0]


class Silent:
    """Ours warns that the layer in memory stays in its process."""

    def write(self, text: str) -> None: ...

    def isatty(self) -> bool:
        return False

    def flush(self) -> None: ...


@row(upstream=["channels", True, True])
def the_command_and_its_attributes() -> Any:
    command = load_command_class(get_commands()["runworker"], "runworker")
    return [
        get_commands()["runworker"],
        command.leave_locale_alone,
        type(command).worker_class is Worker,
    ]


@row(upstream="django.channels.worker")
def the_logger_of_the_command() -> Any:
    return runworker.logger.name


@row(
    upstream=[
        ["application", "channel_layer", "channels"],
        True,
        ["work", "other"],
        ["default"],
    ]
)
def the_command_makes_the_worker_of_its_class() -> Any:
    return commanded("work", "other")


@row(upstream=["second"])
def the_layer_of_the_command() -> Any:
    return commanded("work", "--layer", "second")[3]


@row(upstream="CommandError")
def the_command_without_channels() -> Any:
    return commanded()["raises"]


@row(
    upstream={
        "raises": "CommandError",
        "says": "You do not have any CHANNEL_LAYERS configured.",
    },
    ours={
        "raises": "CommandError",
        "says": "You do not have any CHANNEL_LAYERS configured. For the processes of one "
        'machine, set CHANNEL_LAYERS = {"default": {"BACKEND": '
        '"channels.layers.local.LocalChannelLayer"}}',
    },
)
def the_command_without_a_layer() -> Any:
    with override_settings(CHANNEL_LAYERS={}):
        return outcome(call_command, Command(), "work")
