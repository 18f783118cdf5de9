"""`manage.py channels_layer`: what it shows, sends and says when something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.color import no_style
from django.test import override_settings

from channels.exceptions import InvalidChannelLayerError
from channels.generic.messages import check_groups_supported
from channels.layers import InMemoryChannelLayer, channel_layers, hosted_buses
from channels.layers.local import LocalChannelLayer, node
from channels.management import survey
from channels.management.layer_text import lines, sent_lines
from channels.management.masking import masked

LOCAL = "channels.layers.local.LocalChannelLayer"
MEMORY = "channels.layers.InMemoryChannelLayer"


@pytest.fixture(autouse=True)
def _no_layers_yet() -> Iterator[None]:
    before, channel_layers.backends = channel_layers.backends, {}
    yield
    channel_layers.backends = before


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own are too deep for the path of a socket.
    with tempfile.TemporaryDirectory(prefix="channels-") as name:
        yield Path(name, "bus")


@pytest.fixture
def config(folder: Path) -> Iterator[dict[str, Any]]:
    config: dict[str, Any] = {"directory": str(folder), "name": "site", "capacity": 2}
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": LOCAL, "CONFIG": config}}):
        yield config


@pytest.fixture
def host(folder: Path, config: dict[str, Any]) -> Iterator[LocalChannelLayer]:
    """Another process's layer, as far as the command can tell."""
    layer = LocalChannelLayer(directory=folder, name="site", capacity=2, host=True)
    layer.serve()
    yield layer
    layer.leave()


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def command(*arguments: str, **options: Any) -> str:
        call_command("channels_layer", *arguments, **options)
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return command


def join(layer: LocalChannelLayer, group: str, members: int = 1) -> list[str]:
    channels = [layer.sync.new_channel() for _ in range(members)]
    for channel in channels:
        layer.sync.group_add(group, channel)
    return channels


def rows(output: str, heading: str) -> list[list[str]]:
    """The table below a heading, without the line of its titles."""
    part = output.partition(f"\n{heading}\n")[2].partition("\n\n")[0]
    return [line.split() for line in part.splitlines()[1:]]


# -- looking -----------------------------------------------------------------


def test_it_shows_what_the_layer_is_and_that_it_works(
    command: Callable[..., str], host: LocalChannelLayer, folder: Path
) -> None:
    output = command()
    assert output.startswith(f"Channel layer 'default'\n  backend  {LOCAL}\n")
    assert (
        f'options  directory = "{folder}"\n           name = "site"\n           capacity = 2\n'
        in output
    )
    assert f"bus      {folder}/site.sock\n" in output
    assert f"host     process {os.getpid()}\n" in output
    assert re.search(r"^  ping     \d+\.\d\d ms$", output, flags=re.M)


def test_it_shows_groups_members_and_drops_of_each_process(
    command: Callable[..., str], host: LocalChannelLayer, folder: Path
) -> None:
    join(host, "chat", 3)
    other = LocalChannelLayer(directory=folder, name="site", capacity=2, host=False)
    (channel,) = join(other, "chat")
    for _ in range(2):
        other.sync.send(channel, {"type": "first"})
    other.sync.group_send("chat", {"type": "too.much"})
    # It has come to itself when it has come back from the host.
    other.sync.call("ping")
    host.sync.group_add("chat", "thumbs")
    host.sync.send("thumbs", {"type": "make"})
    output = command()
    other.leave()
    pid = str(os.getpid())
    assert rows(output, "Processes") == [
        [pid, "host", "1", "3", "3", "0", "0", "0"],
        [pid, "1", "1", "2", "1", "0", "0"],
    ]
    assert f"\nDrops\n  {pid}  1 full\n" in output
    assert rows(output, "Groups") == [["chat", "5", "2"]]
    assert rows(output, "Named channels") == [["thumbs", "1"]]


