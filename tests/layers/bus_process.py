"""Other processes on a bus, for tests: each runs a script that is given `layer`.

A script prints what the test waits for, and reads a line where it waits for the test.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

# No script takes so long, whatever happens to it.
WATCHDOG = 60.0

PRELUDE = """
import asyncio, json, os, signal, sys, threading, time
from channels.exceptions import LayerUnavailable
from channels.layers.local import LocalChannelLayer
from channels.mailbox import LAYER, NOTICE, Mailbox

def say(*words):
    print(*words, flush=True)

async def member(*groups):
    channel = await layer.new_channel()
    mailbox = Mailbox(asyncio.get_running_loop())
    mailbox.wants_notices = True
    layer.attach(channel, mailbox)
    for group in groups:
        await layer.group_add(group, channel)
    return channel, mailbox

async def entries(mailbox):
    while True:
        entry = mailbox.take_nowait(time.monotonic)
        if entry is None:
            await mailbox.arrival()
        else:
            yield entry[1] if entry[0] is LAYER else f"missed {entry[1]}"

async def hear():
    return (await asyncio.to_thread(sys.stdin.readline)).strip()

layer = LocalChannelLayer(**json.loads(sys.argv[1]))
"""


class BusProcess:
    """A process that runs `script`; a context manager, at whose end it is killed."""

    def __init__(self, script: str, config: dict[str, Any]) -> None:
        config = {name: str(v) if isinstance(v, Path) else v for name, v in config.items()}
        self._popen = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script, json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(WATCHDOG, self._popen.kill)
        self._watchdog.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def hear(self) -> str:
        """The next line it says; an empty one when it has ended."""
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def say(self, line: str = "") -> None:
        assert self._popen.stdin is not None
        print(line, file=self._popen.stdin, flush=True)

    def wait(self) -> int:
        return self._popen.wait(20)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait(20)

    def pause(self) -> None:
        self._popen.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._popen.send_signal(signal.SIGCONT)

    def __enter__(self) -> BusProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self._watchdog.cancel()
        self.kill()
        for pipe in (self._popen.stdin, self._popen.stdout):
            assert pipe is not None
            pipe.close()
