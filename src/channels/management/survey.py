"""What can be known of a channel layer from outside, as plain values.

Our local layer asks every process of its bus. Of the in-memory layer there is this
process alone. A layer of another package is sent one message, and says no more.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from channels.layers import InMemoryChannelLayer, channel_layers
from channels.management.masking import masked

# What a layer gets to carry one message.
PING_SECONDS: Final = 5.0
# The first way is longer than the others; the middle one of several is told.
PINGS: Final = 3


def is_local(layer: Any) -> bool:
    """Whether a layer has a bus, and so can ask the other processes."""
    return hasattr(layer, "ping") and hasattr(layer, "report")


def configuration(alias: str, layer: Any) -> dict[str, Any]:
    """Return what the settings say of a layer, without secrets."""
    configured = channel_layers.configs.get(alias, {})
    kind = type(layer)
    backend = configured.get("BACKEND", f"{kind.__module__}.{kind.__qualname__}")
    found = {"alias": alias, "backend": backend, "options": masked(configured.get("CONFIG") or {})}
    if is_local(layer):
        found["bus"] = str(layer.place.socket_path)
    return found


async def ping(layer: Any) -> dict[str, Any]:
    """Return how long a word takes, in milliseconds; what the layer raises goes through."""
    way = layer.ping if is_local(layer) else lambda: _round_trip(layer)
    times = sorted([await way() for _ in range(PINGS)])
    return {"ping_ms": round(times[PINGS // 2] * 1000, 3)}


async def _round_trip(layer: Any) -> float:
    """Send a message to a channel of our own, and read it."""
    async with asyncio.timeout(PING_SECONDS):
        channel = await layer.new_channel()
        began = time.perf_counter()
        await layer.send(channel, {"type": "channels_layer.ping"})
        await layer.receive(channel)
    return time.perf_counter() - began


async def contents(layer: Any) -> dict[str, Any]:
    """Return the processes of a layer, their groups, and what was lost."""
    if is_local(layer):
        return _of_the_bus(layer, await layer.report())
    if isinstance(layer, InMemoryChannelLayer):
        return _whole([_this_process(layer)], {})
    statistics = _statistics_of(layer)
    return {"statistics": statistics} if statistics else {}


def _of_the_bus(layer: Any, reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    host = reports.get("", {})
    host_pid = host.get("pid")
    processes = [
        _process(seat, reports.get(node), host_pid, node)
        for node, seat in host.get("nodes", {}).items()
        if node != layer.node.id
    ]
    processes.sort(key=lambda process: (not process["hosting"], process["pid"]))
    return {"host_pid": host_pid, **_whole(processes, host)}


def _process(
    seat: Mapping[str, Any], report: Mapping[str, Any] | None, host_pid: int | None, node: str
) -> dict[str, Any]:
    """One process; without "statistics" if it has not answered."""
    process = {"pid": seat["pid"], "node": node}
    if report is None:
        # A supervisor has no layer that could answer.
        return {**process, "hosting": seat["pid"] == host_pid}
    return process | {name: report[name] for name in ("hosting", "statistics", "groups")}


def _whole(processes: list[dict[str, Any]], host: Mapping[str, Any]) -> dict[str, Any]:
    named = host.get("named", {})
    return {
        "processes": processes,
        "groups": _groups(processes, named),
        "named_members": named,
        "waiting": host.get("queues", {}),
        "expired": host.get("expired", 0),
    }


def _groups(
    processes: list[dict[str, Any]], named: Mapping[str, list[str]]
) -> dict[str, dict[str, int]]:
    """Members of each group over all processes, the largest first."""
    found: defaultdict[str, dict[str, int]] = defaultdict(lambda: {"members": 0, "processes": 0})
    for process in processes:
        for group, channels in process.get("groups", {}).items():
            found[group]["members"] += len(channels)
            found[group]["processes"] += 1
    for group, channels in named.items():
        found[group]["members"] += len(channels)
    return dict(sorted(found.items(), key=lambda item: (-item[1]["members"], item[0])))


def _this_process(layer: Any) -> dict[str, Any]:
    groups = {group: list(channels) for group, channels in layer.groups.items()}
    statistics = layer.statistics()
    return {"pid": os.getpid(), "hosting": False, "statistics": statistics, "groups": groups}


def _statistics_of(layer: Any) -> dict[str, Any]:
    told = layer.statistics() if callable(getattr(layer, "statistics", None)) else {}
    return dict(told) if isinstance(told, Mapping) else {}
