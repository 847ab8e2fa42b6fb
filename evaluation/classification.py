"""The commands `linear` and `transfer`: probes on frozen features, from stored features to metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import chance, score, top
from evaluation.feature_store import FeatureStore, FeatureStoreError, split_name
from evaluation.leakage import shared_pictures
from evaluation.naming import suffixes
from evaluation.neighbours import neighbour_votes
from evaluation.probe import Probe, fit_probe, l2_normalise, standardise
from evaluation.results import Findings
from evaluation.splits import stratified_subset
from evaluation.tasks import LinearTask, ProbeTask, TransferTask
from glofnd.progress import Progress

__all__ = ["LINEAR_PROTOCOL", "TRANSFER_PROTOCOL", "run_linear", "run_transfer"]

Array = NDArray[Any]

LINEAR_PROTOCOL = "lbfgs-validated"
"""Standardised features; logistic regression at its optimum; C validated on training labels; refit; test once."""

TRANSFER_PROTOCOL = "l2-lbfgs-validated"
"""As `LINEAR_PROTOCOL`, but features are L2-normalised before they are standardised."""


@dataclass(frozen=True)
class _Data:
    """Both sides of a probe; labels are positions in `classes`."""

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array
    test_index: Array
    classes: Array
    together: Array | None
    shared: int

    def fit(self, train: Array, test: Array, rows: Array, metric: str, seed: int) -> Probe:
        """A probe on the chosen training rows of `train`."""
        together = None if self.together is None else self.together[rows]
        return fit_probe(train[rows], self.train_labels[rows], len(self.classes), test, metric, seed, together)


def _load(store: FeatureStore, task: ProbeTask) -> _Data:
    train, test = store.split(task.dataset, task.train), store.split(task.dataset, task.test)
    if store.shards_of(task.dataset, task.train) == store.shards_of(task.dataset, task.test):
        raise FeatureStoreError(f"{train.name} and {test.name} are the same shards; test on a split of its own")
    shared = shared_pictures(train, test)
    classes, train_labels = np.unique(train.label(task.label), return_inverse=True)
    truth = test.label(task.label)
    strange = ~np.isin(truth, classes)
    if strange.any():
        raise FeatureStoreError(
            f"{test.name}: {strange.sum()} samples have a {task.label} that {train.name} has not (first: sample "
            f"{test.index[strange][0]}); choose a label field that both share"
        )
    if len(classes) < 2:
        raise FeatureStoreError(f"{train.name}: {task.label} has a single class; there is nothing to tell apart")
    return _Data(
        train=train.features,
        train_labels=train_labels,
        test=test.features,
        test_labels=np.searchsorted(classes, truth),
        test_index=test.index,
        classes=classes,
        together=None if task.together is None else train.label(task.together),
        shared=shared,
    )


@dataclass(frozen=True)
class _Report:
    """Adds the scores of one task to the findings."""

    findings: Findings
    task: ProbeTask
    data: _Data
    suffix: str

    def add(self, draws: list[Array], fraction: float | None, prefix: str = "", **details: Any) -> None:
        """Scores of class scores [M, K], one per draw; hits are averaged over draws before anything else."""
        task, data = self.task, self.data
        ranked = np.stack([top(scores, 5) for scores in draws])
        right = ranked == data.test_labels[:, None]
        hits = {"top1": right[:, :, 0], "mean-per-class": right[:, :, 0]}
        if len(data.classes) > 5:
            hits["top5"] = right.any(axis=2)
        named = [prefix + task.label, *([] if self.suffix in ("", f"@{task.label}") else [self.suffix[1:]])]
        share = [] if fraction is None else [f"{fraction:g}"]
        entry = ".".join([split_name(task.dataset, task.test), *named, *share])
        for name, values in hits.items():
            found = score(name, values.mean(axis=0), data.test_labels)
            each = [score(name, row, data.test_labels).value for row in values]
            self.findings.add(
                task.dataset,
                task.test,
                f"{prefix}{name}{self.suffix}",
                found.value,
                len(data.test_labels),
                stderr=found.stderr,
                chance=chance(len(data.classes), 5 if name == "top5" else 1),
                fraction=fraction,
                primary=name == task.metric and not prefix,
                label=task.label,
                draws=len(draws),
                draw_std=float(np.std(each, ddof=1)) if len(each) > 1 else None,
                shared_pictures=data.shared,
                predictions=entry,
                **details,
            )
        truth = data.classes[data.test_labels]
        self.findings.predict(entry, data.test_index, data.classes[ranked[:, :, 0]], truth)


def _reports(store: FeatureStore, findings: Findings, tasks: list[Any]) -> list[_Report]:
    return [
        _Report(findings, task, _load(store, task), suffix)
        for task, suffix in zip(tasks, suffixes([vars(task) for task in tasks]), strict=True)
    ]


def run_linear(store: FeatureStore, tasks: list[LinearTask]) -> Findings:
    """Linear probes at every fraction of the labels, several draws each, and kNN with all labels."""
    findings = Findings(store.run, "linear", LINEAR_PROTOCOL)
    seed = int(store.run["seed"])
    bar = Progress(sum(sum(task.draws) for task in tasks), "linear probe", "fits")
    for task, report in zip(tasks, _reports(store, findings, tasks), strict=True):
        data = report.data
        # Statistics of the pictures, not of labels, so every fraction may use them all.
        train, test = standardise(data.train, data.test)
        for fraction, count in zip(task.fractions, task.draws, strict=True):
            subsets = [stratified_subset(data.train_labels, fraction, seed, draw) for draw in range(count)]
            probes = []
            for rows in subsets:
                probes.append(data.fit(train, test, rows, task.metric, seed))
                bar.advance(note=f"{task.dataset} {fraction:g}")
            report.add(
                [probe.scores for probe in probes],
                fraction,
                labels_used=len(subsets[0]),
                strength=[probe.strength for probe in probes],
                selection=probes[0].selection,
                gap=max(probe.gap for probe in probes),
            )
        votes = neighbour_votes(data.train, data.train_labels, len(data.classes), data.test)
        report.add([votes], 1.0, "knn-", labels_used=len(train))
    bar.close()
    return findings


def run_transfer(store: FeatureStore, tasks: list[TransferTask]) -> Findings:
    """Logistic regression on other data sets with all their labels."""
    findings = Findings(store.run, "transfer", TRANSFER_PROTOCOL)
    bar = Progress(len(tasks), "transfer", "data sets")
    for task, report in zip(tasks, _reports(store, findings, tasks), strict=True):
        data = report.data
        train, test = standardise(l2_normalise(data.train), l2_normalise(data.test))
        probe = data.fit(train, test, np.arange(len(train)), task.metric, int(store.run["seed"]))
        report.add(
            [probe.scores],
            None,
            labels_used=len(train),
            strength=[probe.strength],
            selection=probe.selection,
            gap=probe.gap,
        )
        bar.advance(note=task.dataset)
    bar.close()
    return findings
