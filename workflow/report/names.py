"""Numbers and names as a reader sees them: percent, points, intervals, p-values, detectors, tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["METHODS", "NOTHING", "interval", "p_text", "percent", "points", "task_name"]

NOTHING = "\N{EN DASH}"
"""Stands for a number that is not defined."""

METHODS = {
    "none": ("all negatives", "keeps every negative, as contrastive learning does"),
    "glofnd": ("GloFND", "the paper's: learns, while training, a similarity threshold per anchor by gradient steps"),
    "location-scale": ("location-scale", "ours: such a threshold from running mean and spread of the similarities"),
    "batch-quantile": ("batch quantile", "drops the share alpha of its batch that is most similar to the anchor"),
    "global-threshold": ("global threshold", "learns one threshold for all anchors"),
    "fnc": ("FNC", "drops a batch's candidates whose best similarity to the anchor's views is high"),
    "ifnd": ("IFND", "drops what shares the anchor's cluster; clusters are made anew each epoch"),
    "memory-quantile": (
        "memory quantile",
        "ours: compares averages of embeddings with exact quantiles over the data",
    ),
    "dcl": ("DCL", "drops nothing, but subtracts the share of false negatives that is expected"),
    "hcl": ("HCL", "as DCL, and weighs alike negatives more"),
    "sce": ("SCE", "pushes a negative away the less, the more alike it looks in the other view"),
    "barlow-twins": (
        "Barlow Twins",
        "has no negatives: makes dimensions agree across views and differ from each other",
    ),
    "vicreg": ("VICReg", "has no negatives: makes two views agree while dimensions keep spread and differ"),
    "oracle": ("oracle", "drops exactly the false negatives by their labels: what could be gained, no method"),
    "raw-pixels": ("raw pixels", "no encoder: the pixels themselves"),
    "random-init": ("untrained encoder", "the encoder as it is before training"),
}
"""Method -> its name and one sentence; another one is called by its label."""

_EVALUATIONS = {"linear": "linear probe", "linear-paper": "linear probe of the paper"}


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] as percent without the sign, `0.6532` -> `65.3`."""
    return NOTHING if math.isnan(share) else f"{100 * share:.{digits}f}"


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, always signed, `-0.004` -> `−0.4`."""
    return NOTHING if math.isnan(difference) else f"{100 * difference:+z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float) -> str:
    """A confidence interval in points, `[−0.42, +1.20]`."""
    return NOTHING if math.isnan(low) or math.isnan(high) else f"[{points(low, 2)}, {points(high, 2)}]"


def p_text(p: float) -> str:
    """A p-value, `.031`, `< .001`."""
    return NOTHING if math.isnan(p) else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def task_name(row: Mapping[str, Any], home: str, labels: int | None) -> str:
    """What a value measures, `linear probe, 82 labels (1 %)`.

    Args:
        row: `evaluation`, `dataset`, `split`, `metric`, `fraction` of a value.
        home: data set of the experiment, which goes without saying, like the split `test` and the metric top-1.
        labels: how many labels were used, where that is known.
    """
    name = _EVALUATIONS.get(row["evaluation"], row["evaluation"])
    parts = [name if row["dataset"] == home else f"{name} on {row['dataset']}"]
    parts += [row["split"]] if row["split"] != "test" else []
    if row["metric"] != "top1":
        parts += [row["metric"].replace("-to-", "\N{RIGHTWARDS ARROW}").replace("-recall-at-", " R@")]
    if not math.isnan(row["fraction"]):
        share = f"{100 * row['fraction']:g} %"
        parts.append(f"{labels:,} labels ({share})" if labels else f"{share} of the labels")
    return ", ".join(parts)
