"""The place of a bus, as its own user finds it; others: test_local_second_user.py."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from channels.exceptions import InvalidChannelLayerError
from channels.layers.local.place import (
    BusError,
    BusPlace,
    BusTimeout,
    Lock,
    Peer,
    bind_bus,
    connect_bus,
    find_place,
    may_host,
    peer_of,
    prepare_folder,
    refuse_reason,
    try_lock,
    unbind_bus,
)
from channels.layers.local.place.bus_place import SOCKET_PATH_BYTES

SECONDS = 5.0
# An id that no user and no group has, in containers and elsewhere.
STRANGER = 2_000_000_011
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

HOST = """
import json, os, sys
from channels.layers.local import place as bus
place = bus.BusPlace.from_details(json.loads(sys.argv[1]))
bus.prepare_folder(place)
lock = bus.try_lock(place)
listener = bus.bind_bus(place, lock)
if len(sys.argv) > 2 and os.fork() == 0:
    if sys.argv[2] == "considerate":
        listener.close()
        lock.close_in_child()
    print("child", lock.is_held, flush=True)
    sys.stdin.read()
    os._exit(0)
if len(sys.argv) == 2:
    print("host", lock.is_held, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a short path: pytest's own may leave no room for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="bus-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(base: Path) -> BusPlace:
    return find_place(directory=base / "bus")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def host_process(place: BusPlace, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that hosts, once it said so; its end is the end of its stdin."""
    command = [sys.executable, "-c", HOST, json.dumps(place.details()), *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wait_for_all(process: subprocess.Popen[str]) -> None:
    """Let the process and the children that have its pipes come to their end."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.read()


@contextmanager
def hosted(place: BusPlace) -> Iterator[tuple[socket.socket, Lock]]:
    prepare_folder(place)
    lock = taken(place)
    sock = bind_bus(place, lock)
    try:
        yield sock, lock
    finally:
        unbind_bus(place, sock, lock)


def taken(place: BusPlace) -> Lock:
    lock = try_lock(place)
    assert lock is not None
    return lock


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(BusError) as caught:
        call()
    assert type(caught.value) is BusError
    return str(caught.value)


# -- What the options mean


def test_the_default_place_is_in_the_folder_for_temporary_files(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    own, other, shared = find_place(), find_place(user=STRANGER), find_place(group=STRANGER)
    assert own.socket_path == base / f"channels-{os.geteuid()}" / "default.sock"
    assert own.lock_path == base / f"channels-{os.geteuid()}" / "default.lock"
    assert other.directory == base / f"channels-{STRANGER}"
    assert shared.directory == base / f"channels-g{STRANGER}"
    assert list(base.iterdir()) == []


def test_a_name_gives_each_of_several_buses_its_own_files(base: Path) -> None:
    live, staging = (find_place(name, base) for name in ("live", "staging"))
    assert live.socket_path != staging.socket_path
    assert live.lock_path != staging.lock_path


@pytest.mark.parametrize("name", ["default", "a", "-", "_x.Y-9", "2"])
def test_names_of_letters_digits_and_three_marks_are_taken(base: Path, name: str) -> None:
    assert find_place(name, base).name == name


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "../a", "ä", "a b", "a\n", "a\0", 5])
def test_other_names_are_refused_with_the_option_s_name(base: Path, name: str) -> None:
    with pytest.raises(InvalidChannelLayerError, match="Option `name`.*This one is"):
        find_place(name, base)


@pytest.mark.parametrize("directory", ["", "run", "./run", "~/run", "/a\0b", 5, True])
def test_a_directory_is_an_absolute_path(directory: str) -> None:
    with pytest.raises(InvalidChannelLayerError, match="Option `directory`.*absolute path"):
        find_place(directory=directory)


def test_users_and_groups_are_names_or_numbers(base: Path) -> None:
    import grp
    import pwd

    user, group = pwd.getpwall()[0], grp.getgrall()[0]
    by_name = find_place(directory=base, user=user.pw_name, group=group.gr_name)
    by_text = find_place(directory=base, user=str(user.pw_uid), group=str(group.gr_gid))
    by_number = find_place(directory=base, user=user.pw_uid, group=group.gr_gid)
    assert by_name == by_text == by_number == BusPlace(base, "default", user.pw_uid, group.gr_gid)


@pytest.mark.parametrize("option", ["user", "group"])
@pytest.mark.parametrize("value", ["no-such-one", "", "-1", "a\0b", -1, 2**32 - 1, True, 1.0])
def test_an_unknown_user_or_group_is_refused_with_the_option_s_name(
    base: Path, option: str, value: str
) -> None:
    with pytest.raises(InvalidChannelLayerError, match=f"Option `{option}`.* names no {option}"):
        find_place(directory=base, **{option: value})


def test_the_longest_path_that_is_allowed_works(base: Path) -> None:
    room = SOCKET_PATH_BYTES - len(os.fsencode(base)) - len("/bus/.sock")
    place = find_place("n" * room, base / "bus")
    with hosted(place), closing(joined(place)):
        pass
    with pytest.raises(InvalidChannelLayerError) as caught:
        find_place("n" * (room + 1), base / "bus")
    text = str(caught.value)
    assert f"has {SOCKET_PATH_BYTES + 1} bytes" in text
    assert f"allows {SOCKET_PATH_BYTES}" in text
    assert "`directory`" in text


def test_a_path_is_measured_in_bytes() -> None:
    with pytest.raises(InvalidChannelLayerError, match="this platform allows"):
        find_place(directory="/" + "ä" * 50)


def test_without_a_folder_for_temporary_files_the_option_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_usable() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none_usable)
    with pytest.raises(InvalidChannelLayerError, match="`directory`"):
        find_place()


