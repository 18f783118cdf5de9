"""Who may import whom: the tree is the architecture, and this holds it up."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "channels"
STDLIB = frozenset(sys.stdlib_module_names)
# Leaves: they import the standard library alone, so everything may import them.
LEAVES = frozenset({"channels", "channels.types", "channels.mailbox", "channels.exceptions"})
LAYER_CORE = (
    "base",
    "codec",
    "copies",
    "delivery",
    "gaps",
    "groups",
    "hub",
    "kinds",
    "losses",
    "mailroom",
    "names",
    "queue",
    "waiter",
)


def modules() -> list[str]:
    names = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("channels", *path.relative_to(SOURCE).with_suffix("").parts)
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def path_of(module: str) -> Path:
    base = SOURCE.joinpath(*module.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def imports_of(module: str, *, only_at_import_time: bool = False) -> Iterator[str]:
    """The absolute names of the modules that `module` imports."""
    tree = ast.parse(path_of(module).read_text())
    nodes = tree.body if only_at_import_time else ast.walk(tree)
    package = module if path_of(module).name == "__init__.py" else module.rpartition(".")[0]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node, package)


def _imported_from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = package.split(".")
        base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if base.startswith("channels") and path_exists(full) else base


def path_exists(module: str) -> bool:
    base = SOURCE.joinpath(*module.split(".")[1:])
    return base.with_suffix(".py").exists() or (base / "__init__.py").exists()


def top(module: str) -> str:
    return module.partition(".")[0]


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def offences(module: str) -> Iterator[str]:
    for name in imports_of(module):
        if not allowed(module, name):
            yield f"{module} imports {name}"


def allowed(module: str, name: str) -> bool:
    if within(module, "channels.server.wire"):
        return _allowed_in_wire(module, name)
    if within(module, "channels.server"):
        libraries = {"uvloop"}
        own = within(name, "channels.server") or name in {
            "channels",
            "channels.types",
            "channels.mailbox",
        }
        return own or (top(name) in STDLIB | libraries)
    if module in LEAVES:
        return top(name) in STDLIB or name in LEAVES
    if within(module, *(f"channels.layers.{name}" for name in LAYER_CORE)):
        libraries = {"msgspec"} if module == "channels.layers.codec" else set()
        own = within(name, "channels.layers") or name in LEAVES
        return own or top(name) in STDLIB | libraries
    if within(module, "channels.layers.local"):
        # The supervisor hosts its bus too, and serves applications that know no Django.
        return top(name) in STDLIB or within(name, "channels.layers") or name in LEAVES
    if within(module, "channels.layers") and top(name) == "django":
        return module in {"channels.layers.settings", "channels.layers.postgres"}
    if within(name, "channels.testing"):
        return within(module, "channels.testing")
    if within(name, "channels.server"):
        return within(module, "channels.management", "channels.testing", "channels.command")
    if within(name, "channels.layers") and not within(module, "channels.layers"):
        return name == "channels.layers"
    return True


def _allowed_in_wire(module: str, name: str) -> bool:
    forbidden = {"asyncio", "socket", "ssl", "threading", "time"}
    libraries = {"channels.server.wire.h1": {"httptools"}, "channels.server.wire.h2": {"h2"}}
    if within(name, "channels.server.wire") or name in {"channels", "channels.types"}:
        return True
    return top(name) in (STDLIB - forbidden) | libraries.get(module, set())


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_its_place_allows(module: str) -> None:
    assert list(offences(module)) == []


def test_the_rules_see_what_they_forbid() -> None:
    assert not allowed("channels.server.wire.ws.frames", "asyncio")
    assert not allowed("channels.server.connection", "django.conf")
    assert not allowed("channels.server.connection", "channels.layers")
    assert not allowed("channels.consumer", "channels.layers.memory")
    assert not allowed("channels.consumer", "channels.server")
    assert not allowed("channels.layers.hub", "django.conf")
    assert not allowed("channels.layers.memory", "django.conf")
    assert not allowed("channels.routing", "channels.testing")
    assert not allowed("channels.mailbox", "asgiref.sync")


def test_there_are_no_import_cycles() -> None:
    ours = set(modules())
    graph = {
        module: ours.intersection(imports_of(module, only_at_import_time=True)) - {module}
        for module in ours
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join((*trail, module))}"
        if module not in done:
            for name in graph[module]:
                visit(name, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())
