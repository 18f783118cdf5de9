"""The command `runworker`: what it makes of its arguments and settings, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from channels.layers import get_channel_layer
from channels.management.commands import runworker

pytestmark = pytest.mark.usefixtures("layer")

ROOT = Path(__file__).parents[2]


class RecordingWorker:
    made: dict[str, Any] = {}

    def __init__(self, **given: Any) -> None:
        RecordingWorker.made = given

    def run(self) -> None:
        RecordingWorker.made["ran"] = True


def application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody calls this")


@override_settings(ASGI_APPLICATION=f"{__name__}.application")
def test_the_command_runs_a_worker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runworker.Command, "worker_class", RecordingWorker)
    call_command("runworker", "a", "b")
    assert RecordingWorker.made == {
        "application": application,
        "channels": ["a", "b"],
        "channel_layer": get_channel_layer(),
        "ran": True,
    }
    assert "stays within one process" in capsys.readouterr().err


@override_settings(CHANNEL_LAYERS={})
def test_the_command_needs_a_layer() -> None:
    with pytest.raises(CommandError, match="You do not have any CHANNEL_LAYERS configured."):
        call_command("runworker", "a")


@override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
def test_the_command_knows_only_configured_layers() -> None:
    with pytest.raises(CommandError, match="no 'other' in CHANNEL_LAYERS, only 'default'"):
        call_command("runworker", "a", layer="other")


def test_the_command_tells_a_wrong_name_at_once() -> None:
    with pytest.raises(CommandError, match="has ' ' at position 3: 'bad name'"):
        call_command("runworker", "good", "bad name")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_without_a_traceback(number: int) -> None:
    program = (
        "import os, asyncio\n"
        "from channels.layers import InMemoryChannelLayer\n"
        "from channels.worker import Worker\n"
        "class Telling(InMemoryChannelLayer):\n"
        "    async def receive(self, channel):\n"
        "        print('reading', flush=True)\n"
        "        return await super().receive(channel)\n"
        "Worker(lambda *a: None, ['a'], Telling()).run()\n"
        "print('stopped')\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=env,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
