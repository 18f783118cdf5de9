"""What is said when an application fails: one record, with the path and the traceback.

A consumer that has logged an exception with more detail marks the exception
itself (`__channels_logged__`); it is not logged again here. An application that
ends with our own `ClientDisconnected` did nothing wrong: its client had left.
"""

from __future__ import annotations

import logging

from ...types import ClientDisconnected, Scope

logger = logging.getLogger("channels.server")


def describe(scope: Scope) -> str:
    """The request as a log line names it; repr keeps line breaks out of the log."""
    return f"{scope.get('method', 'WebSocket')} {scope['path']!r}"


def log_failure(scope: Scope, error: BaseException) -> None:
    if isinstance(error, ClientDisconnected) or getattr(error, "__channels_logged__", False):
        return
    logger.error("The application failed on %s.", describe(scope), exc_info=error)


def log_silence(scope: Scope, missing: str) -> None:
    logger.error("The application returned on %s without %s.", describe(scope), missing)


def log_overdue(scope: Scope, application: str, seconds: float) -> None:
    logger.warning(
        "Application %s on %s was still running %g s after its client had gone; cancelled.",
        application,
        describe(scope),
        seconds,
    )


def log_slow(scope: Scope, client: str | None) -> None:
    logger.warning(
        "The client %s on %s did not read what was sent to it in time; closed.",
        client,
        describe(scope),
    )


def log_stuck(scope: Scope, seconds: float) -> None:
    logger.warning(
        "The application on %s took nothing of what its client sent for %g s; closed.",
        describe(scope),
        seconds,
    )
