"""How a process hears of log-outs: one listener for all its sockets, and what fails it."""

from __future__ import annotations

import asyncio
import logging
import queue
import tempfile
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from foreign_layer import Listening
from open_sockets import key_of, log_in, run, sockets
from tests.waiting import turns_until

from channels.layers import InMemoryChannelLayer, channel_layers
from channels.layers.local import LocalChannelLayer
from channels.security import hearing, watch
from channels.security.announcements import GROUP, LOGGED_OUT

pytestmark = pytest.mark.usefixtures("layer")


async def members_of(layer: InMemoryChannelLayer) -> list[str]:
    """The listeners' channels, once the background has joined."""
    await turns_until(lambda: layer.hub.groups.get(GROUP))
    return list(layer.hub.groups[GROUP])


# -- for whom it hears -------------------------------------------------------------


def test_one_member_of_one_group_hears_for_all_and_leaves_with_the_last(
    ada: User, layer: InMemoryChannelLayer
) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(client)):
            first = await members_of(layer)
            async with sockets(*[key_of(client)] * 5):
                assert await members_of(layer) == first
                assert len(first) == 1
            assert await members_of(layer) == first
            assert layer.groups == {}
        assert GROUP not in layer.hub.groups
        assert layer.channels == {}
        assert watch._registries == {}

    run(scenario())


def test_connections_on_several_loops_hear_each_for_themselves(ada: User) -> None:
    client = log_in(ada)

    async def elsewhere() -> list[int]:
        async with sockets(key_of(client)) as (one,):
            opened.put_nowait(None)
            await one.ended()
            return one.ends

    async def scenario() -> None:
        async with sockets(key_of(client)) as (here,):
            there = asyncio.create_task(asyncio.to_thread(run, elsewhere()))
            await asyncio.to_thread(opened.get, timeout=10)
            await sync_to_async(client.logout)()
            assert await there == [4401]
            await here.ended()
            assert here.ends == [4401]

    opened: queue.Queue[None] = queue.Queue()
    run(scenario())


def test_a_layer_that_has_only_receive_is_heard_too(ada: User, foreign: Listening) -> None:
    client = log_in(ada)

    async def scenario() -> None:
        async with sockets(key_of(client)) as (one,):
            await foreign.joined.wait()
            await sync_to_async(client.logout)()
            await one.ended()
            assert one.ends == [4401]
        assert foreign.members == {}
        assert foreign.calls[-1] == f"group_discard {GROUP}"

    run(scenario())


def test_processes_that_share_a_local_layer_hear_each_other(ada: User) -> None:
    client = log_in(ada)
    # Below /tmp: the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="channels-") as folder:
        here, there = (LocalChannelLayer(directory=folder, name="site") for _ in range(2))
        before = channel_layers.set("default", here)

        def log_out_there() -> None:
            channel_layers.set("default", there)
            client.logout()

        async def scenario() -> None:
            async with sockets(key_of(client)) as (one,):
                await turns_until(lambda: here.hub.groups.get(GROUP))
                # The other one hears when it has joined.
                await there.group_add("any", await there.new_channel())
                await here.group_add(GROUP, next(iter(here.hub.groups[GROUP])))
                await sync_to_async(log_out_there)()
                await one.ended()
                assert one.ends == [4401]
            assert GROUP not in here.hub.groups

        try:
            run(scenario())
        finally:
            channel_layers.set("default", before)
            here.leave()
            there.leave()


# -- the listener alone ------------------------------------------------------------


