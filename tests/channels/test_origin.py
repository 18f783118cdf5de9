"""Which origins may open a WebSocket."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from calls import CONNECT, DISCONNECT, Recorder, call, http_scope, websocket_scope
from django.test import override_settings

from channels.security.websocket import (
    AllowedHostsOriginValidator,
    OriginValidator,
    WebsocketDenier,
)

DENIED = [{"type": "websocket.close"}]


def allows(allowed: list[str], origin: str | None) -> bool:
    app = Recorder()
    headers = [(b"origin", origin.encode())] if origin is not None else []
    sent = call(
        OriginValidator(app, allowed), websocket_scope("/chat/", headers=headers), [CONNECT]
    )
    assert sent == ([] if app.scopes else DENIED)
    return bool(app.scopes)


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("*", "http://anything.example"),
        ("*", None),
        ("*", "null"),
        ("*", "http://x.org:99999"),
        ("x.org", "http://x.org"),
        ("x.org", "https://x.org:8443"),
        ("X.org", "http://x.ORG"),
        (".x.org", "http://x.org"),
        (".x.org", "http://a.b.x.org"),
        ("http://x.org", "http://x.org"),
        ("http://x.org", "http://x.org:80"),
        ("https://x.org:443", "https://x.org"),
        ("http://.x.org", "http://a.x.org"),
        ("HTTP://X.org:8000", "http://x.org:8000"),
        ("localhost:3000", "http://localhost:3000"),
        ("x.org:443", "https://x.org"),
        ("[::1]", "http://[::1]:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("file://", "file://"),
    ],
)
def test_these_origins_fit(pattern: str, origin: str | None) -> None:
    assert allows(["other.example", pattern], origin)


@pytest.mark.usefixtures("caplog")
@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("x.org", None),
        ("x.org", "null"),
        ("x.org", ""),
        ("x.org", "http://evil-x.org"),
        ("x.org", "http://x.org.evil.example"),
        ("x.org", "http://a.x.org"),
        ("*.x.org", "http://a.x.org"),
        ("http://x.org", "https://x.org"),
        ("http://x.org", "http://x.org:8000"),
        ("localhost:3000", "http://localhost:3001"),
        ("localhost:3000", "http://localhost"),
        ("http://x.org", "http://x.org:99999"),
        ("x.org", "http://x.org:99999"),
        ("x.org", "http://[x.org"),
        ("file://", "http://x.org"),
        ("x.org", "file://"),
    ],
)
def test_these_origins_do_not_fit(pattern: str, origin: str | None) -> None:
    assert not allows([pattern], origin)


def test_the_last_of_several_origin_headers_counts() -> None:
    app = Recorder()
    headers = [(b"origin", b"http://evil.example"), (b"origin", b"http://x.org")]
    call(OriginValidator(app, ["x.org"]), websocket_scope(headers=headers), [CONNECT])
    assert len(app.scopes) == 1


def test_a_denial_is_one_log_line_with_origin_and_rule(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        allows(["x.org", "y.org"], "http://evil.example")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("channels.security", "WARNING")
    for part in ("/chat/", "http://evil.example", "['x.org', 'y.org']", "403"):
        assert part in record.getMessage()


def test_a_missing_origin_is_named_as_such(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        allows(["x.org"], None)
    assert "a missing Origin header" in caplog.text


def test_other_scopes_are_an_error() -> None:
    with pytest.raises(ValueError, match="on a non-WebSocket connection"):
        call(OriginValidator(Recorder(), ["*"]), http_scope())


def test_a_pattern_that_cannot_be_read_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="this is 'x.org:port'"):
        OriginValidator(Recorder(), ["x.org:port"])


def test_a_subclass_may_decide_in_its_own_way() -> None:
    class Odd(OriginValidator):
        def match_allowed_origin(self, parsed_origin: Any, pattern: str) -> bool:
            return bool(parsed_origin.hostname.endswith(pattern))

    app = Recorder()
    headers = [(b"origin", b"http://a.odd")]
    call(Odd(app, ["odd"]), websocket_scope(headers=headers), [CONNECT])
    assert len(app.scopes) == 1


def test_allowed_hosts_are_allowed_origins() -> None:
    with override_settings(ALLOWED_HOSTS=[".x.org"]):
        assert AllowedHostsOriginValidator(Recorder()).allowed_origins == [".x.org"]
    with override_settings(ALLOWED_HOSTS=[], DEBUG=True):
        validator = AllowedHostsOriginValidator(Recorder())
    for origin in (
        "http://localhost:8000",
        "http://a.localhost",
        "http://127.0.0.1:1",
        "http://[::1]",
    ):
        headers = [(b"origin", origin.encode())]
        assert call(validator, websocket_scope(headers=headers), [CONNECT]) == []


def test_the_denier_refuses_and_ends() -> None:
    assert call(WebsocketDenier(), websocket_scope(), [CONNECT]) == DENIED
    assert call(WebsocketDenier.as_asgi(), websocket_scope(), [DISCONNECT]) == []