def test_all_members_are_shown_when_more_is_asked_for(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    (channel,) = join(host, "chat")
    host.sync.group_add("chat", "thumbs")
    assert channel not in command()
    shown = rows(command(verbosity=2), "Members")
    assert shown == [[channel, "in", str(os.getpid())], ["thumbs", "a", "named", "channel"]]


def test_of_many_groups_the_largest_are_shown(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    for number in range(25):
        join(host, f"room.{number}")
    join(host, "hall", 2)
    output = command()
    assert rows(output, "Groups")[0] == ["hall", "2", "1"]
    assert len(rows(output, "Groups")) == 21
    assert "... and 6 more: --verbosity 2 shows all" in output


def test_a_supervisor_that_hosts_is_shown(
    command: Callable[..., str], config: dict[str, Any], folder: Path
) -> None:
    with hosted_buses() as host:
        host(LocalChannelLayer(directory=folder, name="site").place.details())
        assert rows(command(), "Processes") == [[str(os.getpid()), "host"]]


def test_a_process_that_does_not_answer_is_pointed_out() -> None:
    silent = {"pid": 41, "node": "a", "hosting": False}
    contents = {"processes": [silent], "groups": {}, "waiting": {}, "expired": 3}
    facts = {"alias": "x", "backend": "y", "options": {}, "ping_ms": 1.0, **contents}
    text = "\n".join(lines(LocalChannelLayer(), facts, no_style(), whole=False))
    assert re.search(r"^  41 +does not answer: it is stopped, or very busy$", text, flags=re.M)
    assert "3 expired on named channels" in text
    assert "Groups\n  none" in text


def test_it_is_json_for_programs(command: Callable[..., str], host: LocalChannelLayer) -> None:
    (channel,) = join(host, "chat")
    found = json.loads(command("--json"))
    assert found["alias"] == "default"
    assert found["host_pid"] == os.getpid()
    assert found["ping_ms"] > 0
    (process,) = found["processes"]
    assert process["groups"] == {"chat": [channel]}
    assert process["statistics"] == host.statistics()
    assert found["groups"] == {"chat": {"members": 1, "processes": 1}}


def test_it_is_coloured_on_a_terminal_alone(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    assert "\x1b[" not in command()
    assert "\x1b[" in command(force_color=True)


def test_the_layer_in_memory_says_that_it_is_one_processs(command: Callable[..., str]) -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY}}):
        output = command()
    assert "options  the defaults\n" in output
    assert "The in-memory layer stays within one process." in output
    assert "Groups\n  none" in output


def test_a_layer_that_this_process_has_is_shown_as_it_is(command: Callable[..., str]) -> None:
    layer = InMemoryChannelLayer()
    layer.sync.group_add("chat", "inbox")
    channel_layers.set("mine", layer)
    assert rows(command("--layer", "mine"), "Groups") == [["chat", "1", "1"]]


# -- layers of other packages ------------------------------------------------


class ForeignLayer:
    """Has what Channels 4 asks of a layer, and nothing else."""

    closed = 0

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def new_channel(self, prefix: str = "specific.") -> str:
        return f"{prefix}foreign"

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        self.messages.append(message)

    async def receive(self, channel: str) -> dict[str, Any]:
        return self.messages.pop()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.messages.append(message)

    async def close_pools(self) -> None:
        type(self).closed += 1


class CountingLayer(ForeignLayer):
    def statistics(self) -> dict[str, int]:
        return {"sent": len(self.messages)}


class BrokenLayer(ForeignLayer):
    async def send(self, channel: str, message: dict[str, Any]) -> None:
        raise ConnectionError("connection refused")


class DeafLayer(ForeignLayer):
    async def receive(self, channel: str) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError


def foreign(name: str) -> override_settings:
    return override_settings(CHANNEL_LAYERS={"default": {"BACKEND": f"{__name__}.{name}"}})


def test_a_foreign_layer_carries_a_message_and_is_closed(command: Callable[..., str]) -> None:
    before = ForeignLayer.closed
    with foreign("ForeignLayer"):
        output = command()
    assert re.search(r"^  ping     \d+\.\d\d ms$", output, flags=re.M)
    assert "it tells nobody" in output
    assert ForeignLayer.closed == before + 1


