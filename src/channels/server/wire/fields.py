"""Header fields as bytes: lists of tokens read, field lines checked and written.

What an application puts into a header goes to the wire only if it cannot end the
line and begin another one (RFC 9110 5.5). The checks run over all fields at
once, since they stand on the path of every response; which field was at fault is
looked for only after one of them failed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...types import Header

# RFC 9110 5.6.2: the characters of a token, and so of a field name.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 5.5: CR, LF and NUL are dangerous in any field value.
_BREAKS = re.compile(rb"[\r\n\0]")


def is_token(value: bytes) -> bool:
    return _TOKEN.fullmatch(value) is not None


def list_items(values: Sequence[bytes]) -> list[bytes]:
    """Split comma-separated field values; empty items do not count (RFC 9110 5.6.1)."""
    if not values:
        return []
    items = (item.strip(b" \t") for value in values for item in value.split(b","))
    return [item for item in items if item]


def write_fields(headers: Sequence[Header]) -> bytes:
    """Write field lines; ValueError names the field that cannot be sent."""
    if not headers:
        return b""
    try:
        names = [name for name, _ in headers]
        values = [value for _, value in headers]
        if (
            _TOKEN.fullmatch(b"".join(names))
            and all(names)
            and not _BREAKS.search(b"".join(values))
        ):
            return b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
    except (TypeError, ValueError) as error:
        raise ValueError(_fault(headers)) from error
    raise ValueError(_fault(headers))


def _fault(headers: Sequence[Header]) -> str:
    faults = ((_fault_of(header), header) for header in headers)
    fault, header = next(pair for pair in faults if pair[0])
    return f"{fault}; got {shorten(header)}."


def _fault_of(header: object) -> str | None:
    if not isinstance(header, list | tuple) or len(header) != 2:
        return "A header must be a pair (name, value)"
    name, value = header
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        return "Header names and values must be bytes"
    if not is_token(name):
        return "A header name must be a token (letters, digits and !#$%&'*+-.^_`|~)"
    if _BREAKS.search(value):
        return "A header value must not contain CR, LF or NUL"
    return None


def shorten(value: object, limit: int = 80) -> str:
    """Answer `repr(value)`, cut for a message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
