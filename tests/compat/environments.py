"""The two environments of the compatibility tests: ours, and one with upstream's package."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
UPSTREAM_PYTHON: Final = ROOT / ".venvs" / "upstream" / "bin" / "python"
# For all rows of a module; each has a limit of its own.
MODULE_SECONDS: Final = 120.0


def python_of(environment: str) -> str:
    """The interpreter of "ours" or "upstream"."""
    if environment == "ours":
        return sys.executable
    assert environment == "upstream", environment
    assert UPSTREAM_PYTHON.exists(), "Run `make test` once: it makes .venvs/upstream."
    return str(UPSTREAM_PYTHON)


@functools.cache
def observations(environment: str, module: str, **variables: str) -> dict[str, Any]:
    """What the rows of `module` (tests.compat.rows_...) saw in that environment."""
    with tempfile.TemporaryDirectory(prefix="channels-rows-") as folder:
        finished = subprocess.run(
            [python_of(environment), "-m", "tests.compat.behaviours", module],
            cwd=ROOT,
            env={**os.environ, "ROWS_DATABASE": str(Path(folder) / "db.sqlite3"), **variables},
            capture_output=True,
            text=True,
            timeout=MODULE_SECONDS,
        )
    assert finished.returncode == 0, f"{environment}: {finished.stderr}"
    seen: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return seen
