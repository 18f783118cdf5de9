"""The example chat in a real browser: two people, one room, and a server that restarts.

Screenshots of every page, on a laptop and a phone, light and dark, are left in
`tests/browser/screenshots/` for people to look at.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo_process import Demo

pytestmark = pytest.mark.slow

SCREENSHOTS = Path(__file__).parent / "screenshots"
LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PATIENCE = 15_000  # ms, for a step that takes none on an idle machine


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    demo.start()
    yield demo
    demo.kill()


class Person:
    """Somebody in a browser window of their own, logged in and in a room."""

    def __init__(self, browser: Any, demo: Demo, name: str) -> None:
        self.context = browser.new_context(base_url=demo.url, viewport=LAPTOP)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto("/")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(name)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("heading", name="Rooms").wait_for()

    def enter(self, room: str) -> None:
        self.page.goto(f"/room/{room}/")
        self.wait_for_state("online")

    def say(self, text: str) -> None:
        self.page.locator("#input").fill(text)
        self.page.locator("#input").press("Enter")

    def wait_for_state(self, state: str) -> None:
        self.page.locator(f"body[data-state={state}]").wait_for()

    def wait_for_text(self, text: str) -> None:
        self.page.locator("#log").get_by_text(text, exact=True).wait_for()

    def messages(self) -> list[str]:
        return list(self.page.locator("#log .text").all_inner_texts())

    def unsent(self) -> list[str]:
        return list(self.page.locator("#unsent li").all_inner_texts())


Arrive = Callable[[str], Person]


@pytest.fixture
def arrive(browser: Any, demo: Demo) -> Iterator[Arrive]:
    people: list[Person] = []

    def arrive(name: str) -> Person:
        people.append(Person(browser, demo, name))
        return people[-1]

    yield arrive
    for person in people:
        person.context.close()
        assert person.problems == []


def test_two_people_chat_through_a_restart_of_the_server(demo: Demo, arrive: Arrive) -> None:
    ada, grace = arrive("ada"), arrive("grace")
    ada.page.get_by_label("Name of a new room").fill("Engine Room")
    ada.page.get_by_role("button", name="Open").click()
    ada.wait_for_state("online")
    assert ada.page.url == f"{demo.url}/room/engine-room/"
    grace.enter("engine-room")
    ada.wait_for_text("grace joined")

    said = [f"message {number}" for number in range(6)]
    for number, text in enumerate(said):
        speaker, listener = (ada, grace) if number % 2 == 0 else (grace, ada)
        speaker.say(text)
        listener.wait_for_text(text)
    assert ada.messages() == grace.messages() == said
    assert ada.page.locator(".mine .text").all_inner_texts() == said[::2]

    grace.say("/name Admiral Hopper")
    ada.wait_for_text("grace is now Admiral Hopper")
    grace.say("Call me Admiral")
    ada.page.get_by_text("Admiral Hopper", exact=True).wait_for()
    ada.say("<b>not bold</b>")
    grace.wait_for_text("<b>not bold</b>")

    assert demo.stop() == 0, demo.output
    ada.wait_for_state("offline")
    grace.wait_for_state("offline")
    ada.say("said while the server was away")
    assert ada.unsent() == ["said while the server was away"]
    grace.page.locator("#input").fill("half a sent")
    began = time.monotonic()
    demo.start()
    grace.wait_for_text("said while the server was away")
    assert grace.page.locator("#input").input_value() == "half a sent"
    grace.say("and here we are again")
    ada.wait_for_text("and here we are again")
    assert time.monotonic() - began < 5
    assert ada.unsent() == grace.unsent() == []
    expected = [
        *said,
        "Call me Admiral",
        "<b>not bold</b>",
        "said while the server was away",
        "and here we are again",
    ]
    assert ada.messages() == grace.messages() == expected
    ada.page.reload()
    ada.wait_for_text("and here we are again")
    assert ada.messages() == expected
    assert demo.stop() == 0, demo.output
    assert "Traceback" not in demo.output, demo.output


def test_people_on_different_workers_chat_on_when_one_is_killed(demo: Demo, arrive: Arrive) -> None:
    ada, grace = arrive("ada"), arrive("grace")
    ada.enter("lounge")
    (adas,) = demo.members("lounge")
    grace.enter("lounge")
    # Whose turn it is to accept is for the kernel to say; a new try, a new turn.
    for _ in range(50):
        workers = demo.members("lounge")
        if len(workers) == 2:
            break
        grace.page.reload()
        grace.wait_for_state("online")
    assert workers == {adas: 1, next(pid for pid in workers if pid != adas): 1}

    said = [f"message {number}" for number in range(4)]
    for number, text in enumerate(said):
        speaker, listener = (ada, grace) if number % 2 == 0 else (grace, ada)
        speaker.say(text)
        listener.wait_for_text(text)

    os.kill(adas, signal.SIGKILL)
    began = time.monotonic()
    ada.say("sent into the hole")
    grace.say("are you still there?")
    grace.wait_for_text("sent into the hole")
    ada.wait_for_text("are you still there?")
    assert time.monotonic() - began < 5
    ada.say("yes")
    grace.wait_for_text("yes")
    assert ada.unsent() == grace.unsent() == []
    heard = ada.messages()
    assert heard == grace.messages()
    assert sorted(heard[4:]) == ["are you still there?", "sent into the hole", "yes"]
    assert heard[:4] == said
    assert demo.stop() == 0, demo.output
    assert "SIGKILL" in demo.output
    assert "Traceback" not in demo.output, demo.output


def test_what_was_missed_while_away_appears_in_its_place(demo: Demo, arrive: Arrive) -> None:
    ada, grace = arrive("ada"), arrive("grace")
    ada.enter("lounge")
    grace.enter("lounge")
    ada.say("before")
    grace.wait_for_text("before")
    # Ada's connection alone is gone, and the network for new ones with it.
    ada.context.set_offline(True)
    ada.page.evaluate("socket.close()")
    ada.wait_for_state("offline")
    grace.say("meanwhile")
    grace.wait_for_text("meanwhile")
    ada.say("kept")
    ada.context.set_offline(False)
    ada.wait_for_text("kept")
    assert ada.messages() == ["before", "meanwhile", "kept"]
    grace.wait_for_text("kept")
    assert grace.messages() == ["before", "meanwhile", "kept"]


def test_a_text_that_is_too_long_comes_back_with_the_reason(demo: Demo, arrive: Arrive) -> None:
    ada = arrive("ada")
    ada.enter("lounge")
    ada.say("x" * 2001)
    ada.wait_for_text("A message has 1 to 2000 characters; yours has 2001.")
    assert ada.page.locator("#input").input_value() == "x" * 2001
    assert ada.messages() == ada.unsent() == []


def test_every_page_has_its_screenshots(demo: Demo, browser: Any, arrive: Arrive) -> None:
    """Whether they are good is for people to say; that nothing runs over the edge is for us."""
    SCREENSHOTS.mkdir(exist_ok=True)
    stranger = browser.new_page(base_url=demo.url)
    stranger.goto("/")
    take_pictures(stranger, "login")
    stranger.close()
    ada, grace = arrive("ada"), arrive("grace")
    ada.page.get_by_label("Name of a new room").fill("long-names-must-fit-as-well-" + "o" * 22)
    ada.page.get_by_role("button", name="Open").click()
    ada.wait_for_state("online")
    ada.page.set_viewport_size(PHONE)
    assert page_width(ada.page) == PHONE["width"]
    ada.page.goto("/")
    take_pictures(ada.page, "lobby")
    ada.enter("lounge")
    grace.enter("lounge")
    converse(ada, grace)
    take_pictures(ada.page, "room")
    demo.stop()
    ada.wait_for_state("offline")
    ada.say("I will send this when we are back")
    take_pictures(ada.page, "offline")


def converse(ada: Person, grace: Person) -> None:
    lines = [
        (ada, "Good morning! Did the engine survive the night?"),
        (grace, "It did. A thousand sockets, and none of them noticed the restart."),
        (grace, "I did find a moth in relay 70, though. It is taped into the log book."),
        (ada, "A real bug, then"),
        (
            ada,
            "Could you send me the numbers? I should like to compare them with my note before "
            "anybody else sees it: the loop over the second column looked wrong by one when I "
            "went through it with pencil and paper.",
        ),
        (grace, "Of course:\n1, 1/2, 1/6, 0, -1/30, 0, 1/42"),
        (ada, "Thank you"),
    ]
    for number, (speaker, text) in enumerate(lines):
        if number == 5:
            grace.say("/name Admiral Hopper")
            ada.wait_for_text("grace is now Admiral Hopper")
        speaker.say(text)
        ada.page.locator("#log .text").nth(number).wait_for()


def page_width(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


def take_pictures(page: Any, name: str) -> None:
    for device, size in (("laptop", LAPTOP), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            assert page_width(page) == size["width"], f"{name} is wider than a {device}"
            page.screenshot(path=SCREENSHOTS / f"{name}-{device}-{scheme}.png")
