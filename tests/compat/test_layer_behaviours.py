"""Layers, ours and those of channels_redis, each under the same rows.

What a layer of another package does otherwise stands in OTHERWISE, with the reason.
The engine of both is a redis-server of these tests' own.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from tests.compat import layer_consumer_rows, layer_rows
from tests.compat.behaviours import async_outcome
from tests.compat.layer_consumer_rows import client, under
from tests.compat.layer_table import HELLO, SOON, LayerRow, got
from tests.redis_server import RedisServer, running_redis
from tests.waiting import at_most, meanwhile

from channels.consumer import AsyncConsumer
from channels.layers import (
    InMemoryChannelLayer,
    channel_layers,
    get_channel_layer,
    group_send_on_commit,
)
from channels.layers.local import LocalChannelLayer
from channels.management.commands import runworker
from channels.worker import Worker

pytestmark = pytest.mark.slow

ROW_SECONDS = 20.0
ROWS = {**layer_rows.row, **layer_consumer_rows.row}


class Otherwise(NamedTuple):
    seen: Any
    reason: str


NO_CAPACITY = "its constructor takes a capacity and forgets it"
NO_RULES = "it is no BaseChannelLayer and checks no names"
ENCODED = "MessagePack as it is knows no such types, and makes lists of tuples"

OTHERWISE: dict[tuple[str, str], Otherwise] = {
    ("core", "a_full_channel_leaves_room_in_others"): Otherwise(
        "ChannelFull", "all channels of a process are one sorted set, with one capacity"
    ),
    ("core", "a_receiver_that_changes_its_message_changes_nobody_elses"): Otherwise(
        [[1, "mine"], [1, "mine"]], "members in one process are given one and the same dict"
    ),
    ("core", "other_values_arrive_as_they_are"): Otherwise(
        ["list", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "ValueError"],
        ENCODED,
    ),
    ("pubsub", "other_values_arrive_as_they_are"): Otherwise(
        ["list", "TypeError", "TypeError", "TypeError", "TypeError", "TypeError", "ValueError"],
        ENCODED,
    ),
    ("pubsub", "a_channel_with_a_name_keeps_what_nobody_reads_yet"): Otherwise(
        "nothing", "what Redis publishes reaches those who are subscribed by then"
    ),
    ("pubsub", "names_of_new_channels"): Otherwise(
        [False, False, False, 20], "its own prefix comes first, and no part belongs to a process"
    ),
    ("pubsub", "a_full_channel_refuses"): Otherwise("nothing", NO_CAPACITY),
    ("pubsub", "a_group_message_for_a_full_member_is_dropped_in_silence"): Otherwise(
        [None, 4], NO_CAPACITY
    ),
    ("pubsub", "names_that_no_layer_may_take"): Otherwise(
        ["nothing", "nothing", "RuntimeError", "nothing", "nothing"], NO_RULES
    ),
}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


class Makers:
    """Makes layers that see nothing of each other, and closes what a test made.

    Where channels_redis is not installed, the quick tests still have to find their way past here.
    """

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self._folder = folder
        self.redis = redis
        self._made: list[Any] = []

    def memory(self, **config: Any) -> Any:
        return InMemoryChannelLayer(**config)

    def local(self, **config: Any) -> Any:
        return LocalChannelLayer(**config, directory=self._folder, name=uuid.uuid4().hex, host=True)

    def core(self, **config: Any) -> Any:
        from channels_redis.core import RedisChannelLayer

        return RedisChannelLayer(hosts=[self.redis.host], **{"prefix": uuid.uuid4().hex} | config)

    def pubsub(self, **config: Any) -> Any:
        from channels_redis.pubsub import RedisPubSubChannelLayer

        return RedisPubSubChannelLayer(hosts=[self.redis.host], prefix=uuid.uuid4().hex, **config)

    def keeping(self, kind: str) -> Any:
        """The maker of a kind; what it makes is closed with `aclose()`."""

        def make(**config: Any) -> Any:
            layer = getattr(self, kind)(**config)
            self._made.append(layer)
            return layer

        return make

    async def aclose(self) -> None:
        for layer in self._made:
            if isinstance(layer, LocalChannelLayer):
                layer.leave()
            else:
                await layer.flush()


KINDS = ["memory", "local", "core", "pubsub"]


@pytest.fixture
def makers(redis: RedisServer) -> Iterator[Makers]:
    folder = Path(tempfile.mkdtemp(prefix="channels-"))
    yield Makers(folder / "bus", redis)
    shutil.rmtree(folder)


def run(test: Any, makers: Makers) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(ROW_SECONDS):
            try:
                return await test()
            finally:
                await makers.aclose()

    return asyncio.run(bounded())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "row"), ROWS.items(), ids=list(ROWS))
def test_a_layer_does_as_the_row_says(kind: str, name: str, row: LayerRow, makers: Makers) -> None:
    otherwise = OTHERWISE.get((kind, name))
    expected = row.expected if otherwise is None else otherwise.seen
    assert run(lambda: row.observe(makers.keeping(kind)), makers) == expected


def test_what_is_otherwise_is_a_row_and_has_a_reason() -> None:
    for (kind, name), otherwise in OTHERWISE.items():
        assert kind in ("core", "pubsub")
        assert otherwise.seen != ROWS[name].expected
        assert otherwise.reason


# -- code that blocks, outside of every loop ------------------------------------------


@pytest.fixture
def configured(kind: str, makers: Makers) -> Iterator[Any]:
    """A layer of the kind, as the project's."""
    made = makers.keeping(kind)()
    before = channel_layers.set("default", made)
    yield made
    channel_layers.set("default", before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_setting_replaces_the_layer(kind: str, configured: Any) -> None:
    with override_settings(CHANNEL_LAYERS={}):
        assert get_channel_layer() is None


class Noted:
    """A worker that only tells what it was given."""

    channels: list[str] = []

    def __init__(self, application: Any, channels: list[str], channel_layer: Any) -> None:
        self.layer = channel_layer
        Noted.channels = channels

    def run(self) -> None:
        assert self.layer is get_channel_layer()


class Command(runworker.Command):
    worker_class: Any = Noted


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_runs_a_worker_over_the_layer(kind: str, configured: Any) -> None:
    call_command(Command(stderr=io.StringIO()), "thumbnails")
    assert Noted.channels == ["thumbnails"]


def send_on_commit(message: dict[str, Any]) -> None:
    try:
        with transaction.atomic():
            group_send_on_commit("all", message)
    finally:
        connections.close_all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("db")
def test_a_transaction_sends_to_the_group_when_it_commits(kind: str, makers: Makers) -> None:
    async def test() -> None:
        async with under(makers.keeping(kind)()) as layer:
            channel = await layer.new_channel()
            await layer.group_add("all", channel)
            await asyncio.to_thread(send_on_commit, HELLO)
            assert await got(layer, channel) == HELLO

    run(test, makers)


PROJECT = """
from channels.consumer import AsyncConsumer
from channels.routing import ChannelNameRouter, ProtocolTypeRouter

SECRET_KEY = "for tests only"
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "worker_project.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": %r}}


class Thumbnails(AsyncConsumer):
    async def job_make(self, message):
        await self.channel_layer.send("made", {"type": "job.made", "name": message["name"]})


application = ProtocolTypeRouter(
    {"channel": ChannelNameRouter({"thumbnails": Thumbnails.as_asgi()})}
)
"""


def test_a_worker_process_handles_what_another_process_sends(
    redis: RedisServer, makers: Makers, tmp_path: Path
) -> None:
    prefix = uuid.uuid4().hex
    project = PROJECT % {"hosts": [redis.host], "prefix": prefix}
    (tmp_path / "worker_project.py").write_text(project)
    command = [sys.executable, "-m", "django", "runworker", "thumbnails"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "worker_project"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)

    async def test() -> None:
        layer = makers.keeping("core")(prefix=prefix)
        # It waits in Redis until the process has started.
        await layer.send("thumbnails", {"type": "job.make", "name": "one"})
        assert await got(layer, "made", ROW_SECONDS) == {"type": "job.made", "name": "one"}

    with at_most(process):
        run(test, makers)
        process.terminate()
        assert process.wait() == 0


# -- the engine goes away -----------------------------------------------------------


@pytest.fixture
def own_redis(makers: Makers) -> Iterator[RedisServer]:
    """A server that a test may stop; the layers of its makers use it."""
    with running_redis() as server:
        makers.redis = server
        yield server


@asynccontextmanager
async def outage(server: RedisServer, caplog: Any) -> AsyncIterator[list[str]]:
    """The engine is gone in this block; what our loggers said comes out of it."""
    said: list[str] = []
    caplog.clear()
    await asyncio.to_thread(server.stop)
    yield said
    await meanwhile(0.7, "the layer tries to reach it several times")
    said += [one.getMessage() for one in caplog.records if not one.name.startswith(FOREIGN)]
    await asyncio.to_thread(server.start)


FOREIGN = ("channels_redis", "asyncio")


async def hears_again(layer: Any, one: Any) -> bool:
    """Send until something arrives: what was sent to an engine that is gone is lost."""
    for number in itertools.count():
        await async_outcome(layer.group_send("chat", {"type": "chat.message", "text": str(number)}))
        if not await one.receive_nothing(0.2):
            return True
    raise AssertionError


@pytest.mark.parametrize("kind", ["core", "pubsub"])
def test_a_socket_outlives_the_engine_of_its_layer(
    kind: str, own_redis: RedisServer, makers: Makers, caplog: Any
) -> None:
    async def test() -> None:
        async with under(makers.keeping(kind)()) as layer, client() as one:
            assert await hears_again(layer, one)
            while not await one.receive_nothing(0.1):
                await one.receive_from()
            async with outage(own_redis, caplog) as said:
                # It serves its client meanwhile.
                await one.send_to(text_data="echo")
                assert await one.receive_from(SOON) == "echo"
            assert await hears_again(layer, one)
            # The layer of Redis pub/sub says it itself.
            assert len(said) == (1 if kind == "core" else 0), said

    run(test, makers)


def test_a_worker_outlives_the_engine_of_its_layer(
    own_redis: RedisServer, makers: Makers, caplog: Any
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    class Thumbnails(AsyncConsumer):
        async def job_make(self, message: Any) -> None:
            seen.put_nowait(message["name"])

    async def test() -> None:
        layer = makers.keeping("core")()
        worker = Worker(Thumbnails.as_asgi(), ["work"], layer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.handle())
            await layer.send("work", {"type": "job.make", "name": "before"})
            assert await asyncio.wait_for(seen.get(), SOON) == "before"
            async with outage(own_redis, caplog) as said:
                pass
            await layer.send("work", {"type": "job.make", "name": "after"})
            assert await asyncio.wait_for(seen.get(), SOON) == "after"
            worker.stop()
        assert len(said) == 1, said

    run(test, makers)
