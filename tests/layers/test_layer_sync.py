"""Layers from code that blocks, and messages that wait for a commit."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, connections, transaction
from django.db.transaction import TransactionManagementError
from django.db.utils import ConnectionDoesNotExist
from django.test import override_settings
from django.utils import translation
from django.utils.translation import gettext_lazy

from channels.exceptions import ChannelFull, InvalidChannelLayerError
from channels.layers import (
    BaseChannelLayer,
    InMemoryChannelLayer,
    channel_layers,
    group_send_on_commit,
)
from channels.layers.sync import SyncLayer

HELLO = {"type": "hello"}


class ForeignLayer:
    """Another package's layer, without our base: records what it is asked, and on which thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.threads: list[threading.Thread] = []

    async def new_channel(self, prefix: str = "foreign") -> str:
        return f"{prefix}!1"

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.threads.append(threading.current_thread())
        self.asked.append(("group_send", group, message))

    def flush(self) -> None:
        self.asked.append(("flush",))


class FailingLayer(BaseChannelLayer):
    """Fails in the ways an engine does that has gone."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        raise self.error

    async def receive(self, channel: str) -> dict[str, Any]:
        raise self.error


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


# -- layer.sync -----------------------------------------------------------------


def test_a_plain_thread_uses_every_method() -> None:
    sync = InMemoryChannelLayer().sync
    channel = sync.new_channel()
    assert sync.new_channel(prefix="mine").startswith("mine")
    sync.group_add(group="all", channel=channel)
    sync.group_send(group="all", message=HELLO)
    sync.send(channel=channel, message={"type": "second"})
    assert sync.receive(channel=channel) == HELLO
    assert sync.receive(channel, timeout=5) == {"type": "second"}
    sync.group_discard(group="all", channel=channel)
    sync.group_send("all", HELLO)
    sync.send(channel, HELLO)
    sync.flush()
    with pytest.raises(TimeoutError, match=r"layer\.sync\.receive\(\): nothing within 0\.01 s"):
        sync.receive(channel, timeout=0.01)


def test_a_layer_has_one_blocking_side() -> None:
    layer = InMemoryChannelLayer()
    assert layer.sync is layer.sync
    assert layer.sync.layer is layer
    assert layer.sync is not InMemoryChannelLayer().sync
    assert "InMemoryChannelLayer" in repr(layer.sync)


def test_errors_of_the_layer_come_through() -> None:
    sync = InMemoryChannelLayer(capacity=1).sync
    sync.send("jobs", HELLO)
    with pytest.raises(ChannelFull):
        sync.send("jobs", HELLO)
    with pytest.raises(TypeError, match="Group name must be"):
        sync.group_send("no good", HELLO)


def test_a_timeout_of_the_layer_itself_keeps_its_text() -> None:
    sync = FailingLayer(TimeoutError("the engine is slow")).sync
    with pytest.raises(TimeoutError, match="the engine is slow"):
        sync.receive("jobs", timeout=5)


def test_a_message_that_comes_after_a_timeout_is_kept() -> None:
    sync = InMemoryChannelLayer().sync
    with pytest.raises(TimeoutError):
        sync.receive("jobs", timeout=0.01)
    sync.send("jobs", HELLO)
    assert sync.receive("jobs", timeout=5) == HELLO


def test_a_view_under_sync_to_async_sends_on_the_loop_that_waits_for_it(
    run: Callable[..., Any],
) -> None:
    async def test() -> None:
        foreign, layer = ForeignLayer(), InMemoryChannelLayer()
        await layer.group_add("all", "members")

        def view() -> None:
            layer.sync.group_send("all", HELLO)
            SyncLayer(foreign).group_send("all", HELLO)

        waiting = asyncio.create_task(layer.receive("members"))
        await sync_to_async(view)()
        assert await waiting == HELLO
        assert foreign.threads == [threading.current_thread()]

    run(test)


def test_several_threads_at_once_each_get_what_is_theirs() -> None:
    layer = InMemoryChannelLayer()

    def work(number: int) -> None:
        sync = layer.sync
        channel = sync.new_channel()
        sync.group_add(f"group-{number}", channel)
        for count in range(10):
            sync.group_send(f"group-{number}", {"type": "x", "count": count})
        got = [sync.receive(channel, timeout=10)["count"] for _ in range(10)]
        assert got == list(range(10))

    in_threads(6, work)


def test_a_thread_that_waits_is_woken_by_another() -> None:
    layer = InMemoryChannelLayer()
    got: list[Any] = []

    def work(number: int) -> None:
        if number:
            layer.sync.send("jobs", HELLO)
        else:
            got.append(layer.sync.receive("jobs", timeout=10))

    in_threads(2, work)
    assert got == [HELLO]


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("send", ("jobs", HELLO)),
        ("receive", ("jobs",)),
        ("new_channel", ()),
        ("group_add", ("all", "jobs")),
        ("group_discard", ("all", "jobs")),
        ("group_send", ("all", HELLO)),
        ("flush", ()),
    ],
)
def test_on_the_thread_of_a_running_loop_it_says_what_to_write(
    run: Callable[..., Any], method: str, args: tuple[Any, ...]
) -> None:
    async def test() -> None:
        sync = InMemoryChannelLayer().sync
        with pytest.raises(RuntimeError, match=rf"Write `await layer\.{method}\(\.\.\.\)` here"):
            getattr(sync, method)(*args)

    run(test)


def test_a_foreign_layer_gets_its_own_defaults_and_may_answer_at_once() -> None:
    layer = ForeignLayer()
    sync = SyncLayer(layer)
    assert sync.new_channel() == "foreign!1"
    assert sync.new_channel("mine") == "mine!1"
    sync.flush()
    assert layer.asked == [("flush",)]


def test_a_subclass_may_go_without_a_loop() -> None:
    class Direct(SyncLayer):
        def call(self, method: str, *args: Any, timeout: float | None = None) -> Any:
            self.require_no_loop(method)
            return asked.append((method, *args))

    asked: list[tuple[Any, ...]] = []
    Direct(None).group_send("all", HELLO)
    assert asked == [("group_send", "all", HELLO)]
    with pytest.raises(RuntimeError, match="an event loop runs in this thread"):
        asyncio.run(_call_sync(Direct(None)))


async def _call_sync(sync: SyncLayer) -> None:
    sync.flush()


# -- group_send_on_commit ----------------------------------------------------------


@pytest.fixture
def layer() -> Iterator[InMemoryChannelLayer]:
    """The project's layer, with "inbox" as the member of the group "news"."""
    layer = InMemoryChannelLayer()
    layer.sync.group_add("news", "inbox")
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


