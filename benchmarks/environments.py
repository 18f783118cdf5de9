"""One virtual environment per peer, made from pinned requirements and used again after that.

They live in `.venvs/` beside the compiled load generator; both are made anew only
when what they are made from has changed, which a stamp beside them tells. All are
made from one interpreter: builds of the same Python differ in speed. With
the interpreter of `.venv` our own side runs from there, else from `.venvs/` too.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / ".venvs"
# Installing from a slow index is the longest step; past this it hangs.
INSTALL_TIMEOUT = 600


class PreparationError(Exception):
    """Something the benchmarks need could not be made."""


def prepare_environment(name: str | None, python: str) -> Path:
    """Make an environment unless it is there, and answer its folder of commands.

    `name` is a peer's, or None for our own. `python` is the interpreter to make it from.
    """
    if name is None and python == sys.executable:
        return Path(sys.executable).parent
    requirements = HERE / "requirements" / f"{name}.txt"
    files, what = ([requirements], ["-r", str(requirements)])
    if name is None:
        files, what = [ROOT / "pyproject.toml"], ["-e", str(ROOT)]
    target = ENVIRONMENTS / f"{name or 'ours'}-{_digest([], python)[:8]}"
    stamp = _digest(files, python)
    if not _is_current(target, stamp):
        print(f"making {target.relative_to(ROOT)} ...", flush=True)
        _run([python, "-m", "venv", "--clear", str(target)])
        _run([str(target / "bin/pip"), "install", "--quiet", *what])
        _mark(target, stamp)
    return target / "bin"


def prepare_generator() -> Path:
    """Compile the load generator unless it is there, and answer its path."""
    target = ENVIRONMENTS / "load"
    sources = sorted((HERE / "load").glob("*.[ch]"))
    stamp = _digest(sources, "cc")
    if not _is_current(target, stamp):
        target.mkdir(parents=True, exist_ok=True)
        program = str(target / "load")
        flags = ["-O2", "-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra"]
        _run(["cc", *flags, "-o", program, *(str(s) for s in sources if s.suffix == ".c")])
        _mark(target, stamp)
    return target / "load"


def _digest(files: Iterable[Path], extra: str) -> str:
    digest = hashlib.sha256(extra.encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_current(target: Path, stamp: str) -> bool:
    file = target / "stamp"
    return file.exists() and file.read_text() == stamp


def _mark(target: Path, stamp: str) -> None:
    (target / "stamp").write_text(stamp)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
    except FileNotFoundError as error:
        raise PreparationError(f"{command[0]} is needed and was not found") from error
    except subprocess.TimeoutExpired as error:
        raise PreparationError(f"{' '.join(command)}: no end after {error.timeout} s") from error
    if done.returncode != 0:
        raise PreparationError(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
