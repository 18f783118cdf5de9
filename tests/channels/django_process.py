"""A management command in a process of its own, as somebody types it at a terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.waiting import BETWEEN_TRIES, WITHIN, wait_until


class Running:
    """The process and its output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def eventually(self, condition: Callable[[], Any]) -> Any:
        """The first true answer; each attempt is an attempt to do the thing itself."""
        try:
            return wait_until(condition, between=BETWEEN_TRIES)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from error

    def says(self, text: str) -> None:
        try:
            wait_until(lambda: text in self.output)
        except AssertionError as error:
            raise AssertionError(f"{error}: {text!r}\n{self.output}") from error

    def end(self) -> int:
        status = self.process.wait(WITHIN)
        self._reader.join(WITHIN)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def write(folder: Path, files: dict[str, str]) -> Path:
    """Make a project of these files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@contextlib.contextmanager
def django(project: Path, *command: str) -> Iterator[Running]:
    """Run `django-admin COMMAND` with the project's settings."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONUNBUFFERED": "1"}
    # A group of its own, as a terminal gives it: Ctrl-C reaches a reloader and its child.
    process = subprocess.Popen(
        [sys.executable, "-m", "django", *command],
        cwd=project,
        env={**environment, "PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Running(process)
    try:
        yield running
    finally:
        # Also what a reloader left behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        running.end()
