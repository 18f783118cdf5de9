"""Projects of the kind people write see the same on ours and on upstream's package.

Each is an ordinary project, unchanged between the two. A server of each kind serves
it; what its visitors see (its `observe.py`) is compared with what is written there,
so that all agree. Where ours differs on purpose, `MENDED` says it, with the place in
docs/compatibility.md.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from project_process import (
    BOTH_RUNSERVERS,
    HALF_MOVED,
    OURS_UNDER_DAPHNE,
    SERVE,
    UPSTREAM,
    Project,
    Way,
    url_of,
)
from tests.channels.django_process import Running
from tests.redis_server import running_redis


class Case(NamedTuple):
    """A project, the layer it uses, and the ways in which it is served."""

    project: Project
    layer: str = "memory"
    ways: tuple[Way, ...] = (SERVE, UPSTREAM)
    # Management commands that run beside the server.
    beside: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return f"{self.project.folder}-{self.layer}"


ALL_SERVERS = (SERVE, OURS_UNDER_DAPHNE, UPSTREAM)
CHAT = Project("chat_tutorial", "salon")
LIBRARY = Project("rest_framework", "library")
ORCHARD = Project("graphql_strawberry", "orchard")
EXCHANGE = Project("multiplexed", "exchange")
MILL = Project("background", "mill")
NOTES = Project("notifications", "bulletin")
CASES = (
    Case(CHAT, ways=(*ALL_SERVERS, *BOTH_RUNSERVERS)),
    Case(CHAT, "redis", ALL_SERVERS),
    Case(NOTES, ways=ALL_SERVERS),
    Case(
        MILL,
        "redis",
        (SERVE, UPSTREAM, *HALF_MOVED),
        beside=(("runworker", "count-words", "reverse-words"),),
    ),
    Case(LIBRARY),
    Case(ORCHARD),
    Case(EXCHANGE),
)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


@pytest.fixture(scope="module")
def database_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Copies of a project's migrated database; migrating takes longer than copying."""
    made: dict[Project, Path] = {}

    def copy(project: Project, to: Path) -> str:
        if project not in made:
            made[project] = project.database(tmp_path_factory.mktemp(project.folder))
        return str(shutil.copy(made[project], to))

    return copy


def observations_of(project: Project) -> ModuleType:
    """The project's observe.py, which is no part of the project."""
    place = importlib.util.spec_from_file_location(
        f"observe_{project.folder}", project.path / "observe.py"
    )
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_visitors_of_a_project_see_the_same(
    case: Case, tmp_path: Path, redis_url: str, database_of: Any
) -> None:
    observations = observations_of(case.project)
    assert observations.EXPECTED
    with contextlib.ExitStack() as stack:
        servers = []
        for number, way in enumerate(case.ways):
            variables = {"DATABASE": database_of(case.project, tmp_path / f"{number}.sqlite3")}
            if case.layer == "redis":
                variables["REDIS_URL"] = f"{redis_url}?db={number}"
            servers.append(start(case, way, variables, stack))
        with ThreadPoolExecutor() as visits:
            seen = list(visits.map(lambda server: visit(observations, server), servers))
    for way, server, came in zip(case.ways, servers, seen, strict=True):
        assert came == expected(observations, way), f"{way}:\n{server.output}"


def start(case: Case, way: Way, variables: dict[str, str], stack: contextlib.ExitStack) -> Running:
    """Start a project's server, and what runs beside it, until the stack is closed."""
    project = case.project
    for command in case.beside:
        environment = way.elsewhere or way.environment
        stack.enter_context(project.running(environment, "manage.py", *command, **variables))
    command = way.command(project.site)
    return stack.enter_context(project.running(way.environment, *command, **variables))


def visit(observations: ModuleType, server: Running) -> Any:
    try:
        return observations.observe(url_of(server))
    except Exception as error:
        raise AssertionError(f"{server.process.args}: {error!r}\n{server.output}") from error


def expected(observations: ModuleType, way: Way) -> dict[str, Any]:
    mended = getattr(observations, "MENDED", {}) if way.environment == "ours" else {}
    return {**observations.EXPECTED, **mended.get(way.server, {})}


OWN_TESTS = ((NOTES, 10), (LIBRARY, 4), (ORCHARD, 5))


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["ours", "upstream"])
@pytest.mark.parametrize(
    ("project", "number"), OWN_TESTS, ids=["notifications", "rest_framework", "graphql_strawberry"]
)
def test_a_projects_own_tests_pass(project: Project, number: int, environment: str) -> None:
    tested = project.manage(environment, "test", "--shuffle")
    assert tested.returncode == 0, tested.stdout
    assert f"Ran {number} tests" in tested.stdout, tested.stdout
