"""Where a setting stands in the code: the file and line that a user has to change.

Read from the source and not from memory, since values do not know their lines. A
setting that is made in a way which cannot be read so has no place.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from .findings import Place

# Statements that hold others: a line of theirs is looked for in those.
_BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.FunctionDef, ast.ClassDef)


def place_of(module: str, setting: str, element: str | None = None) -> Place | None:
    """Return the line where a setting is made, or where `element` is put into it."""
    for path, tree in _sources(module, set()):
        lines = [line for statement in _about(tree, setting) for line in _lines(statement, element)]
        if lines:
            # The last one counts.
            return _place(path, lines[-1])
    return None


def _sources(module: str, seen: set[str]) -> Iterator[tuple[Path, ast.Module]]:
    """A module's code, then that of the modules it takes settings from."""
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    if module in seen or path.suffix != ".py" or not path.exists():
        return
    seen.add(module)
    tree = ast.parse(path.read_bytes())
    yield path, tree
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from _sources(_imported(module, path, node), seen)


def _imported(module: str, path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        return importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    except ImportError:
        return ""


def _about(tree: ast.Module, setting: str) -> Iterator[ast.stmt]:
    """The statements that name a setting, in which it is made or changed."""
    for statement in ast.walk(tree):
        if isinstance(statement, ast.stmt) and not isinstance(statement, _BLOCKS):
            names = (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
            if setting in names:
                yield statement


def _lines(statement: ast.stmt, element: str | None) -> Iterator[int]:
    if element is None:
        yield statement.lineno
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # An app may be given by its configuration's class.
            if node.value == element or node.value.startswith(f"{element}."):
                yield node.lineno


def _place(path: Path, line: int) -> Place:
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()[line - 1].strip()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return Place(str(shown), line, text)
