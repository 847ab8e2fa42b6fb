"""Numbers and names as a reader sees them: percent, points, intervals, p-values, detectors, tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

__all__ = [
    "DETECTORS",
    "NOTHING",
    "TERMS",
    "detector_name",
    "duration",
    "interval",
    "p_text",
    "percent",
    "points",
    "task_name",
]

NOTHING = "\N{EN DASH}"

DETECTORS = {
    "none": ("all negatives", "keeps every negative"),
    "glofnd": ("GloFND", "the paper's: a threshold per sample, learned by gradient steps"),
    "location-scale": (
        "location-scale",
        "ours: a threshold per sample from running mean and spread of its similarities",
    ),
    "batch-quantile": ("batch quantile", "drops the share alpha of its batch that is most similar to the anchor"),
    "global-threshold": ("global threshold", "one learned threshold for all samples"),
    "fnc": ("FNC", "drops a batch's candidates whose best similarity to the anchor's views is high"),
    "ifnd": ("IFND", "drops what shares the anchor's cluster; clusters are made anew each epoch"),
    "memory-quantile": (
        "memory quantile",
        "ours: compares averages of past embeddings with exact quantiles over the data set",
    ),
    "oracle": ("oracle", "drops exactly the false negatives by their labels: an upper bound, no method"),
    "raw-pixels": ("raw pixels", "no encoder: the pixels themselves"),
    "random-init": ("untrained encoder", "the encoder as it is before training"),
}
"""Method -> its name for a reader and one sentence; another one is called by its label."""

TERMS = Markup(
    "Contrastive learning pushes each sample, the <dfn>anchor</dfn>, away from all others. Those of the same class are "
    "its <dfn>false negatives</dfn>. <dfn>GloFND</dfn> learns one similarity threshold per anchor while training, so "
    "that a share <dfn>alpha</dfn> of all samples lies above it, and drops these. The <dfn>oracle</dfn> drops exactly "
    "the false negatives, by their labels, and so shows what could be gained."
)

_EVALUATIONS = {
    "linear": "linear probe",
    "linear-paper": "linear probe of the paper",
    "transfer": "transfer",
    "transfer-paper": "transfer of the paper",
    "fine-tuning": "fine-tuning",
    "zero-shot": "zero-shot",
    "retrieval": "retrieval",
}
_METRICS = {"top5": "top-5", "mean-per-class": "mean per class", "f1": "F1"}


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return (f"{0:.{digits}f}" if float(text) == 0 else text).replace("-", "\N{MINUS SIGN}")


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] as percent without the sign, `0.6532` -> `65.3`."""
    return NOTHING if math.isnan(share) else _signed(100 * share, digits).removeprefix("+")


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, always signed, `-0.004` -> `−0.4`."""
    return NOTHING if math.isnan(difference) else _signed(100 * difference, digits)


def interval(low: float, high: float) -> str:
    """A confidence interval in points, `[−0.4, +1.2]`. A bound that would look like zero gets more digits."""
    if math.isnan(low) or math.isnan(high):
        return NOTHING
    digits = next((d for d in (1, 2, 3) if all(b == 0 or points(b, d) != points(0, d) for b in (low, high))), 3)
    return f"[{points(low, digits)}, {points(high, digits)}]"


def p_text(p: float) -> str:
    """A p-value, `.031`, `< .001`; one that is not defined is a dash."""
    if math.isnan(p):
        return NOTHING
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0") if p < 0.1 else f"{p:.2f}".removeprefix("0")


def duration(seconds: float) -> str:
    """Wall time, `75` -> `1 min 15 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min"
        if minutes >= 60
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )


def detector_name(label: str, method: str) -> str:
    """A detector or baseline in a sentence: by its method's name, and by its label where that is another."""
    name = DETECTORS.get(method, (label, ""))[0]
    return name if label in (method, name) else f"{name} ({label})"


def metric_name(metric: str) -> str:
    """Readable name of a metric; `@label` names the label field it was computed for."""
    name, _, label = metric.partition("@")
    recall = re.fullmatch(r"(image|text)-to-(image|text)-recall-at-(\d+)", name)
    text = f"{recall[1]}\N{RIGHTWARDS ARROW}{recall[2]} R@{recall[3]}" if recall else _METRICS.get(name)
    text = text or name.replace("-to-", "\N{RIGHTWARDS ARROW}").replace("-", " ").replace("_", " ")
    return f"{text} ({label})" if label else text


def task_name(row: Mapping[str, Any], home: str, labels: Mapping[float, int]) -> str:
    """What a value measures, `linear probe, 82 labels (1 %)`.

    Args:
        row: `evaluation`, `dataset`, `split`, `metric`, `fraction` of a value.
        home: data set of the experiment, which goes without saying, like the split `test` and the metric top-1.
        labels: share of the labels -> how many these are, where that is known.
    """
    evaluation, fraction = str(row["evaluation"]), float(row["fraction"])
    parts = [_EVALUATIONS.get(evaluation, evaluation)]
    if row["dataset"] != home:
        parts[0] += f" {'to' if evaluation.startswith('transfer') else 'on'} {row['dataset']}"
    parts += [] if row["split"] == "test" else [str(row["split"])]
    parts += [] if row["metric"] == "top1" else [metric_name(str(row["metric"]))]
    if not math.isnan(fraction):
        count, total = labels.get(fraction), labels.get(1.0)
        if count is None:
            parts.append(f"{100 * fraction:g} % of the labels")
        elif fraction == 1:
            parts.append(f"all {count:,} labels")
        else:
            parts.append(f"{count:,} labels" + (f" ({100 * count / total:.2g} %)" if total else ""))
    return ", ".join(parts)
