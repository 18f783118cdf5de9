"""The behaviour table: each row, in our environment and in upstream's.

What a row expects of upstream is tested by asking upstream. What it expects of
ours is the same, or else a difference on purpose: then the page on compatibility
names the row.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.compat.behaviours import Row, Rows, plain
from tests.compat.environments import ROOT, observations

pytestmark = pytest.mark.slow

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("rows_*.py"))


def rows_of(module: str) -> Rows:
    rows: Rows = importlib.import_module(f"tests.compat.{module}").row
    return rows


EVERY_ROW = [
    pytest.param(module, name, row, id=f"{module}-{name}")
    for module in MODULES
    for name, row in rows_of(module).items()
]
MENDED_ROWS = [case for case in EVERY_ROW if case.values[2].ours != case.values[2].upstream]


def as_it_arrives(value: Any) -> Any:
    return json.loads(json.dumps(value, default=plain))


@pytest.mark.parametrize("environment", ["ours", "upstream"])
@pytest.mark.parametrize(("module", "name", "row"), EVERY_ROW)
def test_a_row_behaves_as_stated(module: str, name: str, row: Row, environment: str) -> None:
    expected = row.ours if environment == "ours" else row.upstream
    seen = observations(environment, f"tests.compat.{module}")
    assert seen[name] == as_it_arrives(expected)


@functools.cache
def page() -> str:
    return (ROOT / "docs" / "compatibility.md").read_text()


@pytest.mark.parametrize(("module", "name", "row"), MENDED_ROWS)
def test_a_row_that_differs_is_named_in_the_docs(module: str, name: str, row: Row) -> None:
    assert f"`{name}`" in page(), f"{module}: {row.upstream!r} became {row.ours!r}"


def test_no_two_rows_share_a_name() -> None:
    names = Counter(case.values[1] for case in EVERY_ROW)
    assert [name for name, times in names.items() if times > 1] == []
