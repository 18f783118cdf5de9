"""The Date header, made once a second at most (RFC 9110 6.6.1)."""

from __future__ import annotations

import time
from email.utils import formatdate

from ...types import Header

_second = 0
_header: Header = (b"date", b"")


def date_header() -> Header:
    global _second, _header
    now = int(time.time())
    if now != _second:
        _second, _header = now, (b"date", formatdate(now, usegmt=True).encode())
    return _header
