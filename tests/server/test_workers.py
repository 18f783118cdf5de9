"""Several workers: how they start, die, are replaced and stop."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised_process import APP, Workers, is_worker, read_all, workers_in
from tests.waiting import let_pass, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.slow


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """`serve(*options)` is `channels serve` with the application of supervised_process."""
    with workers_in(tmp_path) as start:
        yield start


def open_socket(workers: Workers) -> tuple[ClientConnection, int]:
    """A WebSocket, and the worker that has it."""
    # Closed by the test, or by the server.
    client = connect(f"ws://127.0.0.1:{workers.address[1]}/").__enter__()
    return client, int(client.recv(timeout=10))


def close_code(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=20)
    return caught.value.rcvd.code if caught.value.rcvd is not None else None


def gone(pid: int) -> None:
    wait_until(lambda: not is_worker(pid), f"{pid} is gone")


# -- starting --------------------------------------------------------------------


def test_workers_share_a_port_and_all_end_on_sigterm(serve: Any) -> None:
    workers = serve("--workers", "2")
    pids = set(workers.ready(2))
    sockets = [open_socket(workers) for _ in range(8)]
    assert {pid for _, pid in sockets} == pids
    workers.send(signal.SIGTERM)
    assert [close_code(client) for client, _ in sockets] == [1012] * 8
    assert workers.finish() == 0
    assert workers.text.count("Listening on") == 1
    assert "ERROR" not in workers.text
    assert not any(is_worker(pid) for pid in pids)


def test_auto_is_as_many_workers_as_this_process_may_use_cores(serve: Any) -> None:
    workers = serve("--workers", "auto", "--max-requests", "1000000")
    cores = len(os.sched_getaffinity(0))
    assert len(workers.ready(cores)) == cores
    assert workers.stop() == 0
    assert len(workers.ready()) == cores


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("1 / 0", "Cannot import 'site_app': ZeroDivisionError: division by zero"),
        ("app = 5", "'site_app:app' is no ASGI application: 5 cannot be called."),
        (
            "async def app(scope, receive, send):\n"
            "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n",
            "The application could not start: no database",
        ),
    ],
)
def test_an_application_that_cannot_start_is_told_once(
    serve: Any, tmp_path: Path, code: str, sentence: str
) -> None:
    (tmp_path / "site_app.py").write_text(code)
    workers = serve("--workers", "4")
    assert workers.finish() == 1
    assert workers.text.count("\n") == 1
    assert sentence in workers.text


def test_a_worker_that_exits_with_another_status_at_its_start_is_told_too(
    serve: Any, tmp_path: Path
) -> None:
    (tmp_path / "site_app.py").write_text("raise SystemExit(3)")
    workers = serve("--workers", "2")
    assert workers.finish() == 1
    (line,) = workers.lines
    assert re.search(r"Worker 1 \(pid \d+\) ended with exit status 3 before it was ready\.$", line)


def test_the_supervisor_imports_neither_the_application_nor_django(
    serve: Any, tmp_path: Path
) -> None:
    (tmp_path / "site_app.py").write_text(
        APP + "\nopen('imported', 'a').write(f'{os.getpid()} {os.getppid()}\\n')\nimport django\n"
    )
    workers = serve("--workers", "2", "--log-level", "info")
    pids = workers.ready(2)
    imported = [line.split() for line in (tmp_path / "imported").read_text().splitlines()]
    assert {int(pid) for pid, _ in imported} == set(pids)
    assert {int(parent) for _, parent in imported} == {workers.process.pid}
    maps = Path(f"/proc/{workers.process.pid}/maps").read_text()
    assert "uvloop" not in maps
    assert workers.stop() == 0


def test_a_worker_finds_what_its_parents_program_would(serve: Any, tmp_path: Path) -> None:
    """As `manage.py` does: started in one folder, with its modules in another."""
    here, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    here.mkdir()
    (elsewhere / "channels").mkdir(parents=True)
    (elsewhere / "channels" / "__init__.py").write_text("1 / 0  # not the package that is meant")
    (here / "inside.py").write_text(APP)
    (here / "manage.py").write_text(
        "import sys\n"
        "from channels.__main__ import main\n"
        "sys.exit(main(['serve', 'inside:app', '-w', '2', '-p', '0']))\n"
    )
    command = [sys.executable, str(here / "manage.py")]
    workers = serve(command=command, cwd=elsewhere)
    assert workers.pid() in workers.ready(2)
    assert workers.stop() == 0


def test_the_environment_of_what_a_worker_starts_is_clean(serve: Any) -> None:
    workers = serve("--workers", "2")
    workers.ready(2)
    mine, child, descriptors = workers.get("/environment").split()
    assert (mine, child) == ("False", "False")
    # Its standard ones, the pipe of this output, and the listing itself: no link, no socket.
    assert int(descriptors) <= 5
    assert workers.stop() == 0


def test_a_closed_stdin_takes_no_descriptor_of_the_server(serve: Any, tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m channels serve site_app:app -p 0 -w 2 <&-"
    workers = serve(command=["sh", "-c", command])
    for pid in [workers.process.pid, *workers.ready(2)]:
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert workers.pid()
    assert workers.stop() == 0


def test_where_descriptors_are_few_starting_is_tried_again(serve: Any) -> None:
    command = f"ulimit -n 26; exec {sys.executable} -m channels serve site_app:app -p 0 -w 16"
    workers = serve(command=["sh", "-c", command])
    workers.ready(1)
    workers.wait_for(r"Worker \d could not be started: .*Too many open files")
    workers.wait_for("is started again in 1 s")
    assert workers.pid()
    assert workers.stop() == 0
    assert "Traceback" not in workers.text


# -- dying -----------------------------------------------------------------------


def test_a_worker_that_dies_is_replaced_and_the_reason_is_logged(serve: Any) -> None:
    workers = serve("--workers", "2")
    first, second = workers.ready(2)
    client, holder = open_socket(workers)
    other = second if holder == first else first
    os.kill(other, signal.SIGKILL)
    workers.wait_for(rf"\(pid {other}\) was killed by SIGKILL \(out of memory\?\)\.")
    assert workers.pid() == holder
    assert len(workers.ready(3)) == 3
    client.ping().wait(5)
    client.close()
    assert workers.stop() == 0


def test_a_worker_that_dies_again_and_again_is_started_ever_more_slowly(serve: Any) -> None:
    workers = serve("--max-requests", "1000000")
    for times in range(1, 4):
        os.kill(workers.ready(times)[-1], signal.SIGSEGV)
    workers.wait_for("is started again in 1 s")
    workers.wait_for("is started again in 2 s")
    workers.wait_for("is started again in 4 s")
    workers.wait_for("was killed by SIGSEGV", 3)
    # Nobody listens but the supervisor, which ends at once.
    assert workers.stop() == 0


def test_a_first_worker_that_is_killed_while_it_starts_is_started_again(
    serve: Any, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "site_app.py").write_text(
        "import os\nopen('gate', 'w').write(str(os.getpid()))\n" + APP
    )
    workers = serve("--workers", "2")
    starting = int((tmp_path / "gate").read_text())
    os.kill(starting, signal.SIGKILL)
    workers.wait_for(rf"\(pid {starting}\) was killed by SIGKILL .* before it was ready")
    for _ in range(2):
        (tmp_path / "gate").read_text()
    assert starting not in workers.ready(2)
    assert workers.stop() == 0


def test_a_stop_while_the_first_worker_starts_ends_it_at_once(serve: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "site_app.py").write_text(
        "import os\nopen('gate', 'w').write('begun')\nimport time\ntime.sleep(1000)\n"
    )
    workers = serve("--workers", "2")
    assert (tmp_path / "gate").read_text() == "begun"
    assert workers.stop() == 0
    assert "ERROR" not in workers.text


@pytest.mark.parametrize(("path", "place"), [("/busy", "pass"), ("/blocked", "time.sleep(1000)")])
def test_a_stuck_worker_shows_its_stacks_and_is_replaced(
    serve: Any, tmp_path: Path, path: str, place: str
) -> None:
    workers = serve("--workers", "2", "--worker-timeout", "1")
    pids = workers.ready(2)
    with workers.request(path) as stuck:
        with contextlib.suppress(ConnectionResetError):
            assert stuck.recv(100) == b""
    (pid,) = workers.wait_for(r"\(pid (\d+)\) has given no sign of life for [\d.]+ s, and is kill")
    assert int(pid) in pids
    (line,) = workers.wait_for(rf'File "{tmp_path}/site_app.py", line (\d+) in app')
    # Of the loop around `pass`, the interpreter names either line.
    assert place in " ".join(APP.splitlines()[int(line) - 2 : int(line) + 1])
    workers.wait_for("channels/server/supervised.py")
    assert "out of memory" not in workers.text
    assert int(pid) != workers.ready(3)[-1]
    assert workers.stop() == 0


def test_a_stopped_worker_cannot_show_its_stacks_and_is_replaced(serve: Any) -> None:
    workers = serve("--workers", "2", "--worker-timeout", "1")
    pid = workers.ready(2)[1]
    os.kill(pid, signal.SIGSTOP)
    workers.wait_for(rf"\(pid {pid}\) has given no sign .* It was stopped \(SIGSTOP\)")
    workers.ready(3)
    assert workers.stop() == 0


def test_a_supervisor_that_was_stopped_itself_blames_no_worker(serve: Any) -> None:
    workers = serve("--workers", "2", "--worker-timeout", "0.5")
    pids = workers.ready(2)
    everybody = [workers.process.pid, *pids]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    let_pass(2, "this time must not count for any worker")
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert workers.pid() in pids
    let_pass(1, "twice the worker timeout: nobody may be found stuck afterwards")
    assert workers.stop() == 0
    assert "no sign of life" not in workers.text
    assert workers.ready() == pids


def test_workers_whose_supervisor_is_killed_say_so_drain_and_end(serve: Any) -> None:
    workers = serve("--workers", "2")
    pids = workers.ready(2)
    address = workers.address
    client, _ = open_socket(workers)
    slow = workers.request("/slow")
    workers.wait_printed("slow")
    workers.process.kill()
    assert close_code(client) == 1012
    assert read_all(slow).endswith(b" 1")
    slow.close()
    for pid in pids:
        gone(pid)
    assert workers.finish() == -signal.SIGKILL
    assert workers.text.count(f"The supervisor (pid {workers.process.pid}) is gone.") == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_a_forked_child_holds_neither_the_port_nor_its_workers_end_back(serve: Any) -> None:
    workers = serve("--workers", "2")
    workers.ready(2)
    address = workers.address
    child = int(workers.get("/fork"))
    try:
        began = time.monotonic()
        workers.send(signal.SIGTERM)
        assert workers.process.wait(20) == 0
        assert time.monotonic() - began < 5
        assert os.path.exists(f"/proc/{child}")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=5)
    finally:
        os.kill(child, signal.SIGKILL)


# -- stopping --------------------------------------------------------------------


def test_a_stop_lets_requests_finish(serve: Any) -> None:
    workers = serve("--workers", "2")
    workers.ready(2)
    slow = [workers.request("/slow") for _ in range(4)]
    workers.wait_printed("slow", 4)
    workers.send(signal.SIGTERM)
    for client in slow:
        response = read_all(client)
        assert b"connection: close\r\n" in response
        assert response.endswith(b" 1")
        client.close()
    assert workers.finish() == 0


def test_a_second_stop_cuts_everything_off(serve: Any) -> None:
    workers = serve("--workers", "2")
    workers.ready(2)
    with workers.request("/for-ever") as client:
        workers.wait_printed("for ever")
        workers.send(signal.SIGTERM)
        workers.wait_for("Stopping")
        began = time.monotonic()
        workers.send(signal.SIGINT)
        assert workers.finish() == 1
        assert time.monotonic() - began < 5
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""
    assert "Stopped by force" in workers.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_to_the_whole_group_is_one_stop(serve: Any, number: int) -> None:
    """As a terminal sends Ctrl-C, and systemd its SIGTERM: to the workers too."""
    workers = serve("--workers", "2", start_new_session=True)
    workers.ready(2)
    slow = workers.request("/slow")
    workers.wait_printed("slow")
    os.killpg(workers.process.pid, number)
    assert read_all(slow).endswith(b" 1")
    slow.close()
    assert workers.finish() == 0
    assert "Traceback" not in workers.text
    assert "by force" not in workers.text


def test_a_ctrl_c_while_workers_start_is_no_traceback(serve: Any) -> None:
    workers = serve("--workers", "8", start_new_session=True)
    workers.ready(1)
    os.killpg(workers.process.pid, signal.SIGINT)
    assert workers.finish() == 0
    assert "Traceback" not in workers.text
    assert "KeyboardInterrupt" not in workers.text


def test_a_worker_that_ignores_sigterm_ends_all_the_same(serve: Any) -> None:
    workers = serve("--workers", "2")
    workers.ready(2)
    workers.get("/deaf")
    began = time.monotonic()
    assert workers.stop() == 0
    assert time.monotonic() - began < 5


def test_a_worker_that_is_stuck_during_a_stop_shows_its_stacks_and_is_killed(serve: Any) -> None:
    workers = serve("--workers", "2", "--worker-timeout", "1")
    workers.ready(2)
    workers.request("/blocked").close()
    workers.send(signal.SIGTERM)
    assert workers.finish() == 0
    assert re.search(r"has given no sign of life for .* Its threads:", workers.text)
    assert workers.text.count("is killed") == 1


def test_a_worker_that_is_killed_while_it_drains_leaves_the_others_at_it(serve: Any) -> None:
    workers = serve("--workers", "2")
    workers.ready(2)
    slow = [workers.request("/slow") for _ in range(4)]
    workers.wait_printed("slow", 4)
    workers.send(signal.SIGTERM)
    workers.wait_for("Stopping")
    os.kill(workers.ready()[0], signal.SIGKILL)
    answers = []
    for client in slow:
        with client, contextlib.suppress(ConnectionResetError):
            answers.append(read_all(client))
    assert 1 <= sum(answer.endswith(b" 1") for answer in answers) <= 3
    assert workers.finish() == 0
    workers.wait_for("was killed by SIGKILL")


def test_a_worker_that_starts_while_its_supervisor_is_killed_ends(
    serve: Any, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "site_app.py").write_text(
        "import os, time\nopen('gate', 'w').write(str(os.getpid()))\ntime.sleep(1000)\n"
    )
    workers = serve("--workers", "2")
    starting = int((tmp_path / "gate").read_text())
    workers.process.kill()
    gone(starting)
    workers.finish()


def test_a_stopped_or_stuck_worker_is_killed_by_a_third_signal(serve: Any) -> None:
    workers = serve("--workers", "2")
    pid = workers.ready(2)[0]
    os.kill(pid, signal.SIGSTOP)
    workers.send(signal.SIGTERM)
    workers.wait_for("Stopping")
    workers.send(signal.SIGTERM)
    workers.wait_for("by force")
    workers.send(signal.SIGTERM)
    assert workers.finish() == 1
    assert f"(pid {pid}) was given no more time, and is killed" in workers.text


def test_connections_that_wait_to_be_accepted_at_a_stop_are_answered(serve: Any) -> None:
    workers = serve("--max-requests", "1000000")
    workers.ready()
    with workers.request("/block-a-moment"):
        workers.wait_printed("blocked")
        # Nobody accepts now; the kernel does.
        waiting = [workers.request("/") for _ in range(200)]
        workers.send(signal.SIGTERM)
        for client in waiting:
            assert read_all(client).endswith(b" 1")
            client.close()
    assert workers.finish() == 0


def test_a_request_on_an_idle_connection_at_the_moment_of_a_stop_is_answered(serve: Any) -> None:
    workers = serve("--max-requests", "1000000")
    workers.ready()
    with workers.request("/") as client, workers.request("/block-a-moment"):
        assert client.recv(1000).endswith(b" 1")
        workers.wait_printed("blocked")
        workers.send(signal.SIGTERM)
        workers.wait_for("Stopping")
        client.sendall(b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 200")
    assert workers.finish() == 0


def test_the_path_of_a_unix_socket_is_the_supervisors(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with workers_in(tmp_path) as serve:
        command = [sys.executable, "-m", "channels", "serve", "site_app:app", "-u", path]
        workers = serve(command=[*command, "-w", "2"])
        workers.ready(2)
        assert workers.wait_for("Listening on unix:(.*)") == [path]
        workers.send(signal.SIGHUP)
        workers.wait_for("has ended", 2)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(path)
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).endswith(b" 1")
        assert workers.stop() == 0
        assert not os.path.exists(path)


# -- renewing --------------------------------------------------------------------


def test_sighup_brings_new_code_and_the_old_workers_finish(serve: Any, tmp_path: Path) -> None:
    workers = serve("--workers", "2")
    old = workers.ready(2)
    sockets = [open_socket(workers)[0] for _ in range(4)]
    slow = workers.request("/slow")
    workers.wait_printed("slow")
    (tmp_path / "site_app.py").write_text(APP.replace('VERSION = "1"', 'VERSION = "two"'))
    workers.send(signal.SIGHUP)
    assert [close_code(client) for client in sockets] == [1012] * 4
    # Both new ones were ready before the first old one was told to go.
    assert len(workers.ready()) == 4
    assert {workers.get().split()[1] for _ in range(10)} == {"two"}
    assert read_all(slow).endswith(b" 1")
    slow.close()
    workers.wait_for("has ended", 2)
    assert not any(is_worker(pid) for pid in old)
    assert workers.stop() == 0
    assert "ERROR" not in workers.text


def test_new_code_that_does_not_start_leaves_the_old_workers(serve: Any, tmp_path: Path) -> None:
    workers = serve("--workers", "2")
    old = workers.ready(2)
    client, _ = open_socket(workers)
    (tmp_path / "site_app.py").write_text("1 / 0\n")
    workers.send(signal.SIGHUP)
    workers.wait_for("The new workers are given up")
    assert workers.text.count("ZeroDivisionError") == 1
    assert workers.pid() in old
    client.ping().wait(5)
    client.close()
    (tmp_path / "site_app.py").write_text(APP)
    workers.send(signal.SIGHUP)
    assert len(workers.ready(4)) == 4
    workers.wait_for("has ended", 2)
    assert workers.stop() == 0


def test_a_sighup_during_a_sighup_is_done_once_afterwards(serve: Any, tmp_path: Path) -> None:
    workers = serve("--workers", "1", "--max-requests", "1000000")
    workers.ready(1)
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "site_app.py").write_text("open('gate', 'w').write('begun')\n" + APP)
    workers.send(signal.SIGHUP)
    workers.wait_for("Starting new workers: SIGHUP")
    for _ in range(3):
        # The kernel may make one signal of them, which is all that counts.
        workers.send(signal.SIGHUP)
    assert (tmp_path / "gate").read_text() == "begun"
    assert (tmp_path / "gate").read_text() == "begun"
    workers.ready(3)
    workers.wait_for("has ended", 2)
    assert workers.stop() == 0
    assert workers.text.count("Starting new workers: SIGHUP.") == 2
    assert len(workers.ready()) == 3


@pytest.mark.parametrize("whom", ["the new one", "the old one"])
def test_a_worker_that_is_killed_during_a_sighup_leaves_one_that_serves(
    serve: Any, tmp_path: Path, whom: str
) -> None:
    workers = serve("--max-requests", "1000000")
    (old,) = workers.ready(1)
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "site_app.py").write_text(
        "import os\nopen('gate', 'w').write(str(os.getpid()))\n" + APP
    )
    workers.send(signal.SIGHUP)
    new = int((tmp_path / "gate").read_text())
    os.kill(new if whom == "the new one" else old, signal.SIGKILL)
    if whom == "the new one":
        workers.wait_for(r"given up\. Worker 1 \(pid \d+\) goes on")
        assert workers.pid() == old
    else:
        assert workers.pid() == new
    assert workers.stop() == 0


def test_a_worker_retires_after_its_requests_and_none_is_lost(serve: Any) -> None:
    workers = serve("--max-requests", "20", "--max-requests-jitter", "5")
    (first,) = workers.ready(1)
    client, holder = open_socket(workers)
    assert holder == first
    answers = [workers.pid() for _ in range(60)]
    assert first in answers
    second = workers.ready(2)[1]
    assert close_code(client) == 1012
    wait_until(lambda: workers.pid() != first)
    assert second in [*answers, *workers.ready()]
    gone(first)
    assert workers.stop() == 0
    assert "ERROR" not in workers.text


# -- shares ----------------------------------------------------------------------


def test_connections_are_shared_evenly(serve: Any) -> None:
    workers = serve("--workers", "2")
    pids = workers.ready(2)
    sockets = [open_raw(workers.address) for _ in range(400)]
    holders = [pid_of(client) for client in sockets]
    counts = [holders.count(pid) for pid in pids]
    assert sum(counts) == 400
    # 200 and 200, give or take a few; more on a machine that is busy with other things.
    assert min(counts) >= 150, counts
    for client in sockets:
        client.close()
    assert workers.stop() == 0


def test_a_worker_that_was_replaced_catches_up(serve: Any) -> None:
    workers = serve("--workers", "2")
    pids = workers.ready(2)
    sockets = [open_raw(workers.address) for _ in range(100)]
    holders = [pid_of(client) for client in sockets]
    os.kill(pids[0], signal.SIGKILL)
    new = workers.ready(3)[-1]
    left = holders.count(pids[1])
    more = [open_raw(workers.address) for _ in range(left)]
    assert sum(pid_of(client) == new for client in more) >= left - 10
    for client in [*sockets, *more]:
        client.close()
    assert workers.stop() == 0


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def open_raw(address: tuple[str, int]) -> socket.socket:
    client = socket.create_connection(address, timeout=20)
    client.sendall(HANDSHAKE)
    return client


def pid_of(client: socket.socket) -> int:
    """The worker of a WebSocket, which says it in its first message."""
    data = b""
    while not (found := re.search(rb"\r\n\r\n\x81.(\d+)$", data, re.DOTALL)):
        data += client.recv(1000)
    return int(found[1])


# -- wrong options ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--workers", "0"], "a number from 1, or auto, not '0'"),
        (["--workers", "many"], "a number from 1, or auto, not 'many'"),
        (["--workers", "100000"], "workers are 1 to 256, not 100000."),
        (["--worker-timeout", "-1"], "--worker-timeout is not negative, but it is -1.0."),
        (["--worker-timeout", "nan"], "--worker-timeout is not negative, but it is nan."),
        (["--max-requests", "-5"], "--max-requests is not negative, but it is -5."),
        (["--max-requests-jitter", "5"], "--max-requests-jitter goes with --max-requests."),
        (["--reload-dir", "."], "--reload-dir goes with --reload."),
        (["--reload", "--reload-dir", "no"], "--reload-dir names a folder, but 'no' is none."),
        (["--workers", "2", "-p", "70000"], "port is a number from 0 to 65535, not 70000."),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, options: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "channels", "serve", "site_app:app", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


def test_a_port_that_is_taken_is_one_sentence(serve: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        workers = serve("-p", str(taken.getsockname()[1]), "--workers", "2")
        assert workers.finish() == 1
    (line,) = workers.lines
    assert "the address is already in use" in line
