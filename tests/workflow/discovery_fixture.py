"""predictions.npz of discovery with made-up curves and classes, as docs/architecture.md has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHARES = np.logspace(-4, -0.3, 38)


def predictions(
    run: Path, place: str, sides: list[str], label: str, names: list[str], quality: float, shifted: bool
) -> None:
    """Write the arrays of one run that finds `quality` of what it drops, best in the first class."""
    recall = np.minimum(1, SHARES * 10 * quality)
    precision = np.maximum(0.1, quality * (1 - SHARES))
    classes = len(names)
    true = np.full(classes, 1000)
    dropped = np.full(classes, 800)
    correct = np.linspace(1.0, 0.6, classes) * quality * dropped
    arrays: dict[str, Any] = {
        "curve": np.stack([SHARES, precision, recall], axis=1),
        "class": np.array(names),
        "class_pairs": np.full(classes, 10_000),
        "class_true": true,
        "class_dropped": dropped if shifted else np.zeros_like(dropped),
        "class_correct": correct.astype(int) if shifted else np.zeros_like(dropped),
    }
    if shifted:
        shifts = np.linspace(-0.3, 0.3, 31)
        share = np.linspace(0.5, 0, 31)
        last = np.where(share > 0, quality, np.nan)
        arrays["curve_shifted"] = np.stack([shifts, share, last, share * quality], axis=1)
    path = run / "discovery/predictions.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = {f"{place}.{side}.{label}.{name}": value for side in sides for name, value in arrays.items()}
    np.savez(path, allow_pickle=False, **entries)