def use(layer: Any) -> None:
    """Put `layer` in the place of the fixture's, which the fixture takes back."""
    channel_layers.set("default", layer)


def inbox(layer: InMemoryChannelLayer) -> list[dict[str, Any]]:
    waiting = layer.statistics()["waiting"]
    return [layer.sync.receive("inbox", timeout=5) for _ in range(waiting)]


def message(text: str) -> dict[str, Any]:
    return {"type": "news.flash", "text": text}


@transaction.atomic
def fail_after_sending(text: str) -> None:
    group_send_on_commit("news", message(text))
    raise ZeroDivisionError


def texts(layer: InMemoryChannelLayer) -> list[str]:
    return [received["text"] for received in inbox(layer)]


@pytest.mark.usefixtures("db")
def test_a_message_goes_out_at_the_commit_and_not_before(layer: InMemoryChannelLayer) -> None:
    with transaction.atomic():
        User.objects.create(username="ada")
        group_send_on_commit("news", message("new user"))
        assert inbox(layer) == []
    assert inbox(layer) == [message("new user")]


@pytest.mark.usefixtures("db")
def test_a_rollback_drops_it(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_after_sending("never")
    with transaction.atomic():
        group_send_on_commit("news", message("never either"))
        transaction.set_rollback(True)
    with transaction.atomic():
        User.objects.create(username="ada")
    assert inbox(layer) == []


@pytest.mark.usefixtures("db")
def test_a_rolled_back_savepoint_drops_its_own_and_no_other(layer: InMemoryChannelLayer) -> None:
    with transaction.atomic():
        group_send_on_commit("news", message("outer"))
        with pytest.raises(ZeroDivisionError):
            fail_after_sending("inner, lost")
        with transaction.atomic():
            group_send_on_commit("news", message("inner, kept"))
        assert inbox(layer) == []
    assert texts(layer) == ["outer", "inner, kept"]


@pytest.mark.usefixtures("db")
def test_without_a_transaction_it_goes_out_at_once(layer: InMemoryChannelLayer) -> None:
    group_send_on_commit("news", message("now"), using="default")
    assert texts(layer) == ["now"]


@pytest.mark.usefixtures("db")
def test_what_goes_out_is_the_message_as_it_was_at_the_call(layer: InMemoryChannelLayer) -> None:
    flash: dict[str, Any] = message("as it was") | {"tags": ["a", ("b",)]}
    with transaction.atomic():
        with translation.override("de"):
            group_send_on_commit("news", flash | {"day": gettext_lazy("Monday")})
        flash["text"] = "changed"
        flash["tags"].append("changed")
    received = inbox(layer)
    assert received == [message("as it was") | {"tags": ["a", ("b",)], "day": "Montag"}]
    assert type(received[0]["day"]) is str


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "error", [OSError("the engine is gone"), ChannelFull("inbox"), NotImplementedError("no groups")]
)
@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_layer_that_fails_is_logged_and_the_request_goes_on(
    layer: InMemoryChannelLayer,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    in_transaction: bool,
) -> None:
    done: list[str] = []

    def request() -> None:
        User.objects.create(username="ada")
        group_send_on_commit("news", message("lost"))
        transaction.on_commit(lambda: done.append("the next one"))

    use(FailingLayer(error))
    with caplog.at_level(logging.ERROR):
        transaction.atomic(request)() if in_transaction else request()
    assert User.objects.filter(username="ada").exists()
    assert done == ["the next one"]
    (record,) = caplog.records
    assert record.name == "channels.layers"
    assert "'news'" in record.getMessage()
    assert "'news.flash'" in record.getMessage()
    assert "lost" not in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("group", "sent", "text"),
    [
        ("no good", HELLO, "Group name must be a valid unicode string"),
        (5, HELLO, "Group name must be a valid unicode string"),
        ("news", ["type"], "message is not a dict"),
        ("news", {"type": "x", "__asgi_channel__": "y"}, "__asgi_channel__"),
        ("news", {"type": "x", "user": User(pk=1)}, r"message\['user'\] is a User, .* its id"),
    ],
)
def test_what_is_wrong_raises_at_the_call(
    layer: InMemoryChannelLayer, group: Any, sent: Any, text: str
) -> None:
    with transaction.atomic():
        with pytest.raises(TypeError, match=text):
            group_send_on_commit(group, sent)
        assert connection.run_on_commit == []


