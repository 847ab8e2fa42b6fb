"""The test side of a classification: labels brought in line with the training side's, and scores as findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import chance, score, top
from evaluation.feature_store import FeatureStoreError, split_name
from evaluation.old_leakage import Pictured, SharedPictures, shared_pictures
from evaluation.old_results import Findings

__all__ = ["Report", "TestSide", "align"]

Array = NDArray[Any]


@dataclass(frozen=True)
class TestSide:
    """What is predicted; labels are positions in `classes`.

    Attributes:
        classes: int64 [K], the label values that the training side has.
        labels: int64 [M], of the test samples.
        index: int64 [M], stable sample index.
        shared: test pictures that are training pictures too.
    """

    __test__ = False

    classes: Array
    labels: Array
    index: Array
    shared: SharedPictures


class LabelledSplit(Pictured, Protocol):
    """A split with its pictures and labels."""

    def label(self, field: str, /) -> Array:
        """Label values [N]."""


def align(train: LabelledSplit, test: LabelledSplit, label: str, same: bool) -> tuple[Array, TestSide]:
    """Training labels as positions in the classes [n], and the test side.

    Args:
        train: split that is trained on, n samples.
        test: split that is tested on, M samples.
        label: field to predict.
        same: whether both are made of the same shards.

    Raises:
        FeatureStoreError: the splits are the same shards or share too many pictures, a label field is unknown, a test
            label has no training sample, or there is a single class.
    """
    if same:
        raise FeatureStoreError(f"{train.name} and {test.name} are the same shards; test on a split of its own")
    known, asked, shared = train.label(label), test.label(label), shared_pictures(train, test)
    classes, positions = np.unique(known, return_inverse=True)
    strange = ~np.isin(asked, classes)
    if strange.any():
        raise FeatureStoreError(
            f"{test.name}: {strange.sum()} samples have a {label} that {train.name} has not (first: sample "
            f"{test.index[strange][0]}); choose a label field that both share"
        )
    if len(classes) < 2:
        raise FeatureStoreError(f"{train.name}: {label} has a single class; there is nothing to tell apart")
    return positions, TestSide(classes, np.searchsorted(classes, asked), test.index, shared)


@dataclass(frozen=True)
class Report:
    """Adds the scores of one task to the findings.

    Attributes:
        findings: where to.
        task: has `dataset`, `test`, `label` and `metric`.
        side: the test side.
        suffix: of the metrics' names (`evaluation.naming`).
    """

    findings: Findings
    task: Any
    side: TestSide
    suffix: str

    def add(
        self, draws: list[Array], fraction: float | None, prefix: str = "", primary: bool = True, **details: Any
    ) -> None:
        """Scores of class scores [M, K], one per draw; hits are averaged over draws before anything else.

        Args:
            draws: scores of each subset's classifier.
            fraction: share of the labels, `None` where it has no meaning.
            prefix: of the metrics' names.
            primary: whether the task's metric is a main one.
            details: further entries of metrics.json.
        """
        task, side = self.task, self.side
        ranked = np.stack([top(scores, 5) for scores in draws])
        right = ranked == side.labels[:, None]
        hits = {"top1": right[:, :, 0], "mean-per-class": right[:, :, 0]}
        if len(side.classes) > 5:
            hits["top5"] = right.any(axis=2)
        named = [prefix + task.label, *([] if self.suffix in ("", f"@{task.label}") else [self.suffix[1:]])]
        share = [] if fraction is None else [f"{fraction:g}"]
        entry = ".".join([split_name(task.dataset, task.test), *named, *share])
        clean = side.shared.clean
        for name, values in hits.items():
            mean = values.mean(axis=0)
            found = score(name, mean, side.labels)
            each = [score(name, row, side.labels).value for row in values]
            self.findings.add(
                task.dataset,
                task.test,
                f"{prefix}{name}{self.suffix}",
                found.value,
                len(side.labels),
                stderr=found.stderr,
                chance=chance(len(side.classes), 5 if name == "top5" else 1),
                fraction=fraction,
                primary=primary and name == task.metric,
                label=task.label,
                draws=len(draws),
                draw_std=float(np.std(each, ddof=1)) if len(each) > 1 else None,
                **side.shared.counts,
                clean_value=score(name, mean[clean], side.labels[clean]).value,
                predictions=entry,
                **details,
            )
        truth = side.classes[side.labels]
        self.findings.predict(entry, side.index, side.classes[ranked[:, :, 0]], truth)
