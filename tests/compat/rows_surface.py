"""Every public name of the package: that it is there, what it is, which calls it allows, its bases.

Ours may allow more calls, none less. The rows are made of the lines of surface.txt.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.compat.behaviours import Rows, set_up_django
from tests.compat.surface import found, seen_as

set_up_django()

row = Rows()

LINES: Final = [
    tuple(line.split("  ", 1))
    for line in Path(__file__).with_name("surface.txt").read_text().splitlines()
    if not line.startswith("#")
]
NAMES: Final = {dotted: says for dotted, says in LINES if not says.startswith("<")}
BASES: Final = {
    dotted: sorted(says.removeprefix("< ").split(", "))
    for dotted, says in LINES
    if says.startswith("<")
}
KNOWN_BASES: Final = sorted({base for bases in BASES.values() for base in bases} - {"object"})

# Where ours is something else on purpose, or not there yet.
HEADS: Final = "= ['http.response.start', 'websocket.accept', 'websocket.http.response.start']"
OURS: Final = {
    "channels.sessions.InstanceSessionWrapper.save_message_types": HEADS,
    "channels.sessions.InstanceSessionWrapper.cookie_response_message_types": HEADS,
}
OUR_APP: Final = {"label": "channels", "models": [], "checks": True}
OUR_BASES: Final = {"channels.worker.Worker": ["object"]}


def add(name: str, observe: Callable[[], Any], upstream: Any, ours: Any) -> None:
    observe.__name__ = name.replace(".", "_")
    row(upstream=upstream, ours=ours)(observe)


def add_name(dotted: str, stated: str) -> None:
    add(dotted, lambda: seen_as(dotted, stated), stated, OURS.get(dotted, stated))


def bases_of(dotted: str) -> list[str]:
    """Which of the known classes it is a subclass of."""
    known = [base for base in KNOWN_BASES if base != dotted]
    return [base for base in known if issubclass(found(dotted), found(base))] or ["object"]


def add_bases(dotted: str, bases: list[str]) -> None:
    add(f"bases_of_{dotted}", lambda: bases_of(dotted), bases, OUR_BASES.get(dotted, bases))


for _dotted, _stated in NAMES.items():
    add_name(_dotted, _stated)
for _dotted, _bases in BASES.items():
    add_bases(_dotted, _bases)


@row(upstream="4.3.2", ours="4.9.0")
def the_version() -> Any:
    import channels

    return channels.__version__


@row(upstream="at least 4.3, below 5")
def the_version_as_packages_read_it() -> Any:
    import channels

    major, minor, *_ = map(int, channels.__version__.split("."))
    return "at least 4.3, below 5" if (4, 3) <= (major, minor) < (5, 0) else channels.__version__


@row(
    upstream={
        "host": "localhost",
        "serve_static": True,
        "static_wrapper": "ASGIStaticFilesHandler",
        "live_server_url": "http://localhost:8123",
        "live_server_ws_url": "ws://localhost:8123",
    }
)
def the_test_case_with_a_live_server() -> Any:
    from channels.testing import ChannelsLiveServerTestCase

    class Case(ChannelsLiveServerTestCase):  # type: ignore[misc]
        _port = 8123

    case = Case()
    return {
        "host": case.host,
        "serve_static": case.serve_static,
        "static_wrapper": Case.static_wrapper.__name__,
        "live_server_url": case.live_server_url,
        "live_server_ws_url": case.live_server_ws_url,
    }


@row(upstream="property", ours="http://localhost:8123")
def the_url_of_a_live_server_for_the_class() -> Any:
    from channels.testing import ChannelsLiveServerTestCase

    class Case(ChannelsLiveServerTestCase):  # type: ignore[misc]
        _port = 8123

    url = Case.live_server_url
    return url if isinstance(url, str) else type(url).__name__


@row(upstream="DaphneProcess", ours=None)
def what_runs_a_live_server() -> Any:
    from channels.testing import ChannelsLiveServerTestCase

    process = ChannelsLiveServerTestCase.ProtocolServerProcess
    return process and process.__name__


@row(upstream=True, ours=False)
def the_tools_for_tests_need_daphne() -> Any:
    import sys

    import channels.testing

    assert channels.testing.WebsocketCommunicator
    return "daphne" in sys.modules


@row(upstream=["runworker"], ours=["channels_layer", "runserver", "runworker"])
def the_commands_of_the_app() -> Any:
    from django.apps import apps
    from django.core.management import find_commands

    return sorted(find_commands(apps.get_app_config("channels").path + "/management"))


@row(upstream={"label": "channels", "models": [], "checks": False}, ours=OUR_APP)
def the_app() -> Any:
    from django.apps import apps
    from django.core.checks.registry import registry

    config = apps.get_app_config("channels")
    checks = (check.__module__ for check in registry.registered_checks)
    return {
        "label": config.label,
        "models": list(config.get_models()),
        "checks": any(module.startswith("channels.") for module in checks),
    }
