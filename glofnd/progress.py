"""Progress bars of tqdm; where stderr is a log, drawn every ten seconds, and not at all for what takes less."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["progress"]


def progress(
    items: Iterable[Any] | None, total: int, description: str, unit: str = "items", **options: Any
) -> tqdm[Any]:
    """tqdm over `items`, or a bar to be advanced with `update` where `items` is None; `options` are tqdm's."""
    seconds = 0.2 if sys.stderr.isatty() else 10
    often: dict[str, Any] = {"delay": seconds, "mininterval": seconds, "miniters": 1}
    return tqdm(items, total=total, desc=description, unit=f" {unit}", **often, **options)
