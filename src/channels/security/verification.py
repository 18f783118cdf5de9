"""Asking the project whose token this is, without letting the token out.

An exception's text may quote what was being parsed. So of what `verify` raises
only the class and the lines of code are passed on: no text, and no traceback,
whose frames error reporters would search for values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from traceback import extract_tb
from typing import Any, Final

from ..db import database_sync_to_async
from ..utils import name_that_thing
from .authenticators import AuthenticationFailed, VerifyError

# Of the traceback: where it happened, without the way through threads to it.
SHOWN_FRAMES: Final = 5

# A function of the token, sync or async, that returns its user, or None for a wrong one.
Verify = Callable[[str], Any]


def check_verify(verify: Verify, owner: str) -> None:
    if not callable(verify):
        raise TypeError(
            f"{owner} takes a function of the token that returns its user or None, "
            f"but came {verify!r:.80}."
        )


async def user_of(token: str, verify: Verify) -> Any:
    """Return the token's user; AuthenticationFailed where `verify` knows none."""
    try:
        user = await _asked(token, verify)
    except AuthenticationFailed as failure:
        failed: Exception = AuthenticationFailed(
            str(failure).replace(token, "..."), told=failure.told.replace(token, "...")
        )
    except Exception as error:
        failed = VerifyError(_described(error, verify))
    else:
        if user is None:
            raise AuthenticationFailed(f"{name_that_thing(verify)} knows no such token")
        return user
    # Out here, so that the original does not become its context.
    raise failed


async def _asked(token: str, verify: Verify) -> Any:
    if inspect.iscoroutinefunction(verify):
        return await verify(token)
    user = await database_sync_to_async(verify)(token)
    # Of a lambda or a callable object: a coroutine would pass for a user.
    return await user if inspect.isawaitable(user) else user


def _described(error: Exception, verify: Verify) -> str:
    innermost = extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    lines = "".join(f"\n  {frame.filename}:{frame.lineno} in {frame.name}" for frame in innermost)
    return (
        f"{name_that_thing(verify)} raised {name_that_thing(type(error))} instead of returning "
        f"a user or None. Its text is not shown: it may hold the token.{lines}"
    )
