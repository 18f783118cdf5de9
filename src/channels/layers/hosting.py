"""Processes that live long host what layers share on one machine.

The commands that serve (`channels serve`, `runserver`, `runworker`) say so with
`hosted_layers`; a supervisor does with `host_bus` what its workers ask it for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Ask = Callable[[Mapping[str, Any]], None]


@contextmanager
def hosted_layers(ask: Ask | None = None) -> Iterator[None]:
    """Keep the project's local layers open, hosting their bus where nobody does.

    `ask`, of a supervised worker: has the supervisor call `host_bus` with the same
    mapping, and returns when it has.
    """
    yield


@contextmanager
def hosted_buses() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """For a supervisor: a function that hosts the bus a worker asks for, until the end."""
    yield lambda place: None
