"""Progress bars of tqdm; where stderr is a log, drawn every ten seconds, and not at all for what takes less."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["Progress", "progress"]


def progress(
    items: Iterable[Any] | None, total: int, description: str, unit: str = "items", **options: Any
) -> tqdm[Any]:
    """tqdm over `items`, or a bar to be advanced with `update` where `items` is None; `options` are tqdm's."""
    seconds = 0.2 if sys.stderr.isatty() else 10
    often: dict[str, Any] = {"delay": seconds, "mininterval": seconds, "miniters": 1}
    return tqdm(items, total=total, desc=description, unit=f" {unit}", **often, **options)


class Progress:
    """A bar that is advanced by hand."""

    def __init__(self, total: int, description: str, unit: str = "items") -> None:
        self._bar = progress(None, total, description, unit)

    @property
    def done(self) -> int:
        """Finished work."""
        return int(self._bar.n)

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Add finished work."""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(amount)

    def close(self, note: str = "") -> None:
        """End the line."""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.close()
