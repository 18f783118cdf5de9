"""One driver for every case of bytes: fed whole, byte by byte, and split at every point.

Where the bytes are cut is the network's choice, so it must not change what a core
says. A case longer than LONG is split near both ends only, where its heads are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

LONG = 2000
EDGE = 40

Reader = Callable[[Sequence[bytes]], list[object]]


def feedings(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for point in split_points(len(data)):
        yield [data[:point], data[point:]]


def split_points(length: int) -> list[int]:
    points = range(1, length)
    return list(points) if length <= LONG else [*points[:EDGE], *points[-EDGE:]]


def check_every_feeding(read: Reader, data: bytes, expected: list[object]) -> None:
    for pieces in feedings(data):
        said = read(pieces)
        assert said == expected, f"fed as {len(pieces)} pieces, the first of {len(pieces[0])} bytes"
