"""`manage.py channels_layer`: what a channel layer is, whether it works, and what it holds.

A process of a moment: it joins the bus of a local layer, and never hosts it. It
makes no system checks, so that it helps also where a project is broken.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import ChannelFull, ChannelsError, LayerUnavailable
from channels.layers import channel_layers
from channels.management.layer_text import lines, sent_lines
from channels.management.layers import no_layer, visited_layer
from channels.management.survey import PING_SECONDS, configuration, contents, is_local, ping

TEST_TYPE: Final = "test.message"


class Command(BaseCommand):
    help = "Shows a channel layer: its configuration, processes, groups, and what was lost."
    requires_system_checks: list[str] = []
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--layer",
            default=DEFAULT_CHANNEL_LAYER,
            metavar="ALIAS",
            help="Alias of the channel layer (default: %(default)s).",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON, for programs.")
        self._add_sending(parser)

    def _add_sending(self, parser: CommandParser) -> None:
        target = parser.add_mutually_exclusive_group()
        target.add_argument("--send", metavar="CHANNEL", help="Send a test message to a channel.")
        target.add_argument("--group-send", metavar="GROUP", help="Send one to a group.")
        parser.add_argument(
            "--type", help=f"Type of the test message, which names the handler ({TEST_TYPE})."
        )
        parser.add_argument(
            "--data", metavar="JSON", help='The rest of it: an object, as in \'{"text": "Hi"}\'.'
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look or send, and say what came of it."""
        message = _message(options)
        if options["layer"] not in channel_layers:
            raise no_layer(options["layer"])
        try:
            asyncio.run(self._visit(message, options))
        except LayerUnavailable as error:
            raise CommandError(_unavailable(error)) from error
        except ChannelsError as error:
            raise CommandError(str(error)) from error

    async def _visit(self, message: dict[str, Any] | None, options: dict[str, Any]) -> None:
        async with visited_layer(options["layer"]) as layer:
            facts = configuration(options["layer"], layer)
            facts |= await _ping(layer)
            if message is not None:
                facts["sent"] = await _send(layer, message, options)
                shown = sent_lines(facts, self.style)
            else:
                facts |= await contents(layer)
                shown = lines(layer, facts, self.style, whole=options["verbosity"] > 1)
            if options["json"]:
                self.stdout.write(json.dumps(facts, indent=2))
            else:
                self.stdout.write("\n".join(shown))


def _message(options: dict[str, Any]) -> dict[str, Any] | None:
    """The test message; None where nothing is to be sent."""
    if options["send"] is None and options["group_send"] is None:
        for option in ("type", "data"):
            if options[option] is not None:
                raise CommandError(f"--{option} belongs to --send CHANNEL or --group-send GROUP.")
        return None
    message = {"type": TEST_TYPE, **_data(options["data"])}
    if options["type"] is not None:
        message["type"] = options["type"]
    return message


def _data(text: str | None) -> dict[str, Any]:
    try:
        data = {} if text is None else json.loads(text)
    except ValueError as error:
        raise CommandError(f"--data is no JSON: {error}. It is {text!r:.80}.") from error
    if not isinstance(data, dict):
        raise CommandError(f"--data is a JSON object, not {text!r:.80}.")
    return data


async def _ping(layer: Any) -> dict[str, Any]:
    try:
        return await ping(layer)
    except ChannelsError:
        raise
    except TimeoutError as error:
        raise CommandError(
            f"The layer carried no message to this process and back within {PING_SECONDS:g} s."
        ) from error
    except Exception as error:
        # Of another package, whose own errors are whatever its engine's client raises.
        raise CommandError(
            f"The layer does not work: {type(error).__name__}: {error}. --traceback shows where."
        ) from error


async def _send(layer: Any, message: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    if options["group_send"] is None:
        return await _send_to_channel(layer, options["send"], message)
    group = options["group_send"]
    await _checked(layer.group_send, group, message)
    sent: dict[str, Any] = {"to": "group", "name": group, "message": message}
    groups = (await contents(layer)).get("groups")
    if groups is not None:
        sent |= groups.get(group, {"members": 0, "processes": 0})
    return sent


async def _send_to_channel(layer: Any, channel: str, message: dict[str, Any]) -> dict[str, Any]:
    try:
        await _checked(layer.send, channel, message)
    except ChannelFull as error:
        raise CommandError(
            f"Channel {channel!r} is full: nobody reads its messages, or not fast enough."
        ) from error
    if is_local(layer) and layer.statistics()["dropped_closed"]:
        raise CommandError(
            f"Channel {channel!r} has nobody: its consumer, or the process of it, has ended."
        )
    return {"to": "channel", "name": channel, "message": message}


async def _checked(send: Callable[..., Any], name: str, message: dict[str, Any]) -> None:
    try:
        await send(name, message)
    except TypeError as error:
        # Its name, or what it holds.
        raise CommandError(str(error)) from error


def _unavailable(error: LayerUnavailable) -> str:
    text = str(error)
    if not text.startswith("No process hosts"):
        return text
    # The rest is advice for processes that could.
    return (
        f"{text.partition('. ')[0]}: start one that serves (channels serve, manage.py runserver "
        "or runworker)."
    )