@pytest.mark.usefixtures("db")
def test_the_rules_of_names_hold_for_a_layer_without_our_base(layer: InMemoryChannelLayer) -> None:
    foreign = ForeignLayer()
    use(foreign)
    group_send_on_commit("news", HELLO)
    assert foreign.asked == [("group_send", "news", HELLO)]
    with pytest.raises(TypeError, match="Group name must be"):
        group_send_on_commit("no good", HELLO)


@pytest.mark.usefixtures("db")
def test_another_alias_is_another_layer(layer: InMemoryChannelLayer) -> None:
    other = InMemoryChannelLayer()
    other.sync.group_add("news", "inbox")
    channel_layers.set("other", other)
    try:
        group_send_on_commit("news", message("to the other"), alias="other")
    finally:
        channel_layers.set("other", None)
    assert texts(layer) == []
    assert texts(other) == ["to the other"]


def test_a_missing_layer_raises_at_the_call_and_prints_the_setting() -> None:
    with (
        override_settings(CHANNEL_LAYERS={}),
        pytest.raises(
            InvalidChannelLayerError, match="There is no channel layer 'default'"
        ) as caught,
    ):
        group_send_on_commit("news", HELLO)
    printed = str(caught.value).partition("CHANNEL_LAYERS = ")[2]
    assert eval(printed) == {"default": {"BACKEND": "channels.layers.local.LocalChannelLayer"}}


@pytest.mark.usefixtures("db")
def test_a_database_that_is_not_there_raises_at_the_call(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(ConnectionDoesNotExist):
        group_send_on_commit("news", HELLO, using="nowhere")


@pytest.mark.usefixtures("db")
def test_a_transaction_by_hand_raises_as_django_does(layer: InMemoryChannelLayer) -> None:
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionManagementError):
            group_send_on_commit("news", HELLO)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert inbox(layer) == []


@pytest.mark.usefixtures("db")
def test_async_code_is_told_where_to_call_it(
    layer: InMemoryChannelLayer, run: Callable[..., Any]
) -> None:
    async def test() -> None:
        with pytest.raises(SynchronousOnlyOperation, match=r"await layer\.group_send"):
            group_send_on_commit("news", HELLO)

    run(test)
    assert inbox(layer) == []


@pytest.mark.usefixtures("db")
def test_a_view_in_a_thread_of_the_server_reaches_members_on_its_loop(
    layer: InMemoryChannelLayer, run: Callable[..., Any]
) -> None:
    @transaction.atomic
    def view() -> None:
        User.objects.create(username="ada")
        group_send_on_commit("news", message("from a view"))
        assert layer.statistics()["waiting"] == 0

    async def test() -> None:
        waiting = asyncio.create_task(layer.receive("inbox"))
        await sync_to_async(view)()
        assert (await waiting)["text"] == "from a view"
        # Each thread has a connection of its own to close.
        await sync_to_async(connections.close_all)()

    run(test)
