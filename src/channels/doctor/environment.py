"""Checks of what is installed: versions, and who ships the package `channels`."""

from __future__ import annotations

import os
import re
from typing import Final

from .findings import Finding, Findings, Level
from .project import Project

# As this package's metadata asks for.
LOWEST: Final = {"python": (3, 11), "django": (5, 2), "asgiref": (3, 13)}
TITLES: Final = {"python": "Python", "django": "Django", "asgiref": "asgiref"}


def check_environment(project: Project) -> Findings:
    """Versions, the event loop, copies of this package, daphne."""
    for name, lowest in LOWEST.items():
        yield _version(TITLES[name], name, project.versions.get(name, "0"), lowest)
    yield _loop(project)
    yield from _copies(project)
    if "daphne" in project.versions and "daphne" not in project.apps:
        text = f"{project.versions['daphne']} is installed, and nothing in the settings needs it."
        yield Finding(Level.OK, "daphne", text)


def _version(title: str, name: str, version: str, lowest: tuple[int, int]) -> Finding:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers >= lowest:
        return Finding(Level.OK, title, version)
    needed = ".".join(map(str, lowest))
    advice = f"Install {title} {needed} or newer."
    if name == "python":
        return Finding(Level.ERROR, title, f"{version} is older than {needed}.", advice)
    code = f'python -m pip install --upgrade "{name}>={needed}"'
    return Finding(Level.ERROR, title, f"{version} is older than {needed}.", advice, code)


def _loop(project: Project) -> Finding:
    if "uvloop" in project.versions:
        return Finding(Level.OK, "uvloop", project.versions["uvloop"])
    if os.name != "posix":
        return Finding(Level.OK, "uvloop", "There is none for this system.")
    return Finding(
        Level.HINT,
        "uvloop",
        "It is missing, so the server runs on asyncio's own loop, at about half the speed.",
        "Install it.",
        "python -m pip install uvloop",
    )


def _copies(project: Project) -> Findings:
    elsewhere = any(copy.file != project.package for copy in project.copies)
    if len(project.copies) > 1 or elsewhere:
        told = ", ".join(f"{copy.distribution} {copy.version}" for copy in project.copies)
        yield Finding(
            Level.ERROR,
            "channels",
            f"There is more than one package channels, of {told}. This one is {project.package}. "
            "Which of their files is imported is chance.",
            "Take all of them out, then install one.",
            _uninstall(project),
        )
    if project.shadow:
        yield Finding(
            Level.ERROR,
            "channels",
            f"manage.py imports {project.shadow} instead of the package channels.",
            "Give it another name.",
        )


def _uninstall(project: Project) -> str:
    names = dict.fromkeys(copy.distribution for copy in project.copies)
    return f"python -m pip uninstall {' '.join(names)}"
