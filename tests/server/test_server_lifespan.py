"""The lifespan of an application under our server."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from channels.server import StartError

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class App:
    """Records its lifespan; answers requests with what its state says."""

    def __init__(self, **failures: Any) -> None:
        self.steps: list[str] = []
        self.failures = failures

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        body = repr(scope["state"]).encode()
        scope["state"]["mine"] = True
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})

    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
        for step in ("startup", "shutdown"):
            assert await receive() == {"type": f"lifespan.{step}"}
            self.steps.append(step)
            if step in self.failures:
                failure = self.failures[step]
                if isinstance(failure, Exception):
                    raise failure
                await send({"type": f"lifespan.{step}.failed", "message": failure})
                return
            scope["state"]["pool"] = "open"
            await send({"type": f"lifespan.{step}.complete"})


def test_the_lifespan_brackets_the_server_and_its_state_is_copied(serve: Any) -> None:
    app = App()
    served = serve(app)
    assert app.steps == ["startup"]
    for _ in range(2):
        assert served.exchange(GET).endswith(b"{'pool': 'open'}")
    served.stop()
    assert app.steps == ["startup", "shutdown"]


def test_a_startup_that_fails_keeps_the_server_from_starting(serve: Any) -> None:
    with pytest.raises(StartError, match="no database"):
        serve(App(startup="no database"))


def test_an_application_without_lifespan_is_served_quietly(serve: Any, caplog: Any) -> None:
    app = App()

    async def http_only(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError("unknown scope type")
        await app(scope, receive, send)

    assert b" 200 OK" in serve(http_only).exchange(GET)
    assert [r for r in caplog.records if r.levelno > logging.DEBUG] == []


def test_a_startup_that_raises_is_logged_and_served_all_the_same(serve: Any, caplog: Any) -> None:
    assert b" 200 OK" in serve(App(startup=KeyError("no database"))).exchange(GET)
    assert "no database" in caplog.text


def test_an_application_that_must_have_a_lifespan_is_not_served_without(serve: Any) -> None:
    with pytest.raises(StartError, match="unknown scope type"):
        serve(App(startup=ValueError("unknown scope type")), lifespan="on")


def test_the_lifespan_can_be_switched_off(serve: Any) -> None:
    app = App()
    assert serve(app, lifespan="off").exchange(GET).endswith(b"{}")
    assert app.steps == []


@pytest.mark.parametrize("failure", ["not clean", KeyError("not clean")])
def test_a_shutdown_that_fails_is_logged(serve: Any, caplog: Any, failure: Any) -> None:
    serve(App(shutdown=failure)).stop()
    assert [r.levelno for r in caplog.records if r.levelno >= logging.WARNING] == [logging.ERROR]
    assert "not clean" in caplog.text
