"""A program with workers of its own: what they ask of their supervisor, and what it answers."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised_process import Workers, workers_in

from channels.server import ConfigurationError, ServerConfig, Supervised, Supervisor, supervised
from channels.server.link import VARIABLE, Lines, encode

PARENT = """
import logging, os, sys, threading
from channels.server import ServerConfig, Supervisor

logging.basicConfig(level="INFO")

def remember(details):
    assert threading.current_thread() is threading.main_thread()
    print(f"{os.getpid()} {details['what']}", flush=True)

def refuse(details):
    raise OSError("no room for " + details["what"])

config = ServerConfig(port=0, graceful_timeout=0.2, close_timeout=0.1)
sys.exit(Supervisor(
    config, [sys.executable, "worker.py"], workers=2,
    on_request={"remember": remember, "refuse": refuse},
).run())
"""

WORKER = """
import asyncio, concurrent.futures, os, signal, sys, threading, time
from channels.server import Server, ServerConfig, Supervised

supervised = Supervised.take()
supervised.ask("remember", {"what": "start"})

def ask(subject):
    try:
        supervised.ask(subject, {"what": subject})
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "done"

async def app(scope, receive, send):
    assert scope["type"] == "http"
    subject = scope["path"][1:]
    if subject == "many":
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            answer = " ".join(sorted(set(pool.map(ask, ["remember", "refuse"] * 50))))
    elif subject == "fork":
        reading, writing = os.pipe()
        if not os.fork():
            os.write(writing, ask("remember").encode())
            os._exit(0)
        answer = os.read(reading, 1000).decode()
    elif subject == "stay":
        threading.Thread(target=time.sleep, args=(1000,)).start()
        answer = "stays"
    else:
        answer = ask(subject)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": answer.encode()})

config = ServerConfig(sockets=supervised.sockets, graceful_timeout=0.2, close_timeout=0.1)
sys.exit(Server(app, config, supervised=supervised).run())
"""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "worker.py").write_text(WORKER)
    with workers_in(tmp_path) as serve:
        workers = serve(command=[sys.executable, "parent.py"])
        workers.ready(2)
        yield workers


@pytest.mark.slow
def test_a_supervisor_does_what_its_workers_ask_for(workers: Workers) -> None:
    assert workers.printed == [f"{workers.process.pid} start\n"] * 2
    assert workers.get("/remember") == "done"
    workers.wait_printed(f"{workers.process.pid} remember")
    assert workers.get("/refuse") == "RuntimeError: no room for refuse"
    assert workers.get("/sing") == "RuntimeError: This supervisor knows nothing of 'sing'."
    assert workers.get("/many") == "RuntimeError: no room for refuse done"
    assert re.match("RuntimeError: This process was forked from a worker", workers.get("/fork"))
    assert workers.stop() == 0


@pytest.mark.slow
def test_a_worker_that_does_not_end_in_time_is_killed_and_that_is_said(workers: Workers) -> None:
    assert workers.get("/stay") == "stays"
    assert workers.stop() == 0
    workers.wait_for(r"Worker \d \(pid \d+\) did not end within 5\.6 s, and is killed")


def given(link: socket.socket, **others: Any) -> dict[str, Any]:
    """What a supervisor tells a worker, with nothing but a link in it."""
    alone = {"number": 1, "sockets": [], "shares": None, "stacks": -1, "beat": 1, "patience": 1}
    return {**alone, "link": link.detach(), "supervisor": 4711, **others}


def test_a_supervisor_that_does_not_answer_is_a_timeout(monkeypatch: Any) -> None:
    monkeypatch.setattr(supervised, "ASK_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    with ours:
        worker = Supervised(given(theirs))
        with pytest.raises(TimeoutError, match=r"\(pid 4711\) was asked for 'bus' and did not"):
            worker.ask("bus", {})
        # Until the kernel's buffer is full, and after that.
        for _ in range(10):
            with pytest.raises(TimeoutError, match="was asked for 'bus'"):
                worker.ask("bus", {"much": "x" * 50_000})
        worker._link.close()


ORPHAN = """
import json, os, signal, socket, threading
from channels.server import Supervised

ended = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
ours, theirs = socket.socketpair()
reading, writing = os.pipe()
os.environ["CHANNELS_WORKER"] = json.dumps({
    "number": 1, "sockets": [], "shares": None, "stacks": writing, "link": theirs.detach(),
    "supervisor": 4711, "beat": 1, "patience": 1000, "path": [], "pythonpath": None,
})
worker = Supervised.take()
threading.Thread(target=lambda: (ours.recv(100), ours.close())).start()
for _ in range(2):
    try:
        worker.ask("bus", {})
    except RuntimeError as error:
        print(error)
print(ended.wait(10))
"""


def test_asking_a_supervisor_that_dies_is_an_error_at_once() -> None:
    """In a process of its own: one whose supervisor is gone ends itself."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=20, check=False
    )
    sentence = "The supervisor (pid 4711) is gone."
    assert done.stdout.splitlines() == [sentence, sentence, "True"]
    assert done.stderr.startswith(f"{sentence} Worker 1 (pid ")


def test_a_line_that_is_no_message_is_refused() -> None:
    lines = Lines()
    data = encode({"type": "alive"}) + encode({"type": "ask", "details": {"umlaut": "\n\u00e4"}})
    whole = list(Lines().feed(data))
    assert [part for byte in data for part in lines.feed(bytes([byte]))] == whole
    assert len(whole) == 2
    for wrong in (b"hello\n", b"[]\n", b"\xff\n", b"x" * 65537):
        with pytest.raises(ValueError, match="This is no JSON|A message is|A line of over"):
            list(Lines().feed(wrong))
    with pytest.raises(ValueError, match="is at most 65536 bytes"):
        encode({"type": "x" * 65536})


def test_a_variable_that_no_supervisor_has_set_is_one_sentence(monkeypatch: Any) -> None:
    for wrong in ("", "5", "{}", '{"number": 1}'):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(ConfigurationError, match="CHANNELS_WORKER is set by a supervisor"):
            Supervised.take()
        assert VARIABLE not in os.environ
    assert Supervised.take() is None


def test_what_a_supervisor_cannot_do_is_refused() -> None:
    for wrong in ({"workers": 0}, {"workers": 257}, {"worker_timeout": 0}):
        with pytest.raises(ConfigurationError):
            Supervisor(ServerConfig(port=0), ["true"], **wrong)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            Supervisor(ServerConfig(port=0), ["true"]).run()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "runs in the main thread" in str(errors[0])
