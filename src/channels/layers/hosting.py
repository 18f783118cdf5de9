"""Processes that live long host what layers share on one machine.

The commands that serve (`channels serve`, `runserver`, `runworker`) say so with
`hosted_layers`; a supervisor does with `hosted_buses` what its workers ask it for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .settings import channel_layers

# What a supervisor waits for its bus: less than its worker waits for the supervisor.
HOST_SECONDS: Final = 3.0

Ask = Callable[[Mapping[str, Any]], None]


@contextmanager
def hosted_layers(ask: Ask | None = None) -> Iterator[None]:
    """Keep the project's local layers open, hosting their bus where nobody does.

    `ask`, of a supervised worker: has the supervisor host the bus with that mapping,
    and returns when it does.
    """
    layers = [channel_layers[alias] for alias in channel_layers.configs if _is_hosted(alias)]
    for layer in layers:
        layer.serve(ask)
    try:
        yield
    finally:
        for layer in layers:
            layer.leave()


def _is_hosted(alias: str) -> bool:
    """Whether a layer has a bus. Others are made when they are first asked for, as ever."""
    made = channel_layers.backends.get(alias)
    # The class is asked: see `method_of`.
    return hasattr(channel_layers.backend_class(alias) if made is None else type(made), "serve")


@contextmanager
def hosted_buses() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """For a supervisor: a function that hosts the bus a worker asks for, until the end.

    Another process may host it already: then the supervisor joins, and follows it.
    """
    from .local.node import Node
    from .local.place import BusPlace

    nodes: dict[Path, Node] = {}
    lock = threading.Lock()

    def host(details: Mapping[str, Any]) -> None:
        place = BusPlace.from_details(details)
        with lock:
            node = nodes.get(place.socket_path)
            if node is None:
                project = str(details.get("project", ""))
                node = nodes[place.socket_path] = Node(
                    place, may_host=lambda: True, project=project
                )
        ready = node.ready()
        try:
            if ready is not None:
                ready.result(HOST_SECONDS)
        except TimeoutError:
            raise node.unavailable() from None

    try:
        yield host
    finally:
        for node in nodes.values():
            node.close()
