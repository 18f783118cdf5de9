"""`channels doctor`: what stands in a project's way, and the line that changes it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import Any

from .application import find_in_current_folder, import_module
from .parser import CommandError


def add_doctor(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="look for what is wrong with a project",
        description="Look at a project's settings and at what is installed beside it, "
        "and name what to change. The exit status is 1 if something is an error.",
    )
    parser.add_argument(
        "application",
        nargs="?",
        metavar="module.path:application",
        help="default: ASGI_APPLICATION of the settings that DJANGO_SETTINGS_MODULE names",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=doctor)


def doctor(options: argparse.Namespace) -> int:
    # A project that prints while it is imported must not spoil what is read here.
    with contextlib.redirect_stdout(sys.stderr):
        settings = settings_of_project(options.application)
    from ..doctor import examine, is_error
    from ..doctor.project import look_at
    from ..doctor.report import as_values, lines, shape_of

    with contextlib.redirect_stdout(sys.stderr):
        project = look_at(settings, options.application)
    findings = examine(project)
    if options.json:
        print(json.dumps(as_values(settings, findings), indent=2))
    else:
        print("\n".join(lines(settings, findings, shape_of(sys.stdout, os.environ))))
    return int(any(map(is_error, findings)))


def settings_of_project(application: str | None) -> str:
    """Import the settings and return their name; the application's module may have to set it."""
    find_in_current_folder()
    if application is not None and "DJANGO_SETTINGS_MODULE" not in os.environ:
        _import_for_settings(application.partition(":")[0])
    name = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not name:
        raise CommandError(
            "Say which project to look at: set DJANGO_SETTINGS_MODULE, or name its application, "
            "as in channels doctor mysite.asgi:application."
        )
    import_module(name)
    return name


def _import_for_settings(module: str) -> None:
    try:
        import_module(module)
    except CommandError:
        # If it got as far as to set them, what it raised is for the doctor to tell.
        if "DJANGO_SETTINGS_MODULE" not in os.environ:
            raise