def test_a_place_goes_to_another_process_and_back(base: Path) -> None:
    for place in (find_place("x", base), find_place("x", base, user=1, group=2)):
        details = json.loads(json.dumps(place.details()))
        assert BusPlace.from_details(details) == place
        assert BusPlace(**details) == place


def test_what_another_process_sends_is_checked_too(base: Path) -> None:
    details = find_place("x", base).details()
    with pytest.raises(InvalidChannelLayerError, match="`name`"):
        BusPlace.from_details(details | {"name": "../x"})
    with pytest.raises(InvalidChannelLayerError, match="`directory`"):
        BusPlace.from_details(details | {"directory": "x"})


# -- The folder


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o177, 0o777])
def test_modes_are_narrow_whatever_the_umask(place: BusPlace, mask: int) -> None:
    with umask(mask), hosted(place):
        assert mode_of(place.directory) == 0o700
        assert mode_of(place.socket_path) == 0o600
        assert mode_of(place.lock_path) == 0o600


@pytest.mark.parametrize("mask", [0, 0o022, 0o077, 0o777])
def test_with_a_group_modes_let_it_in_whatever_the_umask(base: Path, mask: int) -> None:
    group = STRANGER if os.geteuid() == 0 else os.getegid()
    place = find_place(directory=base / "bus", group=group)
    with umask(mask), hosted(place):
        assert mode_of(place.directory) == 0o2770
        assert mode_of(place.socket_path) == 0o660
        assert mode_of(place.lock_path) == 0o660
        for path in (place.directory, place.socket_path, place.lock_path):
            assert path.lstat().st_gid == group


def test_a_folder_is_made_once_and_found_again(place: BusPlace) -> None:
    prepare_folder(place)
    before = place.directory.stat().st_ino
    prepare_folder(place)
    assert place.directory.stat().st_ino == before


def test_processes_that_start_at_once_never_see_a_folder_half_made(base: Path) -> None:
    place = find_place(directory=base / "bus", group=os.getegid())
    start, locks, errors = threading.Barrier(12), [], []

    def begin() -> None:
        start.wait()
        try:
            prepare_folder(place)
            locks.append(try_lock(place))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=begin) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [path.name for path in base.iterdir()] == ["bus"]
    assert [path.name for path in place.directory.iterdir()] == ["default.lock"]
    (lock,) = filter(None, locks)
    lock.release()


def test_a_folder_needs_its_parent(base: Path) -> None:
    text = refused(lambda: prepare_folder(find_place(directory=base / "no" / "bus")))
    assert "No such file" in text
    assert "`directory`" in text
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o750, 0o701, 0o710, 0o1777])
def test_a_folder_open_to_others_is_refused(place: BusPlace, mode: int) -> None:
    prepare_folder(place)
    place.directory.chmod(mode)
    for use in (prepare_folder, try_lock, lambda place: connect_bus(place, SECONDS)):
        text = refused(lambda use=use: use(place))
        assert f"mode {mode:04o}" in text
        assert f"chmod 0700 {place.directory}" in text
    assert mode_of(place.directory) == mode


def test_a_private_folder_may_have_inherited_setgid(base: Path) -> None:
    base.chmod(0o2700)
    place = find_place(directory=base / "bus")
    (base / "bus").mkdir(mode=0o700)
    with hosted(place), closing(joined(place)):
        pass


