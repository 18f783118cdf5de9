"""What every test has: Django set up where it is needed, a database, a browser."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.browser_process import path_of_chromium, running_browser


@functools.cache
def set_up_django() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Before a module is imported: the wire tests alone are faster without Django."""
    if module_path.parent.name not in ("tests", "wire"):
        set_up_django()


@pytest.fixture(scope="session")
def _migrated() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True)


@pytest.fixture
def db(_migrated: None) -> Iterator[None]:
    """A migrated and empty database, usable from any thread."""
    from django.core.management import call_command
    from django.db import connections

    yield
    call_command("flush", verbosity=0, interactive=False)
    connections.close_all()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = path_of_chromium()
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: install the package `chromium`.")
        pytest.skip("needs Chromium: install the package `chromium`")
    with running_browser(chromium) as started:
        yield started
