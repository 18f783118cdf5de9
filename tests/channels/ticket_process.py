"""A process of its own that shows tickets, as one of a server's workers does.

It says that it is ready, and answers each line, a ticket, with whether it was let in.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from subprocess import PIPE, Popen
from typing import Any

PATH = "/ws/chat/"


@contextmanager
def processes(count: int, caches: dict[str, Any], database: str) -> Iterator[list[Popen[str]]]:
    """Start `count` of them, and return when all are ready."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.getcwd(),
        "CHANNELS_TEST_DATABASE": database,
        "CHANNELS_TEST_CACHES": json.dumps(caches),
    }
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            command = [sys.executable, __file__]
            process = Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment)
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started


def let_in(started: list[Popen[str]], ticket: str) -> int:
    """Show all of them a ticket at once; how many let it in."""
    for process in started:
        assert process.stdin is not None
        process.stdin.write(f"{ticket}\n")
        process.stdin.flush()
    answers = [process.stdout.readline() for process in started if process.stdout is not None]
    assert set(answers) <= {"True\n", "False\n"}
    return answers.count("True\n")


async def _shown(ticket: str) -> bool:
    from calls import CONNECT, Recorder, acall, websocket_scope

    from channels.security.authentication import AuthenticationMiddleware
    from channels.security.tickets import OneTimeTicket

    app = Recorder()
    scope = websocket_scope(PATH, query_string=f"ticket={ticket}".encode())
    await acall(AuthenticationMiddleware(app, [OneTimeTicket()]), scope, [CONNECT])
    return bool(app.scopes)


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django
    from django.conf import settings

    settings.CACHES = json.loads(os.environ["CHANNELS_TEST_CACHES"])
    django.setup()
    print("ready", flush=True)
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            print(runner.run(_shown(line.strip())), flush=True)


if __name__ == "__main__":
    main()
