"""The lifespan of an application: started before the first request, ended after the last.

One task runs the application for as long as the server lives. An application
that raises instead of answering does not know the protocol (ASGI lifespan 2.0)
and is served without it, unless the configuration insists.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from ...mailbox import Mailbox
from ...types import ASGIApplication, Message

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, Task

logger = logging.getLogger("channels.server")

# What the application's answers end: the step it was asked for.
_ANSWERS: Final = {
    "lifespan.startup.complete": "startup",
    "lifespan.startup.failed": "startup",
    "lifespan.shutdown.complete": "shutdown",
    "lifespan.shutdown.failed": "shutdown",
}


class LifespanFailed(Exception):
    """The application said that it could not start or stop."""


class Lifespan:
    """Runs `startup` and `shutdown` of one application; `state` is what it left for its scopes."""

    def __init__(self, application: ASGIApplication, loop: AbstractEventLoop, mode: str) -> None:
        self.state: dict[str, Any] = {}
        self._application = application
        self._loop = loop
        self._mode = mode
        self._mailbox = Mailbox(loop)
        self._task: Task[None] | None = None
        self._step = ""
        self._answer: Future[str | None] | None = None

    async def startup(self) -> None:
        """Start the application; LifespanFailed if it says that it cannot."""
        if self._mode == "off":
            return
        self._task = self._loop.create_task(self._run())
        failure = await self._ask("startup")
        if failure is not None:
            # One that goes on to wait for its shutdown must not hold up ours.
            self._task.cancel()
            raise LifespanFailed(failure)

    async def shutdown(self) -> None:
        """Let the application clean up; what fails is logged."""
        if self._task is None or self._task.done():
            return
        failure = await self._ask("shutdown")
        if failure is not None:
            logger.error("The application failed to shut down: %s", failure)
        await self._task

    async def _ask(self, step: str) -> str | None:
        self._step = step
        self._answer = self._loop.create_future()
        self._mailbox.put_client({"type": f"lifespan.{step}"}, 0)
        return await self._answer

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._application(scope, self._mailbox.receive, self._send)
        except Exception as error:
            self._raised(error)
        finally:
            # Also where it was cancelled: somebody waits for an answer.
            self._settle(None)

    def _raised(self, error: Exception) -> None:
        if self._step != "startup" or self._answered():
            logger.error("The application failed in its lifespan.", exc_info=error)
        elif self._mode == "on":
            self._settle(f"{type(error).__name__}: {error}")
        elif len(self._mailbox):
            # It never asked for the event: it does not know the protocol.
            logger.debug("The application is served without lifespan; it raised %r.", error)
        else:
            logger.error("The application failed to start; it is served anyway.", exc_info=error)

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if _ANSWERS.get(kind) != self._step or self._answered():
            raise RuntimeError(f"{kind!r} was sent; nothing of that kind was asked for now.")
        failed = kind.endswith("failed")
        self._settle((message.get("message") or "no reason given") if failed else None)

    def _answered(self) -> bool:
        return self._answer is None or self._answer.done()

    def _settle(self, failure: str | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(failure)
