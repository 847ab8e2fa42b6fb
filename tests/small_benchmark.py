"""The smallest benchmark that has every kind of job, on scikit-learn's digits, to be laid over configs/smoke.yaml."""

from __future__ import annotations

from typing import Any

RUNS = "out/runs/small/sogclr"
DETECTORS = ("none", "glofnd")


def small_benchmark(epochs: int, filter_from: int, **resources: dict[str, Any]) -> dict[str, Any]:
    """One seed; `filter_from` is the epoch where the detector begins, so up to there both share a trunk."""
    return {
        "paths": {"raw": "raw", "shards": "shards", "results": "out"},
        "seeds": [1],
        "significance": None,
        "resources": resources,
        "datasets": {"digits": {"image_size": 8, "shards": 2}, "glyphs": False, "glyph-captions": False},
        "experiments": {
            "glyphs": False,
            "glyph-captions": False,
            "small": {
                "modality": "unimodal",
                "dataset": "digits",
                "encoder": {"name": "resnet10", "width": 4, "stem": "strided"},
                "training": {"epochs": epochs, "batch_size": 128, "checkpoint_seconds": 0, "precision": "fp32"},
                "objectives": {"sogclr": {}},
                "detectors": {
                    "none": {},
                    "glofnd": {"alpha": 0.1, "start_update": filter_from, "start_filter": filter_from},
                },
                "evaluations": {"linear": [{"dataset": "digits", "fractions": [0.1]}], "discovery": [{}]},
            },
        },
    }