@root_only
def test_a_folder_of_another_owner_is_refused(place: BusPlace) -> None:
    prepare_folder(place)
    os.chown(place.directory, STRANGER, -1)
    for use in (prepare_folder, try_lock, lambda place: connect_bus(place, SECONDS)):
        text = refused(lambda use=use: use(place))
        assert f"belongs to uid {STRANGER}" in text
        assert "`directory`" in text


def test_a_symbolic_link_in_place_of_the_folder_is_refused(base: Path) -> None:
    real = find_place(directory=base / "real")
    with hosted(real):
        (base / "link").symlink_to("real")
        linked = find_place(directory=base / "link")
        for use in (prepare_folder, try_lock, lambda place: connect_bus(place, SECONDS)):
            text = refused(lambda use=use: use(linked))
            assert "symbolic link" in text
            assert "`directory`" in text


def test_a_file_in_place_of_the_folder_is_refused(place: BusPlace) -> None:
    place.directory.touch()
    assert "no folder" in refused(lambda: prepare_folder(place))


def test_links_further_up_are_the_system_s_own(base: Path) -> None:
    (base / "real").mkdir()
    (base / "link").symlink_to("real")
    place = find_place(directory=base / "link" / "bus")
    with hosted(place), closing(joined(place)):
        pass


@root_only
def test_root_makes_the_folder_of_another_user(base: Path) -> None:
    place = find_place(directory=base / "bus", user=STRANGER)
    prepare_folder(place)
    assert place.directory.stat().st_uid == STRANGER
    assert place.lock_path.stat().st_uid == STRANGER
    assert mode_of(place.directory) == 0o700
    prepare_folder(place)


@root_only
@pytest.mark.parametrize("change", ["group", "mode", "owner"])
def test_a_folder_that_a_group_shares_is_that_group_s(base: Path, change: str) -> None:
    place = find_place(directory=base / "bus", group=STRANGER)
    prepare_folder(place)
    if change == "group":
        os.chown(place.directory, -1, STRANGER + 1)
        place.directory.chmod(0o2770)
        assert f"chgrp {STRANGER}" in refused(lambda: prepare_folder(place))
    elif change == "mode":
        place.directory.chmod(0o2775)
        assert "chmod 2770" in refused(lambda: prepare_folder(place))
    else:
        os.chown(place.directory, 65534, -1)  # A user of the database, and not in the group.
        place.directory.chmod(0o2770)
        assert "(uid 65534)" in refused(lambda: prepare_folder(place))


# -- The lock


def test_a_lock_needs_a_folder(place: BusPlace) -> None:
    assert "prepare it first" in refused(lambda: try_lock(place))


