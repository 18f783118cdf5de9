"""One driver for every case of bytes: fed whole, byte by byte, and split at every point.

Where the bytes are cut is the network's choice, so it must not change what a core
says. Of a case longer than LONG only both ends are cut, where its heads are; what
lies between comes in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

LONG = 2000
EDGE = 40

Reader = Callable[[Sequence[bytes]], list[object]]


def feedings(data: bytes) -> Iterator[list[bytes]]:
    points = cuts(len(data))
    yield [data]
    yield [data[a:b] for a, b in pairwise([0, *points, len(data)])]
    for point in points:
        yield [data[:point], data[point:]]


def cuts(length: int) -> list[int]:
    points = range(1, length)
    return list(points) if length <= LONG else [*points[:EDGE], *points[-EDGE:]]


def check_every_feeding(read: Reader, data: bytes, expected: list[object]) -> None:
    for pieces in feedings(data):
        said = read(pieces)
        assert said == expected, f"fed as {len(pieces)} pieces, the first of {len(pieces[0])} bytes"
