"""Command lines that answer a bad option with one line, and take numbers only where they make sense."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

__all__ = ["Parser", "at_least_one"]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line on stderr and exit code 2; `--help` has the rest."""

    def __init__(self, **options: Any) -> None:
        # An option that is cut short would change its meaning with the next one that begins alike.
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the usage of all options."""
        self.exit(2, f"error: {' '.join(message.split())[:500]}; see {self.prog} --help\n")


def at_least_one(text: str) -> int:
    """The type of an option that counts something: an integer from 1 to 2^31 - 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, not {text[:60]!r}")
    return number
