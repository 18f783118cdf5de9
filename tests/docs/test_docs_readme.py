"""What the README tells a newcomer to do: a new project, its files, its commands, its client."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from doc_pages import ROOT, Block, blocks

README = list(blocks(ROOT / "README.md"))
# Longer than any start takes, also on a busy machine.
START_SECONDS = 30


def marked(mark: str) -> list[tuple[str, Block]]:
    """The blocks with this mark, each with what stands behind it."""
    found = [(block.mark.partition(": "), block) for block in README]
    return [(rest, block) for (name, _, rest), block in found if name == mark]


def command(beginning: str) -> list[str]:
    """The one command of the README that begins like this, for the Python of this run."""
    lines = [line for block in README if block.language == "sh" for line in block.code.splitlines()]
    (line,) = (line for line in lines if line.startswith(beginning))
    words = shlex.split(line, comments=True)
    return [sys.executable, *(["-m", *words] if words[0] == "channels" else words[1:])]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder that the README's project is in, made as the README says."""
    call_command("startproject", "mysite", str(tmp_path))
    for name, block in marked("append"):
        with (tmp_path / name).open("a") as file:
            file.write(block.code)
    for name, block in marked("file"):
        (tmp_path / name).write_text(block.code)
    return tmp_path


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[int]:
    """Run a server in `folder` until the end of the block; the port it says it has."""
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    environment["PYTHONUNBUFFERED"] = "1"
    # A bus of its own. Not below `folder`, which is too deep for the path of a socket.
    temporary = tempfile.TemporaryDirectory(prefix="channels-")
    environment["TMPDIR"] = temporary.name
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with temporary, process:
        try:
            yield port_of(process)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=START_SECONDS)
            assert process.returncode == 0, output
            assert "Traceback" not in output
        finally:
            process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    said = ""
    # Ends with the process, if that fails.
    for line in process.stdout:
        said += line
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError(f"the server ended:\n{said}")


def talk(port: int) -> None:
    ((_, client),) = marked("client")
    code = client.code.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    assert code != client.code
    exec(compile(code, "README.md", "exec"), {"__name__": "client"})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
        assert page.status == 200


@pytest.mark.slow
def test_the_readmes_consumer_answers_under_serve(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running([*command("channels serve"), "--port", "0"], project) as port:
        talk(port)
    assert capsys.readouterr().out == "Hello\n"


@pytest.mark.slow
def test_the_readmes_consumer_answers_under_runserver(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(
        [*command("python manage.py runserver"), "--noreload", "127.0.0.1:0"], project
    ) as p:
        talk(p)
    assert capsys.readouterr().out == "Hello\n"


def test_the_first_consumer_takes_twenty_lines() -> None:
    written = [block for mark in ("file", "append") for _, block in marked(mark)]
    code = "".join(block.code for block in written)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
