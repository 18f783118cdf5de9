"""What an application puts into a response, checked before the wire core sees it."""

from __future__ import annotations

from collections.abc import Iterable

from ...types import Header


def checked(headers: Iterable[Header], refused: bytes = b"") -> list[Header]:
    """The headers with lower-case names, without `transfer-encoding`.

    ASGI leaves the transfer encoding to the server. A header named `refused` is
    an error of the application.
    """
    result: list[Header] = []
    for name, value in headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(
                f"Header names and values are bytes, but came ({name!r:.80}, {value!r:.80})."
            )
        name = name.lower()
        if refused and name == refused:
            raise ValueError(f"The header {name.decode('latin-1')!r} is the server's to send.")
        if name != b"transfer-encoding":
            result.append((name, value))
    return result


def checked_status(status: object) -> int:
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise ValueError(f"A response status is a number from 200 to 999, but came {status!r}.")
    return int(status)


def checked_body(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"A response body is bytes, but came {data!r:.80}.")
