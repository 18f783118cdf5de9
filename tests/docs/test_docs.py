"""The documentation holds: its code runs, its commands parse, its tables are the code's."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from doc_pages import (
    PAGES,
    ROOT,
    SOURCE,
    Block,
    anchors,
    blocks,
    code_spans,
    links,
    plain,
    table,
    tables,
)

from channels.__main__ import main, make_config, make_parser
from channels.layers import InMemoryChannelLayer, channel_layers, codec
from channels.layers.local import LocalChannelLayer
from channels.server import ServerConfig

DOCS = ROOT / "docs"
SERVER, LAYERS, CONSUMERS = DOCS / "server.md", DOCS / "layers.md", DOCS / "consumers.md"
# What a block may be, and so what happens to it. `text` holds drawings and log lines.
LANGUAGES = {"python", "sh", "text", "js", "check"}
# Of the example project; test_docs_readme.py runs them there.
PROJECT_MARKS = ("file:", "append:", "client")
PERMISSIONS = DOCS / "permissions.md"
CONSTANT_PAGES = [SERVER, LAYERS, CONSUMERS, DOCS / "authentication.md", PERMISSIONS]


def of(page: Path) -> str:
    return str(page.relative_to(ROOT))


all_pages = pytest.mark.parametrize("page", PAGES, ids=of)


@pytest.fixture
def fresh_layers() -> Iterator[None]:
    """Layers of this test alone."""
    before, channel_layers.backends = channel_layers.backends, {}
    yield
    channel_layers.backends = before


# -- code ------------------------------------------------------------------------


@all_pages
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    strange = [block.place for block in blocks(page) if block.language not in LANGUAGES]
    assert strange == []


@all_pages
def test_no_comment_is_passed_over(page: Path) -> None:
    text = page.read_text()
    understood = sum(bool(block.mark) or block.language == "check" for block in blocks(page))
    assert text.count("<!--") == understood


@pytest.mark.usefixtures("db", "fresh_layers")
@all_pages
def test_the_python_code_of_a_page_runs(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language in ("python", "check") and not block.mark.startswith(PROJECT_MARKS):
            execute(block, namespace)


def execute(block: Block, namespace: dict[str, Any]) -> None:
    kind, _, error = block.mark.partition(": ")
    if kind == "raises":
        with pytest.raises(getattr(__import__("builtins"), error)):
            run(block, namespace)
    else:
        assert not block.mark, f"{block.place}: nothing is known of {block.mark!r}"
        run(block, namespace)


def run(block: Block, namespace: dict[str, Any]) -> None:
    """Run the block where it stands in its page; one that awaits gets a loop."""
    # Empty lines before it, so that tracebacks name the line of the page.
    source = "\n" * (block.line - 1) + block.code
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, str(block.page), "exec", flags=flags, dont_inherit=True)
    result = eval(code, namespace)
    if inspect.iscoroutine(result):
        asyncio.run(bounded(result))


async def bounded(coroutine: Any) -> None:
    async with asyncio.timeout(20):
        await coroutine


# -- commands --------------------------------------------------------------------


@all_pages
def test_every_command_of_a_page_would_be_understood(page: Path) -> None:
    for block in blocks(page):
        if block.language == "sh":
            for line in block.code.splitlines():
                if words := shlex.split(line, comments=True):
                    understand(words, block.place)


def understand(words: list[str], place: str) -> None:
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    match words:
        case ["make", *targets]:
            assert set(targets) <= makefile_targets(), place
        case ["channels", *arguments] | ["python", "-m", "channels", *arguments]:
            if arguments != ["--version"]:
                make_parser().parse_args(arguments)
        case ["python", "manage.py", name, *arguments]:
            command = load_command_class(get_commands()[name], name)
            command.create_parser("manage.py", name).parse_args(arguments)
        case [".venv/bin/pytest", *arguments]:
            paths = [word for word in arguments if word.startswith("tests")]
            assert all((ROOT / path).exists() for path in paths), place
        case ["git", "clone", *_] | ["cd", _] | ["kill", *_]:
            pass
        case ["django-admin", "startproject", _]:
            pass
        case ["python", "-m", "pip", "install" | "uninstall", *_]:
            pass
        case _:
            raise AssertionError(f"{place}: nothing is known of the command {words}")


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z]+):.*## ", text, flags=re.M))


def test_a_wrong_command_is_noticed() -> None:
    for words in (["make", "coffee"], ["channels", "serve", "--tea"], ["rm", "-rf", "/"]):
        with pytest.raises((AssertionError, SystemExit)):
            understand(words, "here")


# -- tables ----------------------------------------------------------------------


def test_the_options_of_serve_are_those_of_the_parser() -> None:
    (commands,) = (action for action in make_parser()._actions if action.choices)
    assert isinstance(commands.choices, dict)
    serve = commands.choices["serve"]
    config = make_config(serve.parse_args([]))
    # Of the options that say None, what is made of them.
    made = {"bind": config.host, "port": config.port}
    expected = {
        ", ".join(f"`{name}`" for name in action.option_strings): str(
            made.get(action.dest, action.default)
        )
        for action in serve._actions
        if action.option_strings and action.dest != "help"
    }
    assert {row[0]: plain(row[1]) for row in table(SERVER, "Option")} == expected


def test_the_settings_of_the_server_are_those_of_its_config() -> None:
    rows = table(SERVER, "Setting")
    documented = {plain(row[0]): ast.literal_eval(plain(row[1])) for row in rows}
    assert documented == {field.name: field.default for field in fields(ServerConfig)}
    assert all(row[2] for row in rows), "each setting says what it is for"


def test_the_environment_variables_are_those_that_the_code_reads() -> None:
    source = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    read = set(re.findall(r'"(CHANNELS_[A-Z_]+|DJANGO_SETTINGS_MODULE)"', source))
    django = set(re.findall(r'getattr\(settings, "(CHANNELS_\w+)"', source))
    assert {plain(row[0]) for row in table(SERVER, "Variable")} == read - django


def test_the_settings_about_ended_sessions_are_those_that_the_code_reads() -> None:
    source = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    read = set(re.findall(r'getattr\(settings, "(CHANNELS_\w+)", (\w+)\)', source))
    rows = table(PERMISSIONS, "Setting")
    assert {(plain(row[0]), plain(row[1])) for row in rows} == read


def test_the_loggers_are_those_that_the_code_has() -> None:
    source = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    used = set(re.findall(r'getLogger\("([\w.]+)"\)', source))
    assert {plain(row[0]) for row in table(SERVER, "Logger")} == used - {"channels"}


def test_the_system_checks_are_those_that_exist() -> None:
    used = set(re.findall(r'id="(channels\.\w+)"', (SOURCE / "checks.py").read_text()))
    assert {plain(row[0]) for row in table(SERVER, "Check")} == used


def test_the_exit_statuses_are_what_serve_answers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert [plain(row[0]) for row in table(SERVER, "Status")] == ["0", "1"]
    missing = str(tmp_path / "missing" / "log")
    for arguments in (["nowhere:application"], ["json:nothing"], ["json:loads", "-p", "70000"]):
        assert main(["serve", *arguments]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["serve", "json:loads", "--access-log", missing]) == 1
    with pytest.raises(SystemExit, match="1"):
        main(["serve", "--no-such-option"])


@pytest.mark.parametrize(
    ("heading", "layer"), [("Argument", InMemoryChannelLayer), ("Option", LocalChannelLayer)]
)
def test_the_arguments_of_a_layer_are_its_constructors(heading: str, layer: Any) -> None:
    parameters = inspect.signature(layer).parameters.values()
    expected = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
    rows = table(LAYERS, heading)
    assert {plain(row[0]): ast.literal_eval(plain(row[1])) for row in rows} == expected


def test_the_counts_of_a_layer_are_its_statistics() -> None:
    documented = [plain(row[0]) for row in table(LAYERS, "Count")]
    assert documented == list(LocalChannelLayer().statistics())
    assert documented[:-4] == list(InMemoryChannelLayer().statistics())


def test_the_types_of_values_are_those_that_the_codec_carries() -> None:
    documented = [name for row in table(LAYERS, "Type") for name in row[0].split(", ")]
    assert sorted(map(plain, documented)) == sorted(kind.__name__ for kind in codec._PACKERS)


def test_every_line_that_layers_log_is_explained() -> None:
    explained = tuple(plain(row[0]) for row in table(LAYERS, "Log line"))
    lines = [line for path in (SOURCE / "layers").rglob("*.py") for line in logged(path)]
    assert len(lines) > 20
    assert [line for line in lines if not line.startswith(explained)] == []


def logged(path: Path) -> Iterator[str]:
    """The texts that a module logs, with dots for what is put in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and re.match(
            r"logger\.(info|warning|error|exception)$", ast.unparse(node.func)
        ):
            text = re.sub(r"%\w", "...", ast.literal_eval(node.args[0]))
            # A whole sentence from elsewhere, which says what to do itself.
            if text != "...":
                yield text


