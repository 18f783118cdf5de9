"""The application that a command is told, or that the settings of a project name."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from .parser import CommandError


def load_application(path: str | None) -> Any:
    """Import `module.path:name`, or what Django's settings name if `path` is None."""
    find_in_current_folder()
    if path is None:
        path = application_of_settings()
    module_name, _, name = path.partition(":")
    if not module_name or not name or module_name.startswith((".", "/")):
        raise CommandError(f"The application is given as module.path:name, but came {path!r}.")
    found = import_module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise CommandError(f"Module {module_name!r} has no {name!r}.")
        found = getattr(found, part)
    if not callable(found):
        raise CommandError(f"{path!r} is no ASGI application: {found!r:.80} cannot be called.")
    return found


def find_in_current_folder() -> None:
    """Have modules of the current folder imported, as with `manage.py`."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def import_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise CommandError(f"Cannot import {name!r}: {error}{_where(error)}.") from error
    except Exception as error:
        raise CommandError(
            f"Cannot import {name!r}: {type(error).__name__}: {error}{_where(error)}."
        ) from error


def _where(error: Exception) -> str:
    """The line of the user's that failed; nothing where the error tells, or there is none."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in (__file__, importlib.__file__)
        and not frame.filename.startswith("<frozen ")
    ]
    if isinstance(error, SyntaxError) or not frames:
        return ""
    # What the user's line called may have failed deep inside of a library.
    frame = next(filter(_is_in_current_folder, reversed(frames)), frames[-1])
    return f" ({frame.filename}, line {frame.lineno})"


def _is_in_current_folder(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.is_relative_to(Path.cwd()) and "site-packages" not in path.parts


def application_of_settings() -> str:
    settings_name = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not settings_name:
        raise CommandError(
            "Say which application to serve, as module.path:name, or set DJANGO_SETTINGS_MODULE."
        )
    settings = import_module(settings_name)
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        raise CommandError(f"The settings {settings_name!r} have no ASGI_APPLICATION.")
    module_name, _, name = str(path).rpartition(".")
    if not module_name:
        raise CommandError(
            f"ASGI_APPLICATION of {settings_name!r} is a dotted path, as in "
            f"'mysite.asgi.application', but it is {path!r}."
        )
    return f"{module_name}:{name}"
