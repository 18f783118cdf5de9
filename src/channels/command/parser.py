"""What the commands share: their parser, and the one sentence that an error is."""

from __future__ import annotations

import argparse
from typing import NoReturn


class CommandError(Exception):
    """The text is the one sentence that the user gets."""


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong option is one sentence and exit status 1 like all else."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}. See {self.prog} --help\n")
