"""The commands `linear` and `transfer`: probes on frozen features, from stored features to metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.accuracy import chance, score, top
from evaluation.feature_store import FeatureStore, FeatureStoreError, split_name
from evaluation.leakage import shared_pictures
from evaluation.neighbours import neighbour_votes
from evaluation.probe import fit_probe, l2_normalise, standardise
from evaluation.results import Findings, main_label
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
    """Both sides of a probe, labels as positions in `classes`."""

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array
    test_index: Array
    classes: Array
    shared: int


def _load(store: FeatureStore, task: ProbeTask) -> _Data:
    train, test = store.split(task.dataset, task.train), store.split(task.dataset, task.test)
    shared = shared_pictures(train, test)
    if store.shards_of(task.dataset, task.train) == store.shards_of(task.dataset, task.test):
        raise FeatureStoreError(f"{train.name} and {test.name} are the same shards; test on a split of its own")
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
        train.features,
        train_labels,
        test.features,
        np.searchsorted(classes, truth),
        test.index,
        classes,
        shared,
    )


def _report(
    findings: Findings,
    task: ProbeTask,
    data: _Data,
    draws: list[Array],
    fraction: float | None,
    suffix: str,
    prefix: str = "",
    **details: Any,
) -> None:
    """Add the scores of class scores [M, K], one per draw; hits are averaged over draws before anything else."""
    ranked = np.stack([top(scores, 5) for scores in draws])
    hits = ranked == data.test_labels[:, None]
    first = hits[:, :, 0].mean(axis=0)
    wanted = {"top1": first, "mean-per-class": first}
    if len(data.classes) > 5:
        wanted["top5"] = hits.any(axis=2).mean(axis=0)
    entry = f"{split_name(task.dataset, task.test)}.{task.label}{suffix}" + (f".{prefix}" if prefix else "")
    for name, values in wanted.items():
        found = score(name, values, data.test_labels)
        source = hits.any(axis=2) if name == "top5" else hits[:, :, 0]
        each = [score(name, row, data.test_labels).value for row in source]
        findings.add(
            task.dataset,
            task.test,
            f"{prefix}{'-' if prefix else ''}{name}" + details.get("label_suffix", ""),
            found.value,
            len(values),
            stderr=found.stderr,
            chance=chance(len(data.classes), 5 if name == "top5" else 1),
            fraction=fraction,
            primary=name == task.metric and not prefix,
            label=task.label,
            draws=len(draws),
            draw_std=float(np.std(each, ddof=1)) if len(each) > 1 else None,
            shared_pictures=data.shared,
            predictions=entry,
            **{key: value for key, value in details.items() if key != "label_suffix"},
        )
    findings.predict(entry, data.test_index, data.classes[ranked[:, :, 0]], data.classes[data.test_labels])


def run_linear(store: FeatureStore, tasks: list[LinearTask]) -> Findings:
    """Linear probes at every fraction of the labels, several draws each."""
    findings = Findings(store.run, "linear", LINEAR_PROTOCOL)
    seed = int(store.run["seed"])
    bar = Progress(sum(sum(task.draws) for task in tasks), "linear probe", "fits")
    for position, task in enumerate(tasks):
        label_suffix = "" if main_label(tasks, position) else f"@{task.label}"
        data = _load(store, task)
        # Statistics of the pictures, not of labels, so every fraction may use them all.
        train, test = standardise(data.train, data.test)
        for fraction, count in zip(task.fractions, task.draws, strict=True):
            probes, sizes = [], []
            for draw in range(count):
                rows = stratified_subset(data.train_labels, fraction, seed, draw)
                labels = data.train_labels[rows]
                probes.append(fit_probe(train[rows], labels, len(data.classes), test, task.metric, seed))
                sizes.append(len(rows))
                bar.advance(note=f"{task.dataset} {fraction:g}")
            _report(
                findings,
                task,
                data,
                [probe.scores for probe in probes],
                fraction,
                f".{fraction:g}",
                label_suffix=label_suffix,
                labels_used=sizes[0],
                strength=[probe.strength for probe in probes],
                selection=probes[0].selection,
            )
        votes = neighbour_votes(data.train, data.train_labels, len(data.classes), data.test)
        _report(findings, task, data, [votes], 1.0, ".1", "knn", label_suffix=label_suffix)
    bar.close()
    return findings


def run_transfer(store: FeatureStore, tasks: list[TransferTask]) -> Findings:
    """Logistic regression on other data sets with all their labels."""
    findings = Findings(store.run, "transfer", TRANSFER_PROTOCOL)
    seed = int(store.run["seed"])
    bar = Progress(len(tasks), "transfer", "data sets")
    for position, task in enumerate(tasks):
        label_suffix = "" if main_label(tasks, position) else f"@{task.label}"
        data = _load(store, task)
        train, test = standardise(l2_normalise(data.train), l2_normalise(data.test))
        probe = fit_probe(train, data.train_labels, len(data.classes), test, task.metric, seed)
        _report(
            findings,
            task,
            data,
            [probe.scores],
            None,
            "",
            label_suffix=label_suffix,
            strength=[probe.strength],
            selection=probe.selection,
        )
        bar.advance(note=task.dataset)
    bar.close()
    return findings
