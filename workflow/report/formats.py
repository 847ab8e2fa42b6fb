"""Numbers and names as a reader sees them: percent, points, intervals, p-values, metrics, splits."""

from __future__ import annotations

import math
import re

__all__ = [
    "FORMATS",
    "NOTHING",
    "bytes_text",
    "duration",
    "evaluation_name",
    "fraction_name",
    "interval",
    "is_similarity",
    "metric_name",
    "p_text",
    "percent",
    "points",
    "value_text",
]

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""

_ZERO = 1e-9
"""Below it, a share is rounding noise."""

_MINUS = "\N{MINUS SIGN}"

_EVALUATIONS = {
    "linear": "Linear probe",
    "transfer": "Transfer",
    "linear-paper": "Linear evaluation of the paper",
    "transfer-paper": "Transfer of the paper",
    "fine-tuning": "Fine-tuning",
    "zero-shot": "Zero-shot classification",
    "retrieval": "Image-text retrieval",
    "discovery": "False-negative discovery",
}

_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "mean-per-class": "mean per class",
    "f1": "F1",
    "image-to-text-median-rank": "image to text median rank, % of candidates",
    "text-to-image-median-rank": "text to image median rank, % of candidates",
    "f1_per_anchor": "F1 per anchor",
    "f1_per_class": "F1 per class",
    "exact_f1": "exact F1",
}


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", _MINUS)


def percent(share: float, digits: int = 1) -> str:
    """A share in [0, 1] as percent without the sign, `0.6532` -> `65.3`."""
    if math.isnan(share):
        return NOTHING
    return _signed(100 * share, digits).removeprefix("+")


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, always signed, `-0.004` -> `−0.4`."""
    return NOTHING if math.isnan(difference) else _signed(100 * difference, digits)


def interval(low: float, high: float, digits: int = 1) -> str:
    """A confidence interval in percentage points, `[−0.4, +1.2]`; one without width is `no spread`.

    A bound that is not zero must not look so: it takes up to two more digits, `[−0.60, −0.02]`.
    """
    if math.isnan(low) or math.isnan(high):
        return f"[{NOTHING}]"
    if high - low < _ZERO:
        return "no spread"
    for more in (digits, digits + 1, digits + 2):
        ends = [points(bound, more) for bound in (low, high)]
        if all(abs(bound) < _ZERO or points(0.0, more) != end for bound, end in zip((low, high), ends, strict=True)):
            break
    return f"[{ends[0]}, {ends[1]}]"


def p_text(p: float) -> str:
    """A p-value with its relation, `= .031` or `< .001`; a p-value that does not exist is `not defined`."""
    if math.isnan(p):
        return "not defined"
    if p < 0.001:
        return "< .001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return f"= {text.removeprefix('0')}"


def duration(seconds: float) -> str:
    """Wall time, `75` -> `1 min 15 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def bytes_text(megabytes: float) -> str:
    """Memory, from MiB to a readable size."""
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 1024 else f"{megabytes:.0f} MiB"


def evaluation_name(evaluation: str) -> str:
    """Heading of an evaluation; an unknown one keeps its own name."""
    return _EVALUATIONS.get(evaluation, evaluation)


def metric_name(metric: str) -> str:
    """Readable name of a metric; `@label` names the label field it was computed for."""
    name, _, label = metric.partition("@")
    text = _METRICS.get(name)
    if text is None:
        recall = re.fullmatch(r"(.*)-recall-at-(\d+)", name)
        text = f"{recall[1].replace('-', ' ')} R@{recall[2]}" if recall else name.replace("-", " ").replace("_", " ")
    return f"{text} ({label})" if label else text


def fraction_name(fraction: float, labels: int | None = None) -> str:
    """Share of the labels, with their real number if known: `0.2 % of labels (20)`; NaN (no such thing) -> empty."""
    if math.isnan(fraction):
        return ""
    return f"{100 * fraction:g} % of labels" + ("" if labels is None else f" ({labels:,})")


def value_text(value: float, metric: str) -> str:
    """A mean as its table shows it: percent, or a similarity with three decimals where the metric is one."""
    return f"{value:.3f}" if is_similarity(metric) else percent(value)


def is_similarity(metric: str) -> bool:
    """Whether a metric is in units of cosine similarity rather than a share."""
    return "threshold" in metric


FORMATS = {
    "percent": percent,
    "points": points,
    "p_text": p_text,
    "evaluation_name": evaluation_name,
    "metric_name": metric_name,
    "fraction_name": fraction_name,
    "is_nan": math.isnan,
    "value_text": value_text,
}
"""What templates may call."""
