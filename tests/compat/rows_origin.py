"""OriginValidator: which origin fits which pattern, and what becomes of the others."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any
from urllib.parse import urlparse

from django.test.utils import override_settings
from tests.compat.behaviours import Rows, outcome, set_up_django
from tests.compat.driving import CONNECT, DISCONNECT, drive, websocket_scope

set_up_django()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.security.websocket import (  # noqa: E402
    AllowedHostsOriginValidator,
    OriginValidator,
    WebsocketDenier,
)

row = Rows()

APPLICATION = AsyncWebsocketConsumer.as_asgi()
ORIGINS = (
    "http://x.com",
    "https://x.com",
    "http://x.com:80",
    "http://x.com:8080",
    "https://x.com:443",
    "http://a.x.com",
    "http://b.a.x.com",
    "http://notx.com",
    "http://X.COM",
    "null",
    "",
)


def fitting(pattern: str, origins: Collection[str] = ORIGINS) -> Any:
    """Which of the origins pass a validator with that one pattern."""
    validator = OriginValidator(APPLICATION, [pattern])
    return [origin for origin in origins if validator.valid_origin(urlparse(origin))]


OF_X = ["http://x.com", "https://x.com", "http://x.com:80", "http://x.com:8080"]
OF_X = [*OF_X, "https://x.com:443", "http://X.COM"]
BELOW_X = ["http://a.x.com", "http://b.a.x.com"]


@row(upstream={"*": list(ORIGINS), "x.com": OF_X, "X.com": OF_X, "a.x.com": ["http://a.x.com"]})
def patterns_without_a_scheme_fit_any_scheme_and_port() -> Any:
    return {pattern: fitting(pattern) for pattern in ("*", "x.com", "X.com", "a.x.com")}


@row(upstream=[*OF_X[:5], *BELOW_X, "http://X.COM"])
def a_leading_dot_means_all_below_too() -> Any:
    return fitting(".x.com")


HTTP_X = ["http://x.com", "http://x.com:80", "http://X.COM"]


@row(
    upstream={
        "http://x.com": HTTP_X,
        "http://x.com:80": HTTP_X,
        "https://x.com": ["https://x.com", "https://x.com:443"],
        "http://x.com:8080": ["http://x.com:8080"],
        "http://.x.com": [*HTTP_X[:2], *BELOW_X, "http://X.COM"],
        "HTTP://X.com": HTTP_X,
        "ws://x.com": [],
    }
)
def patterns_with_a_scheme_fit_that_scheme_and_port() -> Any:
    patterns = ("http://x.com", "http://x.com:80", "https://x.com", "http://x.com:8080")
    more = ("http://.x.com", "HTTP://X.com", "ws://x.com")
    return {pattern: fitting(pattern) for pattern in (*patterns, *more)}


@row(upstream=[])
def a_star_inside_a_pattern_means_nothing() -> Any:
    return fitting("*.x.com")


LOCAL = ("http://localhost:3000", "https://localhost:3000", "http://localhost:4000")


@row(upstream=[], ours=["http://localhost:3000", "https://localhost:3000"])
def a_pattern_of_host_and_port() -> Any:
    return fitting("localhost:3000", LOCAL)


@row(upstream=["http://127.0.0.1:3000", "http://127.0.0.1:4000"], ours=["http://127.0.0.1:3000"])
def a_pattern_of_address_and_port() -> Any:
    """One that cannot be taken for a scheme: upstream forgets the port."""
    return fitting("127.0.0.1:3000", ("http://127.0.0.1:3000", "http://127.0.0.1:4000"))


@row(upstream={"[::1]": True, "[::1]:80": True})
def a_pattern_of_an_ipv6_address() -> Any:
    return {
        pattern: bool(fitting(pattern, ["http://[::1]:80"])) for pattern in ("[::1]", "[::1]:80")
    }


@row(
    upstream={"file://": [], "capacitor://localhost": ["capacitor://localhost"]},
    ours={"file://": ["file://"], "capacitor://localhost": ["capacitor://localhost"]},
)
def schemes_of_other_kinds() -> Any:
    origins = ("file://", "capacitor://localhost", "http://localhost")
    return {pattern: fitting(pattern, origins) for pattern in ("file://", "capacitor://localhost")}


@row(upstream=False)
def without_patterns_nothing_passes() -> Any:
    return OriginValidator(APPLICATION, []).valid_origin(urlparse("http://x.com"))


@row(upstream={"['x.com']": False, "['x.com', '*']": True, "[]": False})
def a_missing_origin_needs_the_star() -> Any:
    lists: list[list[str]] = [["x.com"], ["x.com", "*"], []]
    return {
        str(patterns): OriginValidator(APPLICATION, patterns).valid_origin(None)
        for patterns in lists
    }


@row(upstream=[8080, 80, 80, 443, 443, None])
def the_port_of_an_origin() -> Any:
    validator = OriginValidator(APPLICATION, [])
    urls = ("http://x:8080", "http://x", "ws://x", "https://x", "wss://x", "ftp://x")
    return [validator.get_origin_port(urlparse(url)) for url in urls]


# -- on a connection -------------------------------------------------------

ACCEPTED = {"sent": [{"type": "websocket.accept", "subprotocol": None}], "ended": "returned"}
DENIED = {"sent": [{"type": "websocket.close"}], "ended": "returned"}


async def asked(validator: Any, *origins: bytes) -> Any:
    scope = websocket_scope(headers=[(b"origin", origin) for origin in origins])
    result = await drive(validator, CONNECT, DISCONNECT, scope=scope)
    return {"sent": result["sent"], "ended": result["ended"]}


@row(upstream=[ACCEPTED, DENIED, DENIED])
async def a_connection_passes_or_is_closed_before_its_accept() -> Any:
    validator = OriginValidator(APPLICATION, ["x.com"])
    return [
        await asked(validator, b"http://x.com"),
        await asked(validator, b"http://y.com"),
        await asked(validator),
    ]


@row(upstream=[ACCEPTED, DENIED])
async def the_last_of_several_origins_counts() -> Any:
    validator = OriginValidator(APPLICATION, ["x.com"])
    return [
        await asked(validator, b"http://y.com", b"http://x.com"),
        await asked(validator, b"http://x.com", b"http://y.com"),
    ]


@row(upstream="ValueError", ours=DENIED)
async def an_origin_with_a_bad_port() -> Any:
    validator = OriginValidator(APPLICATION, ["http://x.com"])
    seen = await asked(validator, b"http://x.com:99999")
    return seen if isinstance(seen["ended"], str) else seen["ended"]["raises"]


@row(upstream=DENIED)
async def an_origin_that_is_no_url_is_denied() -> Any:
    return await asked(OriginValidator(APPLICATION, ["x.com"]), b"\xff\xfe no url")


@row(upstream="goes on", ours="returned")
async def a_denial_without_a_disconnect_event() -> Any:
    """Whether it ends by itself."""
    validator = OriginValidator(APPLICATION, ["x.com"])
    result = await drive(validator, CONNECT, ends=False)
    assert result["sent"] == DENIED["sent"]
    return result["ended"]


class Notes(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@row(
    upstream=[],
    ours=[
        "WebSocket / refused with 403: the Origin 'http://y.com' is not among the allowed "
        "origins ['x.com']."
    ],
)
async def what_is_logged_of_a_denial() -> Any:
    notes = Notes()
    logging.getLogger().addHandler(notes)
    try:
        await asked(OriginValidator(APPLICATION, ["x.com"]), b"http://y.com")
    finally:
        logging.getLogger().removeHandler(notes)
    return notes.lines


@row(
    upstream={
        "raises": "ValueError",
        "says": "You cannot use OriginValidator on a non-WebSocket connection",
    }
)
async def another_kind_of_connection_is_an_error() -> Any:
    scope = {"type": "http", "headers": []}
    return (await drive(OriginValidator(APPLICATION, ["*"]), scope=scope))["ended"]


@row(upstream=None, ours="ValueError")
def a_pattern_that_cannot_be_read() -> Any:
    seen = outcome(lambda: OriginValidator(APPLICATION, ["http://x.com:port"]) and None)
    return seen and seen["raises"]


@row(upstream=[True, True])
def the_attributes_are_what_was_given() -> Any:
    patterns = ["x.com"]
    validator = OriginValidator(APPLICATION, patterns)
    return [validator.application is APPLICATION, validator.allowed_origins is patterns]


@row(upstream={"valid_origin": ACCEPTED, "validate_origin": ACCEPTED, "match": ACCEPTED})
async def each_step_may_be_overridden() -> Any:
    class Valid(OriginValidator):
        def valid_origin(self, parsed_origin: Any) -> bool:
            return parsed_origin.hostname == "y.com"

    class Validate(OriginValidator):
        def validate_origin(self, parsed_origin: Any) -> bool:
            return parsed_origin.hostname == "y.com"

    class Match(OriginValidator):
        def match_allowed_origin(self, parsed_origin: Any, pattern: str) -> bool:
            return pattern == "x.com" and parsed_origin.hostname == "y.com"

    kinds = {"valid_origin": Valid, "validate_origin": Validate, "match": Match}
    return {
        name: await asked(kind(APPLICATION, ["x.com"]), b"http://y.com")
        for name, kind in kinds.items()
    }


@row(upstream={"hosts": ["x.com"], "star": ["*"], "none": []})
def allowed_hosts_are_the_patterns() -> Any:
    seen = {}
    for name, hosts in (("hosts", ["x.com"]), ("star", ["*"]), ("none", [])):
        with override_settings(ALLOWED_HOSTS=hosts, DEBUG=False):
            seen[name] = list(AllowedHostsOriginValidator(APPLICATION).allowed_origins)
    return seen


@row(
    upstream=["localhost", "127.0.0.1", "[::1]"],
    ours=[".localhost", "127.0.0.1", "[::1]"],
)
def allowed_hosts_while_debugging() -> Any:
    with override_settings(ALLOWED_HOSTS=[], DEBUG=True):
        return list(AllowedHostsOriginValidator(APPLICATION).allowed_origins)


@row(upstream=["x.com"])
def allowed_hosts_are_read_when_the_validator_is_made() -> Any:
    with override_settings(ALLOWED_HOSTS=["x.com"], DEBUG=False):
        validator = AllowedHostsOriginValidator(APPLICATION)
    with override_settings(ALLOWED_HOSTS=["y.com"], DEBUG=False):
        return list(validator.allowed_origins)


@row(upstream={"class": DENIED, "subclass": [{"type": "websocket.close", "code": 4003}]})
async def the_denier_is_an_application_and_a_base() -> Any:
    class Consumer(WebsocketDenier):
        async def connect(self) -> None:
            await self.close(4003)

    return {
        "class": await drive(WebsocketDenier.as_asgi(), CONNECT, DISCONNECT),
        "subclass": (await drive(Consumer.as_asgi(), CONNECT, DISCONNECT))["sent"],
    }
