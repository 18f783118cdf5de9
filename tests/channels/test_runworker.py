"""`manage.py runworker`: its options, and the whole of it as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django_process import Running, django, write
from tests.waiting import BETWEEN_TRIES, wait_until

from channels.layers import InMemoryChannelLayer
from channels.management.commands import runworker

pytestmark = pytest.mark.usefixtures("layer")

# -- options -----------------------------------------------------------------


class RecordingWorker:
    """Takes what workers of other packages take: nothing that is new."""

    made: list[dict[str, Any]] = []

    def __init__(
        self, application: Any, channels: Any, channel_layer: Any, max_applications: int = 9
    ) -> None:
        self.made.append({"channels": channels, "layer": channel_layer})

    def run(self) -> None:
        self.made[-1]["inside"] = list(inside)


class ConcurrentWorker(RecordingWorker):
    def __init__(self, *, concurrency: int, **given: Any) -> None:
        super().__init__(**given)
        self.made[-1]["concurrency"] = concurrency


inside: list[str] = []


@contextmanager
def hosting() -> Iterator[None]:
    inside.append("hosted_layers")
    yield
    inside.clear()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setattr(RecordingWorker, "made", [])
    monkeypatch.setattr(runworker, "hosted_layers", hosting)
    return RecordingWorker.made


def test_it_works_while_the_layers_are_hosted(
    made: list[dict[str, Any]],
    layer: InMemoryChannelLayer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runworker.Command, "worker_class", RecordingWorker)
    call_command("runworker", "a", "b")
    assert made == [{"channels": ["a", "b"], "layer": layer, "inside": ["hosted_layers"]}]
    assert inside == []


def test_concurrency_reaches_the_worker(
    made: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runworker.Command, "worker_class", ConcurrentWorker)
    call_command("runworker", "a", "--concurrency", "8")
    assert made[0]["concurrency"] == 8


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_concurrency_below_one_is_told(number: str) -> None:
    with pytest.raises(CommandError, match=f"--concurrency is 1 or more, not {number}"):
        call_command("runworker", "a", f"--concurrency={number}")


@pytest.mark.parametrize(
    ("debug", "arguments", "reloads"),
    [(True, (), True), (True, ("--noreload",), False), (False, (), False)],
)
def test_it_reloads_in_development_alone(
    made: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    debug: bool,
    arguments: tuple[str, ...],
    reloads: bool,
) -> None:
    reloaded: list[Any] = []
    monkeypatch.setattr(runworker.Command, "worker_class", RecordingWorker)
    monkeypatch.setattr(runworker, "run_with_reloader", lambda *given, **_: reloaded.append(given))
    with override_settings(DEBUG=debug):
        call_command("runworker", "a", *arguments)
    assert (len(reloaded), len(made)) == ((1, 0) if reloads else (0, 1))


@override_settings(ASGI_APPLICATION=None)
def test_a_missing_application_is_told() -> None:
    with pytest.raises(CommandError, match="Cannot find ASGI_APPLICATION setting"):
        call_command("runworker", "a")


# -- as a process ------------------------------------------------------------

PROJECT = {
    "settings.py": """
SECRET_KEY = "x"
DEBUG = True
INSTALLED_APPS = ["channels"]
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "feeding.FeedingLayer"}}
""",
    "urls.py": "urlpatterns = []\n",
    "feeding.py": """
from channels.layers import InMemoryChannelLayer

class FeedingLayer(InMemoryChannelLayer):
    "Has one message for each channel that is read."
    fed = ()

    async def receive(self, channel):
        if channel not in self.fed:
            self.fed = {*self.fed, channel}
            await self.send(channel, {"type": "job.do"})
        return await super().receive(channel)
""",
    "names.py": "NAME = 'first'\n",
    "asgi.py": """
import asyncio
from channels.consumer import AsyncConsumer
from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from names import NAME

class Job(AsyncConsumer):
    async def job_do(self, message):
        print(NAME, "began", flush=True)
        # Longer than Django's reloader gives a child to end.
        await asyncio.sleep(0.7)
        print(NAME, "finished", flush=True)

application = ProtocolTypeRouter({"channel": ChannelNameRouter({"jobs": Job})})
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path, PROJECT)


def working(project: Path, *arguments: str) -> AbstractContextManager[Running]:
    return django(project, "runworker", "jobs", *arguments)


def to_the_group(process: subprocess.Popen[str], number: int) -> None:
    os.killpg(process.pid, number)


def to_the_parent(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("arguments", [(), ("--noreload",)])
@pytest.mark.parametrize(
    ("number", "send"), [(signal.SIGINT, to_the_group), (signal.SIGTERM, to_the_parent)]
)
def test_a_signal_lets_the_running_handler_finish(
    project: Path, arguments: tuple[str, ...], number: int, send: Any
) -> None:
    with working(project, *arguments) as running:
        running.says("first began")
        send(running.process, number)
        assert running.end() == 0
        assert "first finished" in running.output
        assert "Traceback" not in running.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_second_signal_does_not_wait(project: Path) -> None:
    slow = PROJECT["asgi.py"].replace("sleep(0.7)", "sleep(60)")
    (project / "asgi.py").write_text(slow.replace("await", "print('waits', flush=True); await"))
    with working(project) as running:
        running.says("waits")
        running.process.terminate()
        running.says("Stopping")
        running.process.terminate()
        running.end()
        assert "first finished" not in running.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_changed_code_lets_the_running_handler_finish_and_is_used(project: Path) -> None:
    with working(project) as running:
        running.says("first began")
        running.says("Watching for file changes")

        def change() -> bool:
            # The reloader overlooks what changes while it begins.
            (project / "names.py").write_text("NAME = 'second'\n")
            return "second began" in running.output

        wait_until(change, between=BETWEEN_TRIES * 20)
        assert "first finished" in running.output
        running.process.terminate()
        assert running.end() == 0
        assert "second finished" in running.output
        assert "Traceback" not in running.output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_import_that_fails_is_shown_and_worked_with_when_mended(project: Path) -> None:
    (project / "asgi.py").write_text("import helpers\n" + PROJECT["asgi.py"])
    broken = project / "helpers.py"
    broken.write_text("import a_library_that_is_missing\n")
    with working(project) as running:
        running.says("No module named 'a_library_that_is_missing'")
        running.says('helpers.py", line 1')

        def mend() -> bool:
            broken.write_text("# mended")
            return "first began" in running.output

        wait_until(mend, between=BETWEEN_TRIES * 20)
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--noreload",)])
def test_a_wrong_name_is_one_sentence_and_status_1(
    project: Path, arguments: tuple[str, ...]
) -> None:
    with working(project, "a name", *arguments) as running:
        assert running.end() == 1
        assert "has ' ' at position 1: 'a name'" in running.output
        assert "Traceback" not in running.output