def test_only_one_has_the_lock_and_says_its_number(place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    assert lock.is_held
    assert lock.fileno() >= 0
    assert try_lock(place) is None
    assert place.lock_path.read_text() == f"{os.getpid()}\n"
    lock.release()
    assert not lock.is_held
    assert lock.fileno() == -1
    taken(place).release()
    lock.release()


def test_locks_of_two_names_do_not_meet(base: Path) -> None:
    places = [find_place(name, base / "bus") for name in ("live", "staging")]
    prepare_folder(places[0])
    for lock in [taken(place) for place in places]:
        lock.release()


def test_the_lock_goes_on_when_its_holder_is_killed(place: BusPlace) -> None:
    with host_process(place) as process:
        assert said(process) == "host True"
        assert try_lock(place) is None
        assert place.lock_path.read_text() == f"{process.pid}\n"
        process.kill()
        process.wait()
        taken(place).release()


def test_a_forked_child_keeps_the_lock_of_its_killed_parent(place: BusPlace) -> None:
    # That is how flock works, and why whoever forks must call close_in_child.
    with host_process(place, "inconsiderate") as process:
        assert said(process) == "child False"
        process.kill()
        process.wait()
        assert try_lock(place) is None
        wait_for_all(process)
        taken(place).release()


def test_a_forked_child_that_closes_the_lock_keeps_nobody_from_hosting(place: BusPlace) -> None:
    with host_process(place, "considerate") as process:
        assert said(process) == "child False"
        assert try_lock(place) is None
        process.kill()
        process.wait()
        assert connect_bus(place, SECONDS) is None
        taken(place).release()
        wait_for_all(process)


def test_a_release_counts_even_where_a_copy_stays_open(place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    copy = os.dup(lock.fileno())
    lock.release()
    taken(place).release()
    os.close(copy)


def test_a_program_that_the_host_starts_gets_no_copy(place: BusPlace) -> None:
    with hosted(place) as (sock, lock):
        for descriptor in (sock.fileno(), lock.fileno(), lock.folder):
            assert not os.get_inheritable(descriptor)


def test_a_lock_whose_file_was_removed_is_no_longer_in_place(place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    assert lock.is_in_place()
    place.lock_path.unlink()
    assert not lock.is_in_place()
    successor = taken(place)
    assert successor.is_in_place()
    assert not lock.is_in_place()
    successor.release()
    lock.release()
    assert not lock.is_in_place()


def test_a_lock_file_removed_in_the_worst_moment_is_locked_anew(
    place: BusPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals = iter([True])

    def flock(descriptor: int, operation: int) -> None:
        if next(removals, False):
            place.lock_path.unlink()
        real(descriptor, operation)

    real = fcntl.flock
    prepare_folder(place)
    monkeypatch.setattr(fcntl, "flock", flock)
    lock = taken(place)
    assert lock.is_in_place()
    assert try_lock(place) is None
    lock.release()


def test_a_link_in_place_of_the_lock_file_is_refused(base: Path, place: BusPlace) -> None:
    prepare_folder(place)
    target = base / "precious"
    target.write_text("precious")
    place.lock_path.unlink()
    place.lock_path.symlink_to(target)
    assert "symbolic link" in refused(lambda: try_lock(place))
    place.lock_path.unlink()
    place.lock_path.hardlink_to(target)
    taken(place).release()
    assert target.read_text() == "precious"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_lock_file_is_a_plain_file(place: BusPlace, make: Callable[[Path], None]) -> None:
    prepare_folder(place)
    place.lock_path.unlink()
    make(place.lock_path)
    assert str(place.lock_path) in refused(lambda: try_lock(place))


def test_cleaners_of_temporary_files_find_the_folder_of_a_host_locked(place: BusPlace) -> None:
    # systemd-tmpfiles tries this lock, and leaves alone what it does not get.
    with hosted(place):
        assert not lockable(place.directory)
        with hosted(find_place("second", place.directory)):
            pass
        assert not lockable(place.directory)
    assert lockable(place.directory)


def lockable(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


# -- The socket


def joined(place: BusPlace) -> socket.socket:
    sock = connect_bus(place, SECONDS)
    assert sock is not None
    return sock


def test_two_processes_meet_and_know_each_other(place: BusPlace) -> None:
    with hosted(place) as (listener, _), closing(joined(place)) as client:
        server, _ = listener.accept()
        with closing(server):
            myself = Peer(os.getpid(), os.geteuid(), os.getegid(), frozenset(os.getgroups()))
            assert peer_of(server) == peer_of(client) == myself
            assert refuse_reason(place, peer_of(server)) is None
            assert not listener.getblocking()
            assert not client.getblocking()
            server.sendall(b"welcome")
            client.setblocking(True)
            assert client.recv(7) == b"welcome"


def test_the_peer_is_the_process_that_hosts(place: BusPlace) -> None:
    with host_process(place) as process:
        assert said(process) == "host True"
        with closing(joined(place)) as client:
            assert peer_of(client).pid == process.pid


def test_where_nobody_ever_hosted_nothing_is_found_or_made(place: BusPlace) -> None:
    assert connect_bus(place, SECONDS) is None
    assert not place.directory.exists()
    prepare_folder(place)
    assert connect_bus(place, SECONDS) is None


def test_a_host_that_stopped_leaves_no_socket(place: BusPlace) -> None:
    with hosted(place):
        pass
    assert connect_bus(place, SECONDS) is None
    assert [path.name for path in place.directory.iterdir()] == ["default.lock"]


def test_the_socket_of_a_killed_host_is_stale_and_replaced(place: BusPlace) -> None:
    with host_process(place) as process:
        assert said(process) == "host True"
        process.kill()
        process.wait()
    assert place.socket_path.is_socket()
    assert connect_bus(place, SECONDS) is None
    with hosted(place), closing(joined(place)) as client:
        assert peer_of(client).pid == os.getpid()


def test_only_who_has_the_lock_may_bind(place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    lock.release()
    assert "may host" in refused(lambda: bind_bus(place, lock))


def test_unbind_leaves_the_socket_of_a_successor(place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    sock = bind_bus(place, lock)
    place.socket_path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as successor:
        successor.bind(str(place.socket_path))
        unbind_bus(place, sock, lock)
        assert place.socket_path.is_socket()
    assert not lock.is_held


def test_unbind_does_not_mind_that_the_socket_is_gone(place: BusPlace) -> None:
    with hosted(place):
        place.socket_path.unlink()
    with hosted(place):
        shutil.rmtree(place.directory)


def test_a_symbolic_link_in_place_of_the_socket_is_refused(base: Path, place: BusPlace) -> None:
    other = find_place(directory=base / "other")
    prepare_folder(place)
    with hosted(other):
        place.socket_path.symlink_to(other.socket_path)
        assert "symbolic link" in refused(lambda: connect_bus(place, SECONDS))
        lock = taken(place)
        assert "symbolic link" in refused(lambda: bind_bus(place, lock))
        lock.release()
        assert other.socket_path.is_socket()


def test_a_file_in_place_of_the_socket_is_refused_and_kept(place: BusPlace) -> None:
    prepare_folder(place)
    place.socket_path.write_text("precious")
    assert "not a socket" in refused(lambda: connect_bus(place, SECONDS))
    lock = taken(place)
    assert "not a socket" in refused(lambda: bind_bus(place, lock))
    lock.release()
    assert place.socket_path.read_text() == "precious"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse at a full backlog")
def test_a_host_that_takes_no_connections_is_waited_for_in_time_only(place: BusPlace) -> None:
    waiting: list[socket.socket | None] = []
    with hosted(place):
        with pytest.raises(BusTimeout):
            waiting.extend(connect_bus(place, 0.01) for _ in range(1000))
        begun = time.monotonic()
        with pytest.raises(BusTimeout, match=r"within 0\.05 s") as caught:
            connect_bus(place, 0.05)
        assert time.monotonic() - begun >= 0.05
        for sock in filter(None, waiting):
            sock.close()
    assert len(waiting) >= 128
    assert str(place.lock_path) in str(caught.value)


def test_a_folder_moved_away_after_the_lock_is_noticed(base: Path, place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    place.directory.rename(base / "away")
    place.directory.mkdir(mode=0o700)
    assert str(place.socket_path) in refused(lambda: bind_bus(place, lock))
    lock.release()


def test_a_failed_bind_closes_its_socket(place: BusPlace) -> None:
    prepare_folder(place)
    lock = taken(place)
    before = len(os.listdir("/dev/fd"))
    shutil.rmtree(place.directory)
    refused(lambda: bind_bus(place, lock))
    assert len(os.listdir("/dev/fd")) == before
    lock.release()


def test_nothing_stays_open(place: BusPlace) -> None:
    with hosted(place), closing(joined(place)):
        pass
    before = len(os.listdir("/dev/fd"))
    with hosted(place), closing(joined(place)):
        assert try_lock(place) is None
    assert connect_bus(place, SECONDS) is None
    assert len(os.listdir("/dev/fd")) == before


# -- Who may


def test_the_owner_s_processes_and_root_s_may_join(base: Path) -> None:
    place = find_place(directory=base, user=STRANGER)
    assert refuse_reason(place, Peer(1, STRANGER, 5)) is None
    assert refuse_reason(place, Peer(1, 0, 0)) is None
    reason = refuse_reason(place, Peer(77, STRANGER + 1, 5, frozenset({STRANGER})))
    assert reason is not None
    assert f"Process 77 of uid {STRANGER + 1} may not join" in reason
    assert str(place.socket_path) in reason
    assert "`group`" in reason


def test_members_of_the_group_may_join(base: Path) -> None:
    place = find_place(directory=base, user=STRANGER, group=STRANGER)
    assert refuse_reason(place, Peer(1, 7, STRANGER)) is None
    assert refuse_reason(place, Peer(1, STRANGER + 1, 5, frozenset({4, STRANGER}))) is None
    reason = refuse_reason(place, Peer(1, STRANGER + 1, 5, frozenset({4})))
    assert reason is not None
    assert f"members of the group gid {STRANGER}" in reason


def test_members_are_looked_up_where_the_kernel_does_not_tell(base: Path) -> None:
    import pwd

    account = next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)
    place = find_place(directory=base, user=STRANGER, group=account.pw_gid)
    assert refuse_reason(place, Peer(1, account.pw_uid, STRANGER)) is None


def test_the_own_user_may_host(place: BusPlace) -> None:
    assert may_host(place) is None


def test_another_user_may_not_host(base: Path) -> None:
    reason = may_host(find_place(directory=base, user=STRANGER))
    assert reason is not None
    assert f"uid {STRANGER}" in reason


def test_root_hosts_for_root_alone(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert may_host(find_place(directory=base)) is None
    assert may_host(find_place(directory=base, group=STRANGER)) is None
    reason = may_host(find_place(directory=base, user=STRANGER, group=0))
    assert reason is not None
    assert "runs as root, which does not host" in reason


def test_a_platform_without_credentials_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    one, other = socket.socketpair()
    with closing(one), closing(other):
        assert "plan9" in refused(lambda: peer_of(one))
