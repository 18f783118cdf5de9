"""`channels serve --reload`: new code on each save, and no end for wrong code."""

from __future__ import annotations

import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised_process import APP, workers_in

pytestmark = pytest.mark.slow

CHANGED = "Starting new workers: {} has changed"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    with workers_in(tmp_path) as start:
        yield start


def version(number: int) -> str:
    """Each of another length: of two saves in one second Python tells apart no others."""
    return APP.replace('VERSION = "1"', f'VERSION = "{number}"') + "#" * number + "\n"


def test_a_save_brings_new_code_and_wrong_code_leaves_the_old(serve: Any, tmp_path: Path) -> None:
    workers = serve("--reload")
    file = tmp_path / "site_app.py"
    workers.ready(1)
    assert workers.get().split()[1] == "1"
    file.write_text(version(2))
    workers.wait_for(CHANGED.format("site_app.py"))
    workers.ready(2)
    assert workers.get().split()[1] == "2"
    file.write_text(version(3) + "\ndef f(:\n")
    workers.wait_for("SyntaxError: invalid syntax")
    workers.wait_for(r"given up\. Worker 1 \(pid \d+\) goes on\.")
    assert workers.get().split()[1] == "2"
    file.write_text(version(4))
    workers.ready(3)
    assert workers.get().split()[1] == "4"
    assert workers.stop() == 0
    assert workers.text.count("SyntaxError") == 1
    assert "Traceback" not in workers.text


def test_code_that_is_wrong_at_the_start_waits_for_a_save(serve: Any, tmp_path: Path) -> None:
    file = tmp_path / "site_app.py"
    file.write_text("1 / 0\n")
    workers = serve("--reload", "--workers", "2")
    workers.wait_for("Waiting for a change of the code")
    file.write_text("1 / 0  # still\n")
    workers.wait_for("Waiting for a change of the code", 2)
    file.write_text(version(2))
    workers.ready(2)
    assert workers.get().split()[1] == "2"
    assert workers.stop() == 0
    assert workers.text.count("ZeroDivisionError") == 2


def test_only_python_files_of_the_folders_that_are_named_count(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "watched").mkdir()
    (tmp_path / "other").mkdir()
    workers = serve("--reload", "--reload-dir", "other", "--reload-dir", "watched")
    workers.ready(1)
    (tmp_path / "site_app.py").write_text(version(2))
    (tmp_path / "watched" / "page.html").write_text("")
    (tmp_path / "watched" / "models.py").write_text("")
    workers.wait_for(CHANGED.format("watched/models.py"))
    workers.ready(2)
    assert workers.stop() == 0
    assert workers.text.count("Starting new workers") == 1


def test_without_watchfiles_a_sentence_says_what_to_install(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "watchfiles.py").write_text("raise ImportError('blocked')\n")
    workers = serve("--reload", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert workers.finish() == 1
    assert workers.text == (
        "channels: --reload needs the package watchfiles; install channels[reload].\n"
    )


def test_a_terminal_that_is_closed_stops_its_server(serve: Any) -> None:
    """A SIGHUP too, but nobody is there who would want new code."""
    master, terminal = pty.openpty()
    code = (
        "import fcntl, os, sys, termios\n"
        f"fcntl.ioctl({terminal}, termios.TIOCSCTTY, 0)\n"
        f"os.close({terminal})\n"
        "from channels.__main__ import main\n"
        "sys.exit(main(['serve', 'site_app:app', '-p', '0', '--reload']))\n"
    )
    workers = serve(
        command=[sys.executable, "-c", code], pass_fds=[terminal], start_new_session=True
    )
    os.close(terminal)
    workers.ready(1)
    workers.send(signal.SIGHUP)
    workers.ready(2)
    os.close(master)
    assert workers.finish() == 0
    assert "The terminal is gone." in workers.text
    assert "Traceback" not in workers.text
