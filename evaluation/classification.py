"""The commands `linear` and `transfer`: probes on frozen features, from stored features to metrics.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.feature_store import FeatureStore
from evaluation.naming import suffixes
from evaluation.neighbours import neighbour_votes
from evaluation.old_results import Findings
from evaluation.old_tasks import LinearTask, ProbeTask, SplitTask, TransferTask
from evaluation.probe import Probe, fit_probe, l2_normalise, standardise
from evaluation.splits import stratified_subset
from evaluation.tested import Report, TestSide, align
from glofnd.progress import Progress

__all__ = [
    "LINEAR_PROTOCOL",
    "TRANSFER_PROTOCOL",
    "ProbeData",
    "load_sides",
    "load_tasks",
    "run_linear",
    "run_transfer",
]

Array = NDArray[Any]

LINEAR_PROTOCOL = "lbfgs-validated"
"""Standardised features; logistic regression at its optimum; C validated on training labels; refit; test once."""

TRANSFER_PROTOCOL = "l2-lbfgs-validated"
"""As `LINEAR_PROTOCOL`, but features are L2-normalised before they are standardised."""


@dataclass(frozen=True)
class ProbeData:
    """Both sides of a probe: features [n, F] and [M, F], training labels as positions in `side.classes`."""

    train: Array
    train_labels: Array
    test: Array
    side: TestSide
    together: Array | None

    def fit(self, train: Array, rows: Array, metric: str, seed: int) -> Probe:
        """A probe on the chosen training rows of `train`."""
        together = None if self.together is None else self.together[rows]
        return fit_probe(train[rows], self.train_labels[rows], len(self.side.classes), metric, seed, together)


def load_sides(store: FeatureStore, task: SplitTask) -> ProbeData:
    """Features and labels of a task's two splits.

    Raises:
        FeatureStoreError: the splits are the same shards, share too many pictures, or their labels do not fit.
    """
    train, test = store.split(task.dataset, task.train), store.split(task.dataset, task.test)
    shards = (store.shards_of(task.dataset, name) for name in (task.train, task.test))
    labels, side = align(train, test, task.label, same=len(set(shards)) < 2)
    together = task.together if isinstance(task, ProbeTask) else None
    return ProbeData(train.features, labels, test.features, side, None if together is None else train.label(together))


def load_tasks(store: FeatureStore, findings: Findings, tasks: Sequence[Any]) -> list[tuple[Any, ProbeData, Report]]:
    """Every task with its data and where its scores go."""
    found = []
    for task, suffix in zip(tasks, suffixes([vars(task) for task in tasks]), strict=True):
        data = load_sides(store, task)
        found.append((task, data, Report(findings, task, data.side, suffix)))
    return found


def run_linear(store: FeatureStore, tasks: list[LinearTask]) -> Findings:
    """Linear probes at every fraction of the labels, several draws each, and kNN with all labels."""
    findings = Findings(store.run, "linear", LINEAR_PROTOCOL)
    seed = int(store.run["seed"])
    bar = Progress(sum(sum(task.draws) for task in tasks), "linear probe", "fits")
    # Tasks that differ in their test set alone share their fits.
    fitted: dict[tuple[object, ...], Probe] = {}
    for task, data, report in load_tasks(store, findings, tasks):
        trained_on = (task.dataset, task.train, task.label, task.together, task.metric)
        # Statistics of the pictures, not of labels, so every fraction may use them all.
        train, test = standardise(data.train, data.test)
        for fraction, count in zip(task.fractions, task.draws, strict=True):
            subsets = [stratified_subset(data.train_labels, fraction, seed, draw) for draw in range(count)]
            probes = []
            for draw, rows in enumerate(subsets):
                key = (*trained_on, fraction, draw)
                if key not in fitted:
                    fitted[key] = data.fit(train, rows, task.metric, seed)
                probes.append(fitted[key])
                bar.advance(note=f"{task.dataset} {fraction:g}")
            report.add(
                [probe.scores(test) for probe in probes],
                fraction,
                labels_used=len(subsets[0]),
                strength=[probe.strength for probe in probes],
                selection=probes[0].selection,
                gap=max(probe.gap for probe in probes),
            )
        votes = neighbour_votes(data.train, data.train_labels, len(data.side.classes), data.test)
        report.add([votes], 1.0, "knn-", primary=False, labels_used=len(train))
    bar.close()
    return findings


def run_transfer(store: FeatureStore, tasks: list[TransferTask]) -> Findings:
    """Logistic regression on other data sets with all their labels."""
    findings = Findings(store.run, "transfer", TRANSFER_PROTOCOL)
    bar = Progress(len(tasks), "transfer", "data sets")
    for task, data, report in load_tasks(store, findings, tasks):
        train, test = standardise(l2_normalise(data.train), l2_normalise(data.test))
        probe = data.fit(train, np.arange(len(train)), task.metric, int(store.run["seed"]))
        report.add(
            [probe.scores(test)],
            None,
            labels_used=len(train),
            strength=[probe.strength],
            selection=probe.selection,
            gap=probe.gap,
        )
        bar.advance(note=task.dataset)
    bar.close()
    return findings
