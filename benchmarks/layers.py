"""The channel layers under test: what the settings say of each, and what it needs beside it.

Two processes that share a layer have something between them, its *broker*: a
redis-server that is started here, on a Unix socket of its own, or the process
that hosts our bus. Its CPU time is reported apart.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .environments import ROOT, prepare_environment
from .processes import started, wait_until
from .workloads import Case

Kind = Literal["memory", "local", "redis core", "redis pub/sub"]
# How members get their messages: as consumers of this package do, or by the
# method that every layer has.
Reading = Literal["mailbox", "receive"]

START_TIMEOUT = 10.0
_REDIS = {
    "redis core": "channels_redis.core.RedisChannelLayer",
    "redis pub/sub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


def needs_redis(kind: Kind) -> bool:
    return kind in _REDIS


def has_redis() -> bool:
    return shutil.which("redis-server") is not None


def configuration(kind: Kind, folder: str, **more: Any) -> dict[str, Any]:
    """Make the setting CHANNEL_LAYERS; `folder` is private to one sample."""
    if kind == "memory":
        layer: dict[str, Any] = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    elif kind == "local":
        layer = {
            "BACKEND": "channels.layers.local.LocalChannelLayer",
            "CONFIG": {"name": f"bench-{os.getpid()}", "directory": folder, **more},
        }
    else:
        layer = {"BACKEND": _REDIS[kind], "CONFIG": {"hosts": [f"unix://{folder}/redis.sock"]}}
    return {"default": layer}


@dataclass(frozen=True)
class Place:
    """Where one sample's processes meet, and the ids of the brokers."""

    kind: Kind
    folder: str
    brokers: tuple[int, ...] = ()

    def environment(self, **more: Any) -> dict[str, str]:
        """Make the environment of one process; `more` goes to its layer's CONFIG."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
            "BENCHMARK_CHANNEL_LAYERS": json.dumps(configuration(self.kind, self.folder, **more)),
        }


@contextmanager
def prepared(kind: Kind, cores: str | None = None) -> Iterator[Place]:
    """Start what a layer of this kind needs, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if not needs_redis(kind):
            yield Place(kind, folder)
            return
        with _redis_server(Path(folder), cores) as broker:
            yield Place(kind, folder, (broker.pid,))


@contextmanager
def _redis_server(folder: Path, cores: str | None) -> Iterator[subprocess.Popen[bytes]]:
    socket = folder / "redis.sock"
    # No port, nothing written to disk: it only passes messages on.
    words = f"redis-server --port 0 --unixsocket {socket} --unixsocketperm 700 --dir {folder}"
    command = [*words.split(), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
    if cores is not None:
        command = ["taskset", "-c", cores, *command]
    with started(command, dict(os.environ)) as (process, log):
        wait_until(socket.exists, process, log, START_TIMEOUT, "did not open its socket")
        yield process


@dataclass(frozen=True)
class Layer:
    """A layer without sockets (W6): the row of a table."""

    name: str
    environment: str | None
    kind: Kind
    reading: Reading = "receive"
    quick: bool = True
    baseline: str | None = None

    @property
    def is_peer(self) -> bool:
        return self.environment is not None

    @property
    def needs_redis(self) -> bool:
        return needs_redis(self.kind)

    def takes(self, case: Case) -> bool:
        return case.workload == "W6" and (self.kind == "memory") == (case.processes == 1)

    def command(self, python: str) -> list[str]:
        folder = prepare_environment(self.environment, python)
        return [str(folder / "python"), "-m", "benchmarks.station"]

    def described(self, case: Case, python: str) -> str:
        """How it is run, for the record."""
        settings = json.dumps(configuration(self.kind, "FOLDER"))
        roles = "sender" if case.processes == 1 else "{sender,receiver}"
        return f"{' '.join(self.command(python))} {roles}, CHANNEL_LAYERS = {settings}"


LAYERS = (
    Layer("ours in memory", None, "memory", "mailbox"),
    Layer("ours in memory, receive()", None, "memory"),
    Layer("upstream in memory", "redis", "memory"),
    Layer("ours local", None, "local", "mailbox"),
    Layer("ours local, receive()", None, "local"),
    Layer("channels_redis pub/sub", "redis", "redis pub/sub"),
    Layer("channels_redis core", "redis", "redis core"),
)
