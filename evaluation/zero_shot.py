"""The command `zero-shot`: pictures against class prompts, both embedded when features were extracted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import chance, score, top
from evaluation.feature_store import FeatureStore, FeatureStoreError, Split
from evaluation.naming import suffixes
from evaluation.old_results import Findings
from evaluation.old_tasks import ZeroShotTask

__all__ = ["PROTOCOL", "classify", "run_zero_shot"]

Array = NDArray[Any]

PROTOCOL = "zero-shot-ensemble"
"""Cosine similarity to the mean of a class's normalised template embeddings."""


def classify(pictures: Array, prompts: Array, k: int = 5, chunk: int = 4096) -> Array:
    """The k prompts most similar to each picture, best first.

    Args:
        pictures: L2-normalised [N, D].
        prompts: L2-normalised [C, D], one per class.
        k: classes per picture; at most C are given.
        chunk: pictures at a time, which bounds memory to chunk x C.

    Returns:
        Rows of `prompts`, int64 [N, min(k, C)].
    """
    parts = [top(pictures[start : start + chunk] @ prompts.T, k) for start in range(0, len(pictures), chunk)]
    return np.concatenate(parts)


def _embedding(split: Split) -> Array:
    if split.embedding is None:
        raise FeatureStoreError(f"{split.name}: features of a unimodal model have no shared space with texts")
    return split.embedding


def _prompts(store: FeatureStore, task: ZeroShotTask) -> tuple[Array, Array]:
    prefix = f"{task.label}.{task.templates}.{task.among}"
    arrays = store.prompts(task.dataset, task.split)
    if f"{prefix}.classes" not in arrays:
        raise FeatureStoreError(f"{store.folder}: no prompts for {prefix}; extract features with this --zero-shot task")
    return arrays[f"{prefix}.classes"], arrays[f"{prefix}.embedding"]


def run_zero_shot(store: FeatureStore, tasks: list[ZeroShotTask]) -> Findings:
    """Top-1, top-5 and mean per class of every task."""
    findings = Findings(store.run, "zero-shot", PROTOCOL)
    for task, suffix in zip(tasks, suffixes([vars(task) for task in tasks]), strict=True):
        split = store.split(task.dataset, task.split)
        classes, prompts = _prompts(store, task)
        truth = split.label(task.label)
        ranked = classes[classify(_embedding(split), prompts)]
        hits = ranked == truth[:, None]
        entry = f"{split.name}.{task.label}.{task.templates}.{task.among}"
        scores = {"top1": hits[:, 0], "mean-per-class": hits[:, 0]}
        if len(classes) > 5:
            scores["top5"] = hits.any(axis=1)
        for name, values in scores.items():
            found = score(name, values, truth)
            findings.add(
                task.dataset,
                task.split,
                name + suffix,
                found.value,
                len(truth),
                stderr=found.stderr,
                chance=chance(len(classes), 5 if name == "top5" else 1),
                primary=name == task.metric,
                label=task.label,
                classes=len(classes),
                templates=task.templates,
                predictions=entry,
            )
        findings.predict(entry, split.index, ranked[:, 0], truth)
    return findings
