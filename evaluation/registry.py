"""What can be evaluated: every evaluation with the parameters of its task, free of torch and numpy.

An evaluation is one command, `python -m evaluation NAME --task JSON ...`; its task is a JSON object with the parameters
below. A parameter without a default is required. A test holds every entry against the task class it names.
"""

from __future__ import annotations

from typing import Any

from glofnd.registry import Entry

__all__ = ["EVALUATIONS", "PAPER_EPOCHS", "READS_SHARDS", "required"]

Schema = dict[str, Any]


def _text(default: str | None = None) -> Schema:
    return {"type": "string", "minLength": 1} | ({} if default is None else {"default": default})


def _choice(default: str, *values: str) -> Schema:
    return {"type": "string", "default": default, "enum": list(values)}


_POSITIVE = {"minimum": 1, "maximum": 2**31 - 1}


def _counts(default: list[int]) -> Schema:
    return {"type": "array", "default": default, "minItems": 1, "items": {"type": "integer", **_POSITIVE}}


_METRIC = _choice("top1", "top1", "mean-per-class")

_PROBE: dict[str, Schema] = {
    "dataset": _text(),
    "train": _text("train"),
    "test": _text("test"),
    "label": _text("label"),
    "metric": _METRIC,
    "together": {"type": ["string", "null"], "default": None},
}

_SPLITS: dict[str, Schema] = {key: schema for key, schema in _PROBE.items() if key != "together"}


def _fractions(default: list[float]) -> Schema:
    number = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    return {"type": "array", "default": default, "minItems": 1, "items": number}


READS_SHARDS = ("linear-paper", "fine-tuning", "discovery")
"""Evaluations that read pictures from shards; the others read stored features."""

PAPER_EPOCHS: dict[float, int] = {1: 90, 0.1: 285, 0.01: 900, 0.001: 900}
"""Epochs of the paper's linear evaluation by share of the labels."""

EVALUATIONS: dict[str, Entry] = {
    "linear": Entry(
        "evaluation.old_tasks:LinearTask",
        {
            **_PROBE,
            "fractions": _fractions([1, 0.1, 0.01, 0.001]),
            "draws": _counts([1, 2, 5, 10]),
        },
    ),
    "transfer": Entry("evaluation.old_tasks:TransferTask", _PROBE),
    "linear-paper": Entry(
        "evaluation.old_tasks:LinearPaperTask",
        {
            **_SPLITS,
            "fractions": _fractions([1, 0.1, 0.01, 0.001]),
            "epochs": {**_counts([]), "type": ["array", "null"], "default": None},
        },
    ),
    "transfer-paper": Entry("evaluation.old_tasks:TransferPaperTask", _SPLITS),
    "fine-tuning": Entry(
        "evaluation.old_tasks:FineTuningTask",
        {
            **_SPLITS,
            "fractions": _fractions([1, 0.1, 0.01]),
            "draws": _counts([1, 1, 1]),
            "epochs": _counts([20, 40, 100]),
            "learning_rates": {
                "type": "array",
                "default": [0.0003, 0.001, 0.003, 0.01, 0.03],
                "minItems": 1,
                "items": {"type": "number", "exclusiveMinimum": 0},
            },
            "batch_size": {"type": "integer", "default": 256, **_POSITIVE, "minimum": 2},
        },
    ),
    "zero-shot": Entry(
        "evaluation.old_tasks:ZeroShotTask",
        {
            "dataset": _text(),
            "split": _text("test"),
            "label": _text("label"),
            "templates": _text("plain"),
            "among": _choice("present", "present", "all"),
            "metric": _METRIC,
        },
        ("bimodal",),
    ),
    "retrieval": Entry(
        "evaluation.old_tasks:RetrievalTask",
        {"dataset": _text(), "split": _text("test"), "ks": {**_counts([1, 5, 10]), "uniqueItems": True}},
        ("bimodal",),
    ),
    "discovery": Entry(
        "evaluation.old_tasks:DiscoveryTask",
        {
            "dataset": _text(),
            "split": _text("train"),
            "alpha": {"type": ["number", "null"], "default": None, "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "anchors": {"type": "integer", "default": 12, **_POSITIVE},
            "found": {"type": "integer", "default": 8, **_POSITIVE},
        },
    ),
}


def required(name: str) -> list[str]:
    """Parameters of an evaluation's task that have no default."""
    return [key for key, schema in EVALUATIONS[name].parameters.items() if "default" not in schema]
