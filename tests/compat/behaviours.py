"""The behaviour table's language, and the program that runs a part of it.

A row is a function that does something with whichever `channels` can be imported
and answers what it saw, as values that JSON knows. It states what the Django
project's package answers and, where ours differs on purpose, what ours does:

    @row(upstream={"raises": "ValueError", "says": "..."})
    def a_message_without_a_type():
        return outcome(get_handler_name, {})

`python -m tests.compat.behaviours MODULE` runs the rows of one module, here or in
the environment that has upstream's package, and prints what came. So each
expectation about upstream is tested too.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

# A row that waits for longer has hung.
ROW_SECONDS: Final = 10.0

UPSTREAM_ERRORS: Final = frozenset(
    {
        "AcceptConnection",
        "ChannelFull",
        "DenyConnection",
        "InvalidChannelLayerError",
        "MessageTooLarge",
        "RequestAborted",
        "RequestTimeout",
        "StopConsumer",
    }
)


class Row(NamedTuple):
    observe: Callable[[], Any]
    upstream: Any
    ours: Any


class Rows(dict[str, Row]):
    """The rows of one module, by name; calling it makes the decorator of a row."""

    def __call__(self, *, upstream: Any, **mended: Any) -> Callable[[Any], Any]:
        """`ours=`: what ours answers instead; then docs/compatibility.md names the row."""

        def add(function: Any) -> Any:
            assert function.__name__ not in self, f"two rows are called {function.__name__}"
            self[function.__name__] = Row(function, upstream, mended.get("ours", upstream))
            return function

        return add


def outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns, or `{"raises": class, "says": text}`."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return failure(error)


async def async_outcome(awaitable: Awaitable[Any]) -> Any:
    """As `outcome`, of what is awaited."""
    try:
        return await awaitable
    except Exception as error:
        return failure(error)


def failure(error: Exception) -> dict[str, str]:
    """The class by which a project can catch it: one of Python's, Django's or upstream's."""
    known = (kind for kind in type(error).__mro__ if not _is_ours_alone(kind))
    return {"raises": next(known).__name__, "says": str(error)}


def _is_ours_alone(kind: type) -> bool:
    return kind.__module__.startswith("channels.") and kind.__name__ not in UPSTREAM_ERRORS


def is_ours() -> bool:
    """For the few rows that have to get at the same thing by another way."""
    import channels

    return channels.__version__.startswith("4.9")


def set_up_django(**settings: Any) -> None:
    """Settings as a small project has them; a module of rows calls this before it imports.

    The test that lists the rows imports them too, in a process that has settings: those stay.
    """
    import django
    from django.conf import settings as django_settings

    if django_settings.configured:
        return
    defaults: dict[str, Any] = {
        "SECRET_KEY": "not a secret",
        "ALLOWED_HOSTS": ["*"],
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "channels",
        ],
        "DATABASES": {
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["ROWS_DATABASE"]}
        },
        "USE_TZ": True,
        "CHANNEL_LAYERS": {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    }
    django_settings.configure(**{**defaults, **settings})
    django.setup()


def observed(row: Row) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(ROW_SECONDS):
            return await row.observe()

    try:
        seen = asyncio.run(bounded()) if inspect.iscoroutinefunction(row.observe) else row.observe()
        # As it arrives on the other side: tuples become lists here too.
        return json.loads(json.dumps(seen, default=plain))
    except (Exception, asyncio.CancelledError) as error:
        return {"the row itself failed": repr(error)}


def plain(value: Any) -> Any:
    """What JSON does not know, as a value that it does: bytes as Python writes them."""
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"A row answers what JSON knows, bytes and sets, but not {value!r}")


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    rows: Rows = module.row
    print(json.dumps({name: observed(row) for name, row in rows.items()}))


if __name__ == "__main__":
    main()
