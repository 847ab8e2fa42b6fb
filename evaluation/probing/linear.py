"""Probes on frozen features: `linear` with all and with few labels (kNN beside it), `transfer` to other data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.leakage import align
from evaluation.probing.logistic import Probe, fit_probe, l2_normalise, standardise
from evaluation.probing.subsets import stratified_subset
from evaluation.results import Findings, TestSide, run_identity
from evaluation.run import Subject
from evaluation.task import Fractions, SplitTask, suffixes
from glofnd.parameters import Range

__all__ = ["LinearTask", "ProbeTask", "TransferTask", "linear", "neighbour_votes", "sides", "transfer"]

Array = NDArray[Any]

LINEAR_PROTOCOL = "lbfgs-validated"
"""Standardised features; logistic regression at its optimum; C validated on training labels; refit; test once."""

TRANSFER_PROTOCOL = "l2-lbfgs-validated"
"""As `LINEAR_PROTOCOL`, but features are L2-normalised before they are standardised."""


@dataclass(frozen=True)
class ProbeTask(SplitTask):
    """Classification on frozen features, tested once."""

    together: Annotated[str | None, "label field whose equal samples stay on one side of a validation fold"] = None


@dataclass(frozen=True)
class LinearTask(ProbeTask):
    """Linear probe with all and with few labels."""

    fractions: Fractions = (1, 0.1, 0.01, 0.001)
    draws: Annotated[tuple[int, ...], Range(ge=1), "random subsets per fraction, averaged"] = (1, 2, 5, 10)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_per_fraction("draws")


@dataclass(frozen=True)
class TransferTask(ProbeTask):
    """Logistic regression on another data set, all labels."""


def sides(subject: Subject, task: SplitTask) -> tuple[Array, Array, Array, TestSide]:
    """Training features [n, F], their labels as positions in `side.classes` [n], test features [M, F], test side.

    Raises:
        ValueError: the splits are the same shards, share too many pictures, or their labels do not fit.
    """
    names = (task.dataset, task.train), (task.dataset, task.test)
    labels, side = align(subject.pictures(*names[0]), subject.pictures(*names[1]), task.label)
    return subject.features(*names[0]).features, labels, subject.features(*names[1]).features, side


def _together(subject: Subject, task: ProbeTask) -> Array | None:
    return None if task.together is None else subject.pictures(task.dataset, task.train).label(task.together)


def linear(subject: Subject, tasks: list[LinearTask]) -> Findings:
    """Linear probes at every fraction of the labels, several draws each, and kNN with all labels."""
    findings = Findings(run_identity(subject.config), "linear", LINEAR_PROTOCOL)
    # Tasks that differ in their test set alone share their fits.
    fitted: dict[tuple[object, ...], Probe] = {}
    for task, suffix in zip(tasks, suffixes(tasks), strict=True):
        raw, labels, raw_test, side = sides(subject, task)
        # Statistics of the pictures, not of labels, so every fraction may use them all.
        train, test = standardise(raw, raw_test)
        together = _together(subject, task)
        for fraction, draws in zip(task.fractions, task.draws, strict=True):
            probes = []
            for draw in range(draws):
                rows = stratified_subset(labels, fraction, subject.seed, draw)
                key = (task.dataset, task.train, task.label, task.together, task.metric, fraction, draw)
                if key not in fitted:
                    kept = None if together is None else together[rows]
                    classes = len(side.classes)
                    fitted[key] = fit_probe(train[rows], labels[rows], classes, task.metric, subject.seed, kept)
                probes.append(fitted[key])
            findings.classified(
                task,
                suffix,
                side,
                [probe.scores(test) for probe in probes],
                fraction,
                labels_used=len(rows),
                strength=[probe.strength for probe in probes],
                selection=probes[0].selection,
            )
        votes = neighbour_votes(raw, labels, len(side.classes), raw_test)
        findings.classified(task, suffix, side, [votes], 1.0, "knn-", primary=False, labels_used=len(train))
    return findings


def transfer(subject: Subject, tasks: list[TransferTask]) -> Findings:
    """Logistic regression on other data sets with all their labels."""
    findings = Findings(run_identity(subject.config), "transfer", TRANSFER_PROTOCOL)
    for task, suffix in zip(tasks, suffixes(tasks), strict=True):
        train, labels, test, side = sides(subject, task)
        train, test = standardise(l2_normalise(train), l2_normalise(test))
        probe = fit_probe(train, labels, len(side.classes), task.metric, subject.seed, _together(subject, task))
        findings.classified(
            task,
            suffix,
            side,
            [probe.scores(test)],
            None,
            labels_used=len(train),
            strength=[probe.strength],
            selection=probe.selection,
        )
    return findings


def neighbour_votes(
    train: Array, labels: Array, classes: int, test: Array, k: int = 20, temperature: float = 0.07
) -> Array:
    """Votes [M, classes]: each of the k most cosine-similar training samples gives exp(similarity / temperature).

    k nearest neighbours with weighted votes, after Wu et al. (CVPR 2018, arXiv 1805.01978).

    Args:
        train: [n, F].
        labels: int [n] in [0, classes).
        classes: number of classes.
        test: [M, F].
        k: neighbours, at most n are used.
        temperature: of the votes.
    """
    known, k = l2_normalise(train).T, min(k, len(train))
    votes = np.zeros((len(test), classes))
    for start in range(0, len(test), 1024):
        similarity = l2_normalise(test[start : start + 1024]) @ known
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        weight = np.exp((np.take_along_axis(similarity, nearest, axis=1) - 1) / temperature)
        rows = np.repeat(np.arange(start, start + len(similarity)), k)
        np.add.at(votes, (rows, labels[nearest].ravel()), weight.ravel())
    return votes
