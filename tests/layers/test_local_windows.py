"""How far a sender runs ahead of the answers: never so far that a loss would surprise."""

from __future__ import annotations

from channels.layers.local.windows import BELIEVED_SECONDS, MARGIN, MAX_CHANNELS, Windows


def test_the_first_message_waits_for_its_answer() -> None:
    assert not Windows().may_hurry("work", 0.0)


def test_who_was_told_of_room_may_hurry() -> None:
    windows = Windows()
    windows.sent("work")
    windows.answered("work", 100, 1.0)
    assert windows.may_hurry("work", 1.0)
    assert not windows.may_hurry("other", 1.0)


def test_messages_on_their_way_take_room() -> None:
    windows = Windows()
    windows.sent("work")
    windows.answered("work", MARGIN + 3, 1.0)
    for _ in range(3):
        assert windows.may_hurry("work", 1.0)
        windows.sent("work")
    assert not windows.may_hurry("work", 1.0)
    windows.answered("work", MARGIN + 3, 1.0)
    assert windows.may_hurry("work", 1.0)


def test_a_full_channel_stops_the_hurry() -> None:
    windows = Windows()
    for _ in range(2):
        windows.sent("work")
    windows.answered("work", 100, 1.0)
    windows.answered("work", 0, 1.0)
    assert not windows.may_hurry("work", 1.0)


def test_an_old_answer_is_not_believed() -> None:
    windows = Windows()
    windows.sent("work")
    windows.answered("work", 100, 1.0)
    assert windows.may_hurry("work", 1.0 + BELIEVED_SECONDS * 0.9)
    assert not windows.may_hurry("work", 1.0 + BELIEVED_SECONDS)


def test_an_answer_too_many_gives_no_credit() -> None:
    windows = Windows()
    windows.sent("work")
    for _ in range(3):
        windows.answered("work", MARGIN + 1, 1.0)
    windows.sent("work")
    assert not windows.may_hurry("work", 1.0)


def test_only_so_many_channels_are_remembered() -> None:
    windows = Windows()
    for number in range(MAX_CHANNELS + 1):
        windows.sent(f"c{number}")
        windows.answered(f"c{number}", 100, 1.0)
    assert not windows.may_hurry("c0", 1.0)
    assert windows.may_hurry("c1", 1.0)
    # An answer for who was forgotten is no error.
    windows.answered("c0", 100, 1.0)
    assert not windows.may_hurry("c0", 1.0)
