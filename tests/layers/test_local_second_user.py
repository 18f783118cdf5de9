"""Another user of the machine cannot connect to, list or disturb the bus.

Each scene is played by real processes of other users. They load the code as root, who
may read it wherever it is installed, and then become that user for good; ids that the
machine's database does not know stand for those of containers.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from channels.layers.local.place import (
    BusError,
    BusPlace,
    connect_bus,
    find_place,
    may_host,
    peer_of,
    prepare_folder,
    refuse_reason,
)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start processes of another user"
)

SECONDS = 5.0
NOBODY, SITE, COLLEAGUE, TEAM = 65534, 12345, 12346, 23000

BECOME = """
import fcntl, json, os, socket, sys
from channels.layers.local import place as bus
uid, gid, groups, options = json.loads(sys.argv[1])
os.setgroups(groups)
os.setgid(gid)
os.setuid(uid)
os.umask(0o077)
place = bus.find_place(**options)
path, lock_path, folder = str(place.socket_path), str(place.lock_path), str(place.directory)

def outcome(call, *arguments):
    try:
        return repr(call(*arguments))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""

HOST = """
reason = bus.may_host(place)
assert reason is None, reason
bus.prepare_folder(place)
lock = bus.try_lock(place)
listener = bus.bind_bus(place, lock)
listener.setblocking(True)
print("hosting", flush=True)
while True:
    sock, _ = listener.accept()
    reason = bus.refuse_reason(place, bus.peer_of(sock))
    if reason is None:
        sock.sendall(b"welcome")
    else:
        print(reason, flush=True)
    sock.close()
"""

JOIN = """
sock = bus.connect_bus(place, 5.0)
sock.setblocking(True)
print(json.dumps(sock.recv(7).decode()))
"""

RAW_JOIN = """
sock = socket.socket(socket.AF_UNIX)
sock.connect(path)
print(json.dumps(sock.recv(7).decode()))
"""

INTRUDE = """
def lock_it():
    fcntl.flock(os.open(lock_path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)

def take_its_place(name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)

def make_file():
    os.open(folder + "/x", os.O_CREAT)

print(json.dumps({
    "connect": outcome(socket.socket(socket.AF_UNIX).connect, path),
    "list": outcome(os.listdir, folder),
    "look at the socket": outcome(os.stat, path),
    "read the lock": outcome(open, lock_path),
    "unlink the socket": outcome(os.unlink, path),
    "unlink the lock": outcome(os.unlink, lock_path),
    "rename the socket": outcome(os.rename, path, path + "x"),
    "listen there": outcome(take_its_place, path),
    "make a file": outcome(make_file),
    "lock": outcome(lock_it),
    "open the folder": outcome(os.chmod, folder, 0o777),
    "rename the folder": outcome(os.rename, folder, folder + "x"),
    "remove the folder": outcome(os.rmdir, folder),
}))
"""

HONEST_WAYS = """
print(json.dumps([
    outcome(bus.connect_bus, place, 5.0),
    outcome(bus.prepare_folder, place),
    outcome(bus.try_lock, place),
]))
"""

SQUAT = """
os.mkdir(folder)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
os.chmod(path, 0o777)
os.chmod(folder, 0o777)
print("squatting", flush=True)
sys.stdin.read()
"""

REPLACE = """
os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
os.chmod(path, 0o777)
print("replaced", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files as the system's: everybody's, and sticky."""
    folder = Path(tempfile.mkdtemp(prefix="bus-"))
    folder.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def command(code: str, uid: int, options: dict[str, Any], gid: int, groups: list[int]) -> list[str]:
    who = json.dumps([uid, gid or uid, groups, options])
    return [sys.executable, "-c", BECOME + code, who]


