"""channels_redis under our consumers: several processes, two kinds of server, an outage."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.servers import Site, make_database, serving
from tests.redis_server import RedisServer, running_redis
from tests.waiting import BETWEEN_TRIES, let_pass, wait_until
from websockets.sync.client import ClientConnection

pytestmark = pytest.mark.slow

BACKENDS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}
# Two processes each: of one server with workers, or a server each.
SERVERS = ("ours", "daphne")
RECEIVE_SECONDS = 10.0
OUTAGE_SECONDS = 1.5


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_database(tmp_path_factory.mktemp("database"))


@contextlib.contextmanager
def two_processes(
    server: str,
    backend: str,
    redis: RedisServer,
    folder: Path,
    environment: dict[str, str],
    installed: str = "",
) -> Iterator[list[Site]]:
    config = {"hosts": [redis.host], "prefix": f"{server}{backend}{installed}"}
    layer = {"BACKEND": BACKENDS[backend], "CONFIG": config}
    environment = {
        **environment,
        "SERVER_APP_LAYER": json.dumps(layer),
        "SERVER_APP_INSTALLED": installed,
    }
    with contextlib.ExitStack() as running:
        if server == "ours":
            sites = [running.enter_context(serving(server, folder, environment, "--workers", "2"))]
        else:
            sites = [
                running.enter_context(serving(server, folder / name, environment))
                for name in ("one", "two")
            ]
        for site in sites:
            site.wait_ready()
        yield sites


@contextlib.contextmanager
def members_in_both(sites: list[Site], room: str) -> Iterator[list[ClientConnection]]:
    """One member of a group in each of the two processes."""
    turns = itertools.cycle(sites)
    with contextlib.ExitStack() as opened:
        members: dict[int, ClientConnection] = {}

        def join() -> bool:
            client = opened.enter_context(next(turns).websocket(f"/rooms/{room}/"))
            client.send('"process"')
            process = json.loads(client.recv(RECEIVE_SECONDS))
            if members.setdefault(process, client) is not client:
                client.close()
            return len(members) == 2

        # The second worker may still be starting when the first one serves.
        wait_until(join, "both processes serve", between=BETWEEN_TRIES)
        yield list(members.values())


def assert_messages_cross(sites: list[Site], members: list[ClientConnection], room: str) -> None:
    for member in members:
        member.send('{"type": "room.message", "said": "hello"}')
        for hearer in members:
            assert json.loads(hearer.recv(RECEIVE_SECONDS)) == ["hello", "to each"]
    for site in sites:
        assert site.get(f"/say/{room}/news/").status == 200
        for hearer in members:
            assert json.loads(hearer.recv(RECEIVE_SECONDS)) == ["news", "to each"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("server", SERVERS)
def test_group_messages_cross_between_processes_and_survive_an_outage(
    server: str, backend: str, redis: RedisServer, folder: Path, database: dict[str, str]
) -> None:
    with (
        two_processes(server, backend, redis, folder, database) as sites,
        members_in_both(sites, "lobby") as members,
    ):
        assert_messages_cross(sites, members, "lobby")
        redis.stop()
        try:
            let_pass(OUTAGE_SECONDS, "the layers find nobody")
            assert_alive(sites, members)
        finally:
            redis.start()
        wait_until(lambda: all_hear(sites[0], members), "messages flow again")
        assert_alive(sites, members)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_makes_no_difference_whether_channels_redis_is_installed_as_an_app(
    backend: str, redis: RedisServer, folder: Path, database: dict[str, str]
) -> None:
    with (
        two_processes("ours", backend, redis, folder, database, "channels_redis") as sites,
        members_in_both(sites, "lobby") as members,
    ):
        assert_messages_cross(sites, members, "lobby")


def assert_alive(sites: list[Site], members: list[ClientConnection]) -> None:
    """Each socket answers, and so does HTTP. What was said meanwhile is read past."""
    for member in members:
        member.send('"process"')
        while not isinstance(json.loads(member.recv(RECEIVE_SECONDS)), int):
            pass
    for site in sites:
        assert site.get("/sync/").status == 200


def all_hear(site: Site, members: list[ClientConnection]) -> bool:
    # During an outage a view that sends fails, as any does whose engine is gone.
    if site.get("/say/lobby/again/").status != 200:
        return False
    with contextlib.suppress(TimeoutError):
        return all(json.loads(member.recv(1)) == ["again", "to each"] for member in members)
    return False
