"""The example chat from outside, as somebody who has just cloned the repository runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from demo_process import CHAT, Demo, Visitor, hear, say


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo"))
    demo.start()
    try:
        yield demo
    finally:
        status = demo.stop()
    assert status == 0, demo.output
    assert "Traceback" not in demo.output, demo.output


@pytest.fixture(scope="module")
def ada(demo: Demo) -> Visitor:
    return Visitor(demo, "ada")


@pytest.fixture(scope="module")
def grace(demo: Demo) -> Visitor:
    return Visitor(demo, "grace")


@pytest.fixture
def room(ada: Visitor) -> str:
    """A room of its own for each test, so that their order does not matter."""
    name = f"room-{uuid.uuid4().hex[:8]}"
    assert f'data-room="{name}"' in ada.post("/", name=name)
    return name


@pytest.mark.slow
def test_what_one_says_everybody_in_the_room_sees(ada: Visitor, grace: Visitor, room: str) -> None:
    with ada.enter(room) as here:
        assert hear(here, "line")["text"] == "ada joined"
        with grace.enter(room) as there:
            assert hear(here, "line")["text"] == "grace joined"
            say(here, "Hello <b>Grace</b>", key="one")
            assert hear(here, "reply") == {"type": "reply", "key": "one", "error": None}
            hear(there, "line")  # after what had been said before: nothing, as yet
            (message,) = hear(there, "messages")["messages"]
            assert (message["author"], message["text"]) == ("ada", "Hello <b>Grace</b>")
        assert hear(here, "line")["text"] == "grace left"


@pytest.mark.slow
def test_a_message_sent_twice_is_stored_once(ada: Visitor, room: str) -> None:
    with ada.enter(room) as socket:
        say(socket, "once", key="same")
        hear(socket, "reply")
        say(socket, "once", key="same")
        hear(socket, "reply")
    with ada.enter(room) as socket:
        assert [m["text"] for m in hear(socket, "messages")["messages"]] == ["once"]


@pytest.mark.slow
def test_a_page_that_comes_back_gets_what_it_missed(ada: Visitor, room: str) -> None:
    with ada.enter(room) as socket:
        for number in range(3):
            say(socket, f"message {number}", key=str(number))
            hear(socket, "reply")
    with ada.enter(room) as socket:
        first, *missed = hear(socket, "messages")["messages"]
    with ada.enter(room, since=first["id"]) as socket:
        assert hear(socket, "messages") == {"type": "messages", "messages": missed, "gap": False}


@pytest.mark.slow
def test_only_the_last_fifty_messages_are_shown(ada: Visitor, room: str) -> None:
    with ada.enter(room) as socket:
        for number in range(53):
            say(socket, str(number), key=str(number))
            hear(socket, "reply")
    with ada.enter(room) as socket:
        shown = hear(socket, "messages")
    assert [m["text"] for m in shown["messages"]] == [str(number) for number in range(3, 53)]
    assert shown["gap"]


@pytest.mark.slow
def test_a_new_name_is_told_to_the_room_and_stays(grace: Visitor, room: str) -> None:
    with grace.enter(room) as here, grace.enter(room) as other_tab:
        say(here, "/name  Admiral Hopper ")
        assert hear(here, "reply")["error"] is None
        # Of the two arrivals one or both were told here: the tabs may be on two workers.
        while not hear(other_tab, "line")["text"].endswith("is now Admiral Hopper"):
            pass
        say(other_tab, "Good morning")
        assert hear(other_tab, "messages")["messages"][0]["name"] == "Admiral Hopper"
        say(here, "/name grace")
        hear(here, "reply")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x" * 2001, "A message has 1 to 2000 characters; yours has 2001."),
        ("   ", "A message has 1 to 2000 characters; yours has 0."),
        ("/name", "A name has 1 to 30 characters; yours has 0. Try: /name Ada"),
    ],
)
def test_a_text_of_the_wrong_length_is_answered_to_its_sender(
    ada: Visitor, room: str, text: str, error: str
) -> None:
    with ada.enter(room) as socket:
        say(socket, text)
        assert hear(socket, "reply")["error"] == error


@pytest.mark.slow
def test_a_socket_without_a_login_is_refused(demo: Demo) -> None:
    address = f"ws://127.0.0.1:{demo.port}/ws/room/lounge/0/"
    with pytest.raises(InvalidStatus) as refusal, connect(address, origin=Origin(demo.url)):
        pass
    assert refusal.value.response.status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "origin"), [("no-such-room", None), ("lounge", "http://evil.example")]
)
def test_a_strange_room_or_origin_is_refused(ada: Visitor, room: str, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refusal, ada.enter(room, origin=origin):
        pass
    assert refusal.value.response.status_code == 403


@pytest.mark.slow
def test_a_room_needs_a_name_for_its_address(ada: Visitor) -> None:
    page = ada.post("/", name="???")
    assert "needs letters from a to z, or digits" in page


@pytest.mark.slow
def test_static_files_are_served_with_debug_off(ada: Visitor) -> None:
    assert "WebSocket" in ada.get("/static/chat/room.js")
    assert "prefers-color-scheme" in ada.get("/static/chat/chat.css")


@pytest.mark.slow
def test_the_second_start_is_quick_and_remembers(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    demo.start()
    with Visitor(demo, "ada").enter("lounge") as socket:
        say(socket, "still here tomorrow")
        hear(socket, "reply")
    assert demo.stop() == 0, demo.output
    assert demo.start() < 3
    try:
        with Visitor(demo, "grace").enter("lounge") as socket:
            assert hear(socket, "messages")["messages"][0]["text"] == "still here tomorrow"
    finally:
        status = demo.stop()
    assert status == 0, demo.output
    assert "Traceback" not in demo.output, demo.output
    assert f"{demo.url}/" in demo.output
    assert "ada / ada" in demo.output


@pytest.mark.slow
def test_ctrl_c_stops_it_with_pages_open(tmp_path: Path) -> None:
    demo = Demo(tmp_path)
    demo.start()
    with Visitor(demo, "ada").enter("lounge") as socket:
        hear(socket, "line")
        assert demo.stop() == 0, demo.output
    assert "Traceback" not in demo.output, demo.output


@pytest.mark.slow
def test_a_taken_port_is_one_plain_sentence(demo: Demo, tmp_path: Path) -> None:
    second = Demo(tmp_path, demo.port)
    assert second.launch().wait(60) == 1
    assert "Traceback" not in second.output
    (sentence,) = [line for line in second.output.splitlines() if line.strip()]
    assert str(demo.port) in sentence


@pytest.mark.slow
def test_the_migration_is_what_the_models_say(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(
        [sys.executable, str(CHAT / "manage.py"), "makemigrations", "--check"],
        env={**environment, "CHAT_DATA": str(tmp_path)},
        check=True,
        timeout=60,
    )


def test_the_example_can_be_read_in_one_sitting() -> None:
    """Under 300 lines, comments and settings counted; blank lines and the migration not."""
    files = [*CHAT.rglob("*.py"), *CHAT.rglob("*.js")]
    read = [file for file in files if "migrations" not in file.parts]
    lines = [line for file in read for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) < 300