def run(
    code: str, uid: int, options: dict[str, Any], gid: int = 0, groups: list[int] | None = None
) -> Any:
    """Return what a process of that user prints as JSON."""
    process = subprocess.run(
        command(code, uid, options, gid, groups or []),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(process.stdout)


@contextmanager
def running(
    code: str, uid: int, options: dict[str, Any], gid: int = 0, groups: list[int] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process of that user, once it said its first line."""
    with subprocess.Popen(
        command(code, uid, options, gid, groups or []),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert line_of(process) in ("hosting", "squatting", "replaced")
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def welcome(place: BusPlace) -> str:
    sock = connect_bus(place, SECONDS)
    assert sock is not None
    with closing(sock):
        sock.setblocking(True)
        return sock.recv(7).decode()


def loosen(place: BusPlace) -> None:
    place.directory.chmod(0o777)
    place.socket_path.chmod(0o777)
    place.lock_path.chmod(0o666)


@pytest.mark.parametrize("owner", [0, SITE])
def test_another_user_can_do_nothing_to_the_bus(base: Path, owner: int) -> None:
    options = {"user": owner}
    place = find_place(user=owner)
    with running(HOST, owner, options):
        assert stat.S_IMODE(place.directory.stat().st_mode) == 0o700
        outcomes = run(INTRUDE, NOBODY, options)
        allowed = {what for what, how in outcomes.items() if not how.startswith("PermissionError")}
        assert allowed == set()
        assert welcome(place) == "welcome"


@pytest.mark.parametrize("owner", [0, SITE])
def test_another_user_who_tries_the_honest_way_is_told_why_not(base: Path, owner: int) -> None:
    options = {"user": owner}
    with running(HOST, owner, options):
        for outcome in run(HONEST_WAYS, NOBODY, options):
            assert outcome.startswith("BusError")
            assert f"uid {owner}" in outcome
            assert "`group`" in outcome


@pytest.mark.parametrize("owner", [0, SITE])
def test_where_modes_were_loosened_credentials_keep_another_user_out(
    base: Path, owner: int
) -> None:
    options = {"user": owner}
    place = find_place(user=owner)
    with running(HOST, owner, options) as host:
        loosen(place)
        assert run(RAW_JOIN, NOBODY, options) == ""
        reason = line_of(host)
        assert f"(uid {NOBODY}) may not join the bus {place.socket_path}" in reason


@pytest.mark.parametrize("owner", [0, SITE])
def test_where_modes_were_loosened_honest_processes_stay_away(base: Path, owner: int) -> None:
    options = {"user": owner}
    place = find_place(user=owner)
    with running(HOST, owner, options):
        loosen(place)
        for uid in (owner, NOBODY):
            for outcome in run(HONEST_WAYS, uid, options):
                assert outcome.startswith("BusError")
                assert f"chmod 0700 {place.directory}" in outcome


@pytest.mark.parametrize("owner", [0, SITE])
def test_a_socket_that_another_user_put_there_is_not_spoken_to(base: Path, owner: int) -> None:
    options = {"user": owner}
    place = find_place(user=owner)
    with running(HOST, owner, options) as host:
        loosen(place)
        with running(REPLACE, NOBODY, options) as intruder:
            place.directory.chmod(0o700)
            (outcome, _, lock) = run(HONEST_WAYS, owner, options)
            assert outcome.startswith("BusError")
            assert f"hosted by process {intruder.pid} of" in outcome
            assert f"(uid {NOBODY})" in outcome
            assert lock == "None"
            host.kill()
            host.wait()
            with running(HOST, owner, options):
                assert welcome(place) == "welcome"


def test_root_joins_the_bus_of_a_user_and_does_not_host_it(base: Path) -> None:
    place = find_place(user=SITE)
    with running(HOST, SITE, {}) as host:
        assert welcome(place) == "welcome"
        sock = connect_bus(place, SECONDS)
        assert sock is not None
        with closing(sock):
            peer = peer_of(sock)
        assert (peer.pid, peer.uid, peer.gid) == (host.pid, SITE, SITE)
    reason = may_host(place)
    assert reason is not None
    assert f"uid {SITE}" in reason


def test_a_user_hosts_in_the_folder_that_root_made(base: Path) -> None:
    place = find_place(user=SITE, directory=base / "bus")
    prepare_folder(place)
    with running(HOST, SITE, {"directory": str(base / "bus")}):
        assert welcome(place) == "welcome"


@pytest.mark.parametrize("victim", [0, SITE])
def test_a_folder_that_another_user_made_first_is_refused(base: Path, victim: int) -> None:
    place = find_place(user=victim)
    with running(SQUAT, NOBODY, {"directory": str(place.directory)}):
        for outcome in run(HONEST_WAYS, victim, {}):
            assert outcome.startswith("BusError")
            assert f"(uid {NOBODY})" in outcome
            assert "`directory`" in outcome


@pytest.mark.parametrize("victim", [0, SITE])
def test_a_link_that_another_user_made_first_is_refused(base: Path, victim: int) -> None:
    place = find_place(user=victim)
    own = find_place(user=victim, directory=base / "own")
    prepare_folder(own)
    place.directory.symlink_to(own.directory)
    os.lchown(place.directory, NOBODY, NOBODY)
    for outcome in run(HONEST_WAYS, victim, {}):
        assert outcome.startswith("BusError")
        assert "`directory`" in outcome


def test_members_of_the_group_join_and_follow_each_other_as_hosts(base: Path) -> None:
    options = {"group": TEAM}
    # Two users, one with the group as a second and one as the first; neither in the database.
    member, colleague = (SITE, options, SITE, [TEAM]), (COLLEAGUE, options, TEAM, [])
    with running(HOST, *member) as host:
        assert run(JOIN, *colleague) == "welcome"
        assert run(JOIN, *member) == "welcome"
        assert welcome(find_place(group=TEAM)) == "welcome"
        host.kill()
        host.wait()
        with running(HOST, *colleague):
            assert run(JOIN, *member) == "welcome"
            assert welcome(find_place(group=TEAM)) == "welcome"


def test_who_is_not_in_the_group_stays_outside(base: Path) -> None:
    options = {"group": TEAM}
    place = find_place(group=TEAM)
    with running(HOST, SITE, options, groups=[TEAM]) as host:
        outcomes = run(INTRUDE, NOBODY, options)
        allowed = {what for what, how in outcomes.items() if not how.startswith("PermissionError")}
        assert allowed == set()
        for outcome in run(HONEST_WAYS, NOBODY, options):
            assert outcome.startswith("BusError")
            assert f"gid {TEAM}" in outcome
        loosen(place)
        assert run(RAW_JOIN, NOBODY, options) == ""
        assert f"(uid {NOBODY}) may not join" in line_of(host)
        assert run(RAW_JOIN, COLLEAGUE, options, gid=TEAM) == "welcome"


def test_who_is_not_in_the_group_cannot_make_its_folder(base: Path) -> None:
    _, prepared, _ = run(HONEST_WAYS, NOBODY, {"group": TEAM})
    assert prepared.startswith("BusError")
    assert "not permitted" in prepared
    assert list(base.iterdir()) == []


def test_a_group_s_folder_that_an_outsider_made_first_is_refused(base: Path) -> None:
    place = find_place(group=TEAM)
    with running(SQUAT, NOBODY, {"directory": str(place.directory)}):
        for outcome in run(HONEST_WAYS, SITE, {"group": TEAM}, gid=TEAM):
            assert outcome.startswith("BusError")
            assert f"(uid {NOBODY})" in outcome


def test_groups_of_a_peer_come_from_the_kernel(base: Path) -> None:
    place = find_place(directory=base / "x", group=TEAM)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(base / "s"))
        listener.listen()
        os.chmod(base / "s", 0o777)
        connect = f"socket.socket(socket.AF_UNIX).connect({str(base / 's')!r})\nprint(1)"
        run(connect, SITE, {}, groups=[TEAM, 7])
        sock, _ = listener.accept()
        with closing(sock):
            peer = peer_of(sock)
    assert (peer.uid, peer.gid, peer.groups) == (SITE, SITE, frozenset({TEAM, 7}))
    assert refuse_reason(place, peer) is None


def test_root_takes_no_folder_of_its_own_for_a_user_s_bus(base: Path) -> None:
    place = find_place(user=SITE)
    place.directory.mkdir(mode=0o700)
    with pytest.raises(BusError, match=r"\(uid 0\)"):
        connect_bus(place, SECONDS)
