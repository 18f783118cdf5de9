"""The frames of the bus: what is written can be read, and what cannot is a BadFrame."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.layers.codec import MAX_MESSAGE
from channels.layers.local import frames
from channels.layers.local.frames import BadFrame, FrameReader, Op, Outcome

NODE = b"abcdefghijkl"

EXAMPLES = [
    frames.control(
        Op.HELLO, version=1, node=NODE.decode(), pid=7, project="/p", keeps=True, words=0
    ),
    frames.control(Op.BYE),
    frames.publication(NODE, 1, 2, 3.5, b"news", b"payload"),
    frames.publication(NODE, 1, 3, 3.5, b"g" * 100, b""),
    frames.sending(NODE, 9, 3.5, 100, b"work", b"x" * 300),
    frames.sent(NODE.decode(), [9, 10], Outcome.QUEUED, 99),
    frames.sent(NODE.decode(), [], Outcome.FULL, 0),
    frames.item(Op.ITEM, 3.5, "work", b"payload"),
    frames.item(Op.RETURN, 3.5, "work", b""),
    frames.want(Op.WANT, "work"),
    frames.want(Op.UNWANT, "work"),
]
STREAM = b"".join(EXAMPLES)

READERS: list[Callable[[bytes], Any]] = [
    frames.read_publication,
    frames.read_sending,
    frames.read_sent,
    frames.read_item,
    frames.read_want,
    frames.read_control,
]


def received(*parts: bytes, max_frame: int = frames.MAX_FRAME) -> list[bytes]:
    reader = FrameReader(max_frame)
    return [frame for part in parts for frame in reader.receive(part)]


# -- cutting the stream ------------------------------------------------------


def test_a_stream_is_cut_into_its_frames() -> None:
    assert received(STREAM) == EXAMPLES


def test_byte_by_byte() -> None:
    assert received(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == EXAMPLES


def test_split_at_every_point() -> None:
    for at in range(len(STREAM) + 1):
        assert received(STREAM[:at], STREAM[at:]) == EXAMPLES


def test_in_random_parts() -> None:
    for seed in range(200):
        random_ = random.Random(seed)
        cuts = sorted(random_.sample(range(len(STREAM)), random_.randint(1, 40)))
        bounds = zip([0, *cuts], [*cuts, len(STREAM)], strict=True)
        assert received(*(STREAM[start:end] for start, end in bounds)) == EXAMPLES


def test_frames_come_as_soon_as_they_are_whole() -> None:
    reader = FrameReader()
    for frame in EXAMPLES:
        assert reader.receive(frame[:-1]) == []
        assert reader.receive(frame[-1:]) == [frame]


def test_a_long_frame_in_many_parts_between_others() -> None:
    long = frames.publication(NODE, 1, 1, 0.0, b"news", bytes(1 << 20))
    stream = EXAMPLES[0] + long + EXAMPLES[1]
    parts = [stream[at : at + 4096] for at in range(0, len(stream), 4096)]
    assert received(*parts) == [EXAMPLES[0], long, EXAMPLES[1]]


def test_a_frame_over_the_limit_is_refused_before_it_has_come() -> None:
    frame = frames.want(Op.WANT, "x" * 50)
    assert received(frame, max_frame=51) == [frame]
    with pytest.raises(BadFrame, match="a frame of 51 bytes; the limit is 50"):
        received(frame[:5], max_frame=50)


def test_a_frame_without_an_op_is_refused() -> None:
    with pytest.raises(BadFrame, match="a frame of 0 bytes"):
        received(bytes(5))


def test_the_longest_message_fits_into_a_frame() -> None:
    payload = bytes(MAX_MESSAGE)
    longest = frames.publication(NODE, 2**64 - 1, 2**64 - 1, 0.0, b"g" * 255, payload)
    assert received(longest) == [longest]


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_garbage_is_frames_or_a_bad_frame(parts: list[bytes]) -> None:
    reader = FrameReader(max_frame=1000)
    try:
        for part in parts:
            reader.receive(part)
    except BadFrame:
        return


# -- reading -----------------------------------------------------------------


def test_a_publication_comes_back_as_it_was() -> None:
    frame = frames.publication(NODE, 1, 2**64 - 1, 3.5, b"news", b"payload")
    assert frames.op_of(frame) == Op.PUBLISH
    expected = (NODE.decode(), 1, 2**64 - 1, 3.5, "news", b"payload")
    assert frames.read_publication(frame) == expected


def test_a_sending_and_its_answer_come_back_as_they_were() -> None:
    frame = frames.sending(NODE, 2**32 - 1, 3.5, 100, b"work", b"payload")
    expected = (NODE.decode(), 2**32 - 1, 3.5, 100, "work", b"payload")
    assert frames.read_sending(frame) == expected
    answer = frames.sent(NODE.decode(), [1, 2**32 - 1], Outcome.FULL, 5)
    assert frames.read_sent(answer) == (NODE.decode(), (1, 2**32 - 1), Outcome.FULL, 5)


def test_room_is_never_less_than_none() -> None:
    assert frames.read_sent(frames.sent(NODE.decode(), [1], Outcome.FULL, -3)).room == 0


def test_an_item_comes_back_as_it_was() -> None:
    frame = frames.item(Op.RETURN, 3.5, "work", b"payload")
    assert frames.op_of(frame) == Op.RETURN
    assert frames.read_item(frame) == (3.5, "work", b"payload")
    assert frames.read_want(frames.want(Op.WANT, "work")) == "work"


def test_control_frames_carry_what_messages_carry() -> None:
    content = {"positions": {"news": {"a": (1, 2, 3.5)}}, "groups": ["a", "b"], "none": None}
    assert frames.read_control(frames.control(Op.SUBSCRIBED, **content)) == content


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_a_frame_that_is_cut_off_is_read_or_bad(read: Callable[[bytes], Any]) -> None:
    for frame in EXAMPLES:
        for end in range(frames.HEAD, len(frame)):
            try:
                read(frame[:end])
            except BadFrame:
                continue


@given(st.sampled_from(READERS), st.binary(max_size=80))
def test_a_garbled_frame_is_read_or_bad(read: Callable[[bytes], Any], body: bytes) -> None:
    try:
        read(bytes(frames.HEAD) + body)
    except BadFrame:
        return


@given(
    st.sampled_from(EXAMPLES),
    st.sampled_from(READERS),
    st.lists(st.tuples(st.integers(5, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_frame_is_read_or_bad(
    frame: bytes, read: Callable[[bytes], Any], damage: list[tuple[int, int]]
) -> None:
    damaged = bytearray(frame)
    for at, value in damage:
        damaged[at % len(damaged)] = value
    try:
        read(bytes(damaged))
    except BadFrame:
        return


def test_names_are_ascii_and_whole() -> None:
    frame = bytearray(frames.want(Op.WANT, "work"))
    frame[-1] = 0xFF
    with pytest.raises(BadFrame, match="not ASCII"):
        frames.read_want(bytes(frame))
    with pytest.raises(BadFrame, match="cut off"):
        frames.read_publication(frames.publication(NODE, 1, 1, 0.0, b"news", b"")[:-1])


def test_an_op_of_the_bus_is_never_two_things() -> None:
    assert len({op.value for op in Op}) == len(Op) == len(Op.__members__)
