"""Talks to one ASGI application: gives it events, takes what it sends.

The application runs in a task beside the test and is never cancelled because a
test waited in vain: a timeout says so and leaves it running. What the
application itself raises reaches the test at once, from whichever call waits or
comes next. Its blocking calls run where the test's own do, so they see the
test's database transaction.
"""

# ruff: noqa: ASYNC109 - the parameter `timeout` is part of the API.
from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final, Self

from asgiref.compatibility import guarantee_single_callable
from asgiref.testing import ApplicationCommunicator as PlainCommunicator

from ..consumer import as_application
from ..threads import context_of_the_lane_alone, test_lane
from ..types import ASGIApplication, Message, Scope

# What a cancelled application may still take to clean up.
END_SECONDS: Final = 10.0


class ApplicationCommunicator(PlainCommunicator):
    """Runs `application` (or a consumer class) for one scope.

    It starts with the first call that needs it, so `scope` may be changed before.
    `async with` ends it at the end of the block. Of asgiref's communicator it keeps
    the name and the calls: nothing of how it works.
    """

    def __init__(self, application: Any, scope: Scope) -> None:
        single = guarantee_single_callable(as_application(application))  # type: ignore[no-untyped-call]
        self.application: ASGIApplication = single
        self.scope = scope
        self._input_queue: asyncio.Queue[Message] = asyncio.Queue()
        self._output_queue: asyncio.Queue[Message] = asyncio.Queue()
        self._future: asyncio.Task[None] | None = None
        # Set when there is output, or when the application ends.
        self._news = asyncio.Event()
        # The test has been told how the application ended.
        self._told = False

    def __del__(self) -> None:
        """Nothing, where asgiref's cancels: a test's leftovers are its event loop's to tell."""

    @property
    def input_queue(self) -> asyncio.Queue[Message]:
        """What the application has yet to receive."""
        return self._input_queue

    @property
    def output_queue(self) -> asyncio.Queue[Message]:
        """What the application sent and the test has not received."""
        return self._output_queue

    @property
    def future(self) -> asyncio.Task[None]:
        """The task that runs the application; it starts now if it did not before."""
        if self._future is None:
            with test_lane():
                # What the test has set in its own context is not there under a server either.
                self._future = asyncio.get_running_loop().create_task(
                    self._run(), context=context_of_the_lane_alone()
                )
            self._future.add_done_callback(lambda _: self._news.set())
        return self._future

    async def _run(self) -> None:
        await self.application(self.scope, self.input_queue.get, self._send)

    async def _send(self, message: Message) -> None:
        self.output_queue.put_nowait(message)
        self._news.set()

    # -- talking -----------------------------------------------------------

    async def send_input(self, message: Message) -> None:
        """Give the application one event; raise its exception if it has failed."""
        self._raise_failure()
        self.input_queue.put_nowait(message)

    async def receive_output(self, timeout: float = 1) -> Message:
        """Return the next event that the application sends.

        Raises the application's exception if it fails first, and TimeoutError if
        nothing comes in `timeout` seconds or the application has returned.
        """
        await self._wait_for_news(timeout)
        if not self.output_queue.empty():
            return self.output_queue.get_nowait()
        self._raise_failure()
        if self.future.done():
            raise TimeoutError("The application has returned; nothing more will come from it.")
        raise TimeoutError(f"The application sent nothing in {timeout} s. It is still running.")

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:
        """Tell whether the application sends nothing for `timeout` seconds.

        What it sends stays to be received. An exception of the application that the
        test has not seen is raised. `interval` is there for old callers: nothing polls.
        """
        await self._wait_for_news(timeout)
        if not self.output_queue.empty():
            return False
        if not self._told:
            self._raise_failure()
        return True

    async def _wait_for_news(self, timeout: float) -> None:
        """Return when there is output, when the application has ended, or after `timeout`."""
        future = self.future
        try:
            async with asyncio.timeout(timeout):
                while self.output_queue.empty() and not future.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    def _raise_failure(self) -> None:
        if self.future.done():
            self._told = True
            # A cancelled one was stopped by the test, which knows.
            if not self.future.cancelled():
                self.future.result()

    # -- ending ------------------------------------------------------------

    async def wait(self, timeout: float = 1) -> None:
        """Return when the application has ended; raise its exception.

        TimeoutError if it runs longer than `timeout` seconds; it goes on running.
        """
        await asyncio.wait([self.future], timeout=timeout)
        if not self.future.done():
            raise TimeoutError(f"The application has not ended in {timeout} s.")
        self._raise_failure()

    def stop(self, exceptions: bool = True) -> None:
        """Cancel the application; if it has ended already, raise its exception.

        `exceptions=False` raises nothing.
        """
        if self._future is None:
            return
        if not self._future.done():
            self._future.cancel()
        elif exceptions:
            self._raise_failure()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._future is None:
            return
        seen = self._told or kind is not None
        self._future.cancel()
        await asyncio.wait([self._future], timeout=END_SECONDS)
        if not self._future.done():
            raise TimeoutError(f"The application did not end in {END_SECONDS} s when cancelled.")
        if not seen:
            self._raise_failure()
