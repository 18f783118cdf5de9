"""A project's processes, as somebody starts them: its server, and what runs beside it.

Each runs in one of two environments, ours or the one with upstream's package, from
a folder of the project that nothing is written to.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.channels.django_process import Running
from tests.compat.environments import python_of
from tests.waiting import wait_until

PROJECTS: Final = Path(__file__).parent
# daphne says "TCP address 127.0.0.1:1", ours "http://127.0.0.1:1".
LISTENING: Final = re.compile(r"Listening on (?:TCP address |http://)([\d.]+:\d+)")
# For a project's own tests, or its migrations.
COMMAND_SECONDS: Final = 60.0


class Way(NamedTuple):
    """An environment, and which server serves the project there."""

    environment: str
    server: str
    # Where what runs beside the server runs, if not there too.
    elsewhere: str | None = None

    def command(self, site: str) -> tuple[str, ...]:
        """The arguments of the interpreter; the kernel chooses the port."""
        if self.server == "serve":
            return ("-m", "channels", "serve", "-p", "0")
        if self.server == "daphne":
            return ("-m", "daphne", "-p", "0", f"{site}.asgi:application")
        assert self.server == "runserver", self.server
        return ("manage.py", "runserver", "--noreload", "127.0.0.1:0")


SERVE: Final = Way("ours", "serve")
OURS_UNDER_DAPHNE: Final = Way("ours", "daphne")
UPSTREAM: Final = Way("upstream", "daphne")
# While a project moves, some of its processes are upstream's and some are ours.
HALF_MOVED: Final = (Way("ours", "serve", "upstream"), Way("upstream", "daphne", "ours"))
BOTH_RUNSERVERS: Final = (Way("ours", "runserver"), Way("upstream", "runserver"))


class Project(NamedTuple):
    """A project's folder, and the package in it that has the settings."""

    folder: str
    site: str

    @property
    def path(self) -> Path:
        return PROJECTS / self.folder

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        # The settings of the test run are not those of a project.
        outside = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        own = {
            "DJANGO_SETTINGS_MODULE": f"{self.site}.settings",
            "PYTHONPATH": str(self.path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**outside, **own, **more}

    def manage(
        self, environment: str, *command: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `manage.py COMMAND` to its end."""
        return subprocess.run(
            [python_of(environment), "manage.py", *command],
            cwd=self.path,
            env=self.variables(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )

    @contextlib.contextmanager
    def running(self, environment: str, *command: str, **variables: str) -> Iterator[Running]:
        """Run a command of the interpreter until the block ends."""
        process = subprocess.Popen(
            [python_of(environment), *command],
            cwd=self.path,
            env=self.variables(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            try:
                running.end()
            finally:
                process.kill()

    def database(self, folder: Path) -> Path:
        """Make the database of the project, as upstream's environment makes it."""
        database = folder / f"{self.folder}.sqlite3"
        made = self.manage("upstream", "migrate", "--verbosity=0", DATABASE=str(database))
        assert made.returncode == 0, made.stdout
        return database


def url_of(server: Running) -> str:
    """Where a server listens, once it says so."""

    def said() -> re.Match[str] | None:
        assert server.process.poll() is None, server.output
        return LISTENING.search(server.output)

    try:
        found: re.Match[str] = wait_until(said, "the server says where it listens")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.output}") from error
    return f"http://{found[1]}"
