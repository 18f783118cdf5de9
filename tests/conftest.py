from __future__ import annotations

import os
from collections.abc import Iterator

import django
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

# Only now may anything be imported that needs the settings.
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402


@pytest.fixture(scope="session")
def _migrated() -> None:
    call_command("migrate", verbosity=0, run_syncdb=True)


@pytest.fixture
def db(_migrated: None) -> Iterator[None]:
    """A migrated and empty database, usable from any thread."""
    yield
    call_command("flush", verbosity=0, interactive=False)
    connections.close_all()