def test_a_foreign_layers_own_counts_are_shown(command: Callable[..., str]) -> None:
    with foreign("CountingLayer"):
        assert "What it counts in this process\n  sent  0\n" in command()


def test_what_reaches_a_foreign_group_is_not_guessed(command: Callable[..., str]) -> None:
    with foreign("ForeignLayer"):
        assert "How many members it has, this layer does not tell." in command(group_send="chat")


def test_a_foreign_layer_that_fails_is_one_sentence() -> None:
    text = r"The layer does not work: ConnectionError: connection refused\."
    with foreign("BrokenLayer"), pytest.raises(CommandError, match=text):
        call_command("channels_layer")


def test_a_foreign_layer_that_says_nothing_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey, "PING_SECONDS", 0.01)
    with foreign("DeafLayer"), pytest.raises(CommandError, match="carried no message"):
        call_command("channels_layer")


# -- sending -----------------------------------------------------------------


async def received(layer: LocalChannelLayer, channel: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        return await layer.receive(channel)


def test_a_test_message_reaches_a_channel(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    channel = host.sync.new_channel()
    host.sync.group_add("keeps", channel)
    output = command("--send", channel, "--data", '{"text": "Hi"}')
    assert output == f'Sent to channel {channel}: {{"type": "test.message", "text": "Hi"}}\n'
    assert host.sync.receive(channel, timeout=20) == {"type": "test.message", "text": "Hi"}


def test_a_test_message_reaches_a_group_and_says_how_many(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    first, second = join(host, "chat", 2)
    output = command("--group-send", "chat", "--type", "chat.message")
    assert output.endswith('{"type": "chat.message"}\nThe group has 2 members, in 1 process.\n')
    for channel in (first, second):
        assert host.sync.receive(channel, timeout=20) == {"type": "chat.message"}


def test_a_group_without_members_is_said(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    assert "no members: nobody hears it" in command("--group-send", "chat")


def test_the_type_may_stand_in_the_data(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    data = '{"type": "in.data"}'
    assert '{"type": "in.data"}' in command("--group-send", "chat", "--data", data)
    both = command("--group-send", "chat", "--data", data, "--type", "given")
    assert '{"type": "given"}' in both


def test_what_was_sent_is_json_for_programs(
    command: Callable[..., str], host: LocalChannelLayer
) -> None:
    found = json.loads(command("--group-send", "chat", "--json"))
    message = {"type": "test.message"}
    assert found["sent"] == {
        "to": "group",
        "name": "chat",
        "message": message,
        "members": 0,
        "processes": 0,
    }


def test_members_that_are_named_channels_are_in_no_process() -> None:
    sent = {"to": "group", "name": "g", "message": {}, "members": 1, "processes": 0}
    assert list(sent_lines({"sent": sent}, no_style()))[1] == (
        "The group has 1 member, named channels alone."
    )


# -- what is wrong -----------------------------------------------------------


@override_settings(CHANNEL_LAYERS={})
@pytest.mark.parametrize(
    ("miss", "beginning"),
    [
        (lambda: call_command("channels_layer"), "You do not have any CHANNEL_LAYERS configured."),
        (
            lambda: call_command("runworker", "jobs"),
            "You do not have any CHANNEL_LAYERS configured.",
        ),
        (
            lambda: check_groups_supported(None, "default"),
            "BACKEND is unconfigured or doesn't support groups",
        ),
    ],
)
def test_without_a_layer_the_line_to_set_is_printed(
    miss: Callable[[], None], beginning: str
) -> None:
    with pytest.raises((CommandError, InvalidChannelLayerError)) as caught:
        miss()
    says, _, line = str(caught.value).partition("CHANNEL_LAYERS = ")
    assert says.startswith(beginning)
    assert eval(line) == {"default": {"BACKEND": LOCAL}}


def test_a_layer_without_groups_is_not_told_to_be_set() -> None:
    with pytest.raises(InvalidChannelLayerError, match=r"groups: object has no group_add\(\)"):
        check_groups_supported(object(), "default")


def test_an_alias_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="no 'other' in CHANNEL_LAYERS, only 'default'"):
        call_command("channels_layer", layer="other")


def test_a_backend_that_cannot_be_imported_is_one_sentence() -> None:
    with foreign("NoLayer"), pytest.raises(CommandError, match="Cannot import BACKEND"):
        call_command("channels_layer")


@pytest.mark.parametrize("host", ["auto", True])
def test_where_nobody_hosts_it_says_so_and_hosts_nothing(
    config: dict[str, Any], folder: Path, host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "JOIN_SECONDS", 0.1)
    config["host"] = host
    with pytest.raises(CommandError) as caught:
        call_command("channels_layer")
    assert str(caught.value) == (
        f"No process hosts the bus {folder}/site.sock: start one that serves "
        "(channels serve, manage.py runserver or runworker)."
    )
    assert not folder.exists()


def test_a_full_channel_is_one_sentence(host: LocalChannelLayer) -> None:
    for _ in range(2):
        host.sync.send("thumbs", {"type": "make"})
    with pytest.raises(CommandError, match="Channel 'thumbs' is full"):
        call_command("channels_layer", send="thumbs")


def test_a_channel_whose_process_has_ended_is_said(host: LocalChannelLayer) -> None:
    with pytest.raises(CommandError, match="its consumer, or the process of it, has ended"):
        call_command("channels_layer", send="specific.local-aaaaaaaaaaaa!bbbbbbbbbbbb")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"send": "a b"}, "Channel name must be .* has ' ' at position 1"),
        ({"group_send": "a!b"}, "Group name must be"),
        ({"send": "a", "data": "{1"}, "--data is no JSON: .* It is '{1'"),
        ({"send": "a", "data": "[1]"}, r"--data is a JSON object, not '\[1\]'"),
        ({"send": "a", "data": '{"__asgi_channel__": 1}'}, "layers keep for themselves"),
        ({"type": "a"}, "--type belongs to --send CHANNEL or --group-send GROUP"),
        ({"data": "{}"}, "--data belongs to --send CHANNEL or --group-send GROUP"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence(
    host: LocalChannelLayer, options: dict[str, str], text: str
) -> None:
    with pytest.raises(CommandError, match=text) as caught:
        call_command("channels_layer", **options)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
def test_a_failure_is_status_1_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "sets.py").write_text('SECRET_KEY = "x"\nINSTALLED_APPS = ["channels"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "django", "channels_layer"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "DJANGO_SETTINGS_MODULE": "sets"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


# -- secrets -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "x", "capacity": 5}, {"password": "********", "capacity": 5}),
        ({"symmetric_encryption_keys": ["a"]}, {"symmetric_encryption_keys": "********"}),
        ({"API_TOKEN": None, "my_secret": b"x"}, {"API_TOKEN": None, "my_secret": "********"}),
        (["redis://:pw@host:1/0"], ["redis://:********@host:1/0"]),
        ("redis://me:p@:/s@host", "redis://me:********@host"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("rediss://h?password=x&db=1", "rediss://h?password=********&db=1"),
        ("host=h password='a b' user=u", "host=h password=******** user=u"),
        ([("host", 6379)], [["host", 6379]]),
        ({"sentinels": [{"Passwd": 1}]}, {"sentinels": [{"Passwd": "********"}]}),
        ({re.compile("a.*"): 1}, {"a.*": 1}),
        (object(), "<object>"),
        (Path("/run/site"), "/run/site"),
    ],
)
def test_secrets_are_masked_and_all_else_is_shown(value: Any, shown: Any) -> None:
    assert masked(value) == shown
    json.dumps(masked(value))


def test_secrets_are_masked_in_the_output(command: Callable[..., str]) -> None:
    config = {"expiry": 5}
    layers = {"default": {"BACKEND": MEMORY, "CONFIG": config}}
    with override_settings(CHANNEL_LAYERS=layers):
        channel_layers.set("default", InMemoryChannelLayer())
        config["password"] = 8015  # type: ignore[assignment]
        for arguments in ((), ("--json",)):
            assert "8015" not in command(*arguments)