@pytest.mark.parametrize("page", CONSTANT_PAGES, ids=of)
def test_constants_have_the_value_that_a_page_says(page: Path) -> None:
    for name, value, *_ in table(page, "Constant"):
        module, _, attribute = plain(name).rpartition(".")
        assert getattr(importlib.import_module(module), attribute) == float(plain(value)), name


def test_the_dependencies_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["reload"]]
    names = {re.split(r"[<>=; ]", requirement)[0] for requirement in needed}
    assert {plain(row[0]) for row in table(DOCS / "design.md", "Library")} == names


def test_the_commands_are_those_of_the_makefile() -> None:
    rows = table(ROOT / "CONTRIBUTING.md", "Command")
    assert {plain(row[0]).removeprefix("make ") for row in rows} == makefile_targets()


# -- what pages refer to ---------------------------------------------------------


@all_pages
def test_every_relative_link_resolves(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@all_pages
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    known = {path.stem for path in files}
    for path in files:
        known.update(re.findall(r"^\s*(?:async )?def (test_\w+)\(", path.read_text(), flags=re.M))
    named = {span for span in code_spans(page) if re.fullmatch(r"test_\w+", span)}
    assert named - known == {"test_lane"} & named


@all_pages
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    places = [ROOT, SOURCE, page.parent]
    for span in code_spans(page):
        # Not the files of the README's project, nor URLs.
        if re.fullmatch(r"(?!mysite|/)[\w./-]+(\.py|\.md|\.toml|/)", span):
            assert any((place / span).exists() for place in places), span


def test_every_module_has_its_place_in_the_reading_order() -> None:
    named = set(code_spans(DOCS / "architecture.md"))
    modules = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")}
    missing = {name for name in modules if not name.endswith("__init__.py")} - named
    assert missing == set(), "name these in docs/architecture.md"


def test_every_quirk_names_what_holds_it_and_that_exists() -> None:
    page = DOCS / "compatibility.md"
    # Rows of the surface are not written one by one: they are named after what they are of.
    signatures = re.compile(r"channels_\w+|bases_of_\w+")
    code = " ".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    known = set(re.findall(r"def (\w+)\(", code))
    for first in ("Channels 4", "what", "about"):
        for row in (row for rows in tables(page, first) for row in rows):
            held_by = set(re.findall(r"`(\w+)`", row[-1]))
            assert held_by, row[0]
            assert {name for name in held_by if not signatures.fullmatch(name)} <= known, row[0]