class Ears:
    """Listeners that record."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Any] = asyncio.Queue()

    async def logged_out(self, session: str) -> None:
        self.heard.put_nowait(session)

    async def password_changed(self, user: str, password: str) -> None:
        self.heard.put_nowait((user, password))

    def may_have_missed(self) -> None:
        self.heard.put_nowait("missed")


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def hear(ears: Ears, clock: Clock) -> asyncio.Task[None]:
    return asyncio.create_task(hearing.Hearing(ears, clock, clock.sleep).run())


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_a_layer_that_fails_is_joined_again_and_everybody_looked_at(
    foreign: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        ears, clock = Ears(), Clock()
        foreign.fail = ConnectionError("no engine")
        with caplog.at_level(logging.INFO, "channels.security"):
            task = await hear(ears, clock)
            await turns_until(lambda: len(clock.slept) == 12)
            assert clock.slept[-1] <= hearing.LONGEST_RETRY_SECONDS
            foreign.fail = None
            assert await ears.heard.get() == "missed"
            await foreign.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
            assert await ears.heard.get() == "s"
            warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
            assert len(warnings) == 1
            assert "no engine" in warnings[0].getMessage()
            # An engine that breaks later: whoever joins again may have missed something.
            clock.now += hearing.STEADY_SECONDS * 2
            for waiting in list(foreign.members.values()):
                waiting.put_nowait(ConnectionError("gone"))  # type: ignore[arg-type]
            assert await ears.heard.get() == "missed"
        await stop(task)

    run(scenario())


def test_a_layer_of_one_process_joined_at_once_is_no_reason_to_look_at_anybody(
    layer: InMemoryChannelLayer,
) -> None:
    async def scenario() -> None:
        ears = Ears()
        task = await hear(ears, Clock())
        await members_of(layer)
        await layer.group_send(GROUP, {"type": "channels.auth.of_the_future"})
        await layer.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        assert await ears.heard.get() == "s"
        await stop(task)

    run(scenario())


def test_over_a_shared_layer_everybody_is_looked_at_when_it_is_joined(foreign: Listening) -> None:
    """Another process may have announced something just before."""

    async def scenario() -> None:
        ears = Ears()
        task = await hear(ears, Clock())
        assert await ears.heard.get() == "missed"
        await stop(task)

    run(scenario())


@pytest.mark.parametrize("expiry", [None, 60], ids=["hourly", "before the layer forgets it"])
def test_membership_in_a_foreign_layer_is_renewed(foreign: Listening, expiry: int | None) -> None:
    if expiry is not None:
        foreign.group_expiry = expiry  # type: ignore[attr-defined]

    async def scenario() -> None:
        ears, clock = Ears(), Clock()
        task = await hear(ears, clock)
        await foreign.joined.wait()
        foreign.joined.clear()
        # Also where there is always something to hear.
        clock.now += expiry / 2 if expiry else hearing.RENEW_SECONDS
        await foreign.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        await foreign.joined.wait()
        assert foreign.calls.count(f"group_add {GROUP}") == 2
        await stop(task)

    run(scenario())


def test_after_a_flush_our_own_layer_is_joined_again(layer: InMemoryChannelLayer) -> None:
    layer.group_expiry = 0.002

    async def scenario() -> None:
        ears = Ears()
        # By the clock itself: nothing else happens that would wake it.
        task = asyncio.create_task(hearing.Hearing(ears).run())
        await members_of(layer)
        await layer.flush()
        assert not layer.hub.groups
        await members_of(layer)
        await layer.group_send(GROUP, {"type": LOGGED_OUT, "session": "s"})
        assert await ears.heard.get() == "s"
        await stop(task)

    run(scenario())


class FromOutside(InMemoryChannelLayer):
    """A layer of ours whose mailbox the test holds in its hand."""

    def attach(self, channel: str, mailbox: Any) -> None:
        self.mailbox = mailbox
        super().attach(channel, mailbox)


def test_what_our_own_layers_tell_of_gaps_is_heard() -> None:
    layer = FromOutside(capacity=1)
    before = channel_layers.set("default", layer)

    async def scenario() -> None:
        ears = Ears()
        task = await hear(ears, Clock())
        await members_of(layer)
        layer.mailbox.put_notice(False)
        layer.mailbox.put_notice(True)
        assert await ears.heard.get() == "missed"
        # More at once than the project lets wait.
        announcement = {"type": LOGGED_OUT, "session": "s"}
        await asyncio.gather(*(layer.group_send(GROUP, announcement) for _ in range(50)))
        assert [await ears.heard.get() for _ in range(50)] == ["s"] * 50
        await stop(task)
        assert layer.channels == {}

    try:
        run(scenario())
    finally:
        channel_layers.set("default", before)
