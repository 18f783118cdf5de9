"""The same application, observed by the same clients, under every ASGI server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from tests.compat import server_handshakes, server_requests, server_sockets
from tests.compat.servers import COMMANDS, Site, make_database, serving

pytestmark = pytest.mark.slow

ROWS = {**server_requests.row, **server_sockets.row, **server_handshakes.row}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    folder = tmp_path_factory.mktemp("servers")
    environment = make_database(folder)
    with contextlib.ExitStack() as running:
        found = {
            server: running.enter_context(serving(server, folder, environment))
            for server in COMMANDS
        }
        for site in found.values():
            site.wait_ready()
        yield found


@pytest.mark.parametrize("server", COMMANDS)
@pytest.mark.parametrize("name", ROWS)
def test_clients_and_consumers_observe_the_same_everywhere(
    sites: dict[str, Site], name: str, server: str
) -> None:
    what = ROWS[name]
    assert set(what.elsewhere) <= set(COMMANDS)
    expected = what.elsewhere.get(server, what).seen
    assert what.observe(sites[server]) == expected
