"""Our server in a thread of the test's process.

A thread and not a process: the test and what it tests then share settings, caches,
the channel layer in memory and the outbox of mails, and nothing must be pickled.
"""

from __future__ import annotations

import threading
from typing import Final

from channels.server import Server, ServerConfig
from channels.types import ASGIApplication

# What importing and starting may take; an application whose lifespan hangs never starts.
START_SECONDS: Final = 60.0
# What running requests and sockets get at the end of a test class.
STOP_SECONDS: Final = 2.0
# A server that has not ended by then never will.
END_SECONDS: Final = 20.0


class ServerThread:
    """Serves an application from `start` until `stop`."""

    def __init__(self, application: ASGIApplication, host: str) -> None:
        config = ServerConfig(host=host, port=0, graceful_timeout=STOP_SECONDS)
        self._server = _Started(application, config)
        self._thread = threading.Thread(target=self._run, name="channels-live-server", daemon=True)

    def start(self) -> int:
        """Return the port when connections are accepted; raises what kept it from starting."""
        self._thread.start()
        if not self._server.tried.wait(START_SECONDS):
            raise RuntimeError(
                f"The live server did not start within {START_SECONDS:g} s: its application does "
                "not answer lifespan.startup."
            )
        if self._server.error is not None:
            self._thread.join()
            raise self._server.error
        address = self._server.addresses[0]
        assert isinstance(address, tuple), "it listens on a port"
        return address[1]

    def stop(self) -> None:
        """Close all sockets, and return when nothing of the server runs any more."""
        self._server.request_drain()
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            raise RuntimeError(
                f"The live server did not stop within {END_SECONDS:g} s: a blocking call in one of "
                "its threads does not end."
            )

    def _run(self) -> None:
        try:
            self._server.run()
        except BaseException as error:
            if self._server.tried.is_set():
                raise
            self._server.error = error
        finally:
            self._server.tried.set()


class _Started(Server):
    """A server that keeps why it did not start, for another thread to raise."""

    def __init__(self, application: ASGIApplication, config: ServerConfig) -> None:
        super().__init__(application, config)
        self.tried = threading.Event()
        self.error: BaseException | None = None

    async def start(self) -> None:
        try:
            await super().start()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.tried.set()
