"""`transfer-paper`: transfer as the paper does it, with the regularisation chosen on the test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.probing.linear import sides
from evaluation.probing.logistic import C_PATH, SoftmaxRegression, l2_normalise, optimum, standardise
from evaluation.results import Findings, run_identity
from evaluation.run import Subject
from evaluation.scores import score
from evaluation.task import SplitTask, suffixes

__all__ = ["PROTOCOL", "TransferPaperTask", "transfer_paper"]

PROTOCOL = "paper-lbfgs-c-on-test"
"""L2-normalised, standardised features; the C of logspace(-6, 5, 10) that is best on the test set. Optimistic, so these
numbers compare with the paper's and with nothing else."""


@dataclass(frozen=True)
class TransferPaperTask(SplitTask):
    """The paper's transfer, which picks C on the test set."""


def transfer_paper(subject: Subject, tasks: list[TransferPaperTask]) -> Findings:
    """Logistic regression on other data sets with all their labels, at the C that the test set likes best."""
    findings = Findings(run_identity(subject.config), "transfer-paper", PROTOCOL)
    for task, suffix in zip(tasks, suffixes(tasks), strict=True):
        train, labels, test, side = sides(subject, task)
        train, test = standardise(l2_normalise(train), l2_normalise(test))
        problem = SoftmaxRegression(train, labels, len(side.classes))
        parameters, scores = problem.zeros(), []
        for strength in C_PATH:
            parameters = optimum(problem, strength, parameters, tolerance=1e-5)
            scores.append(problem.probe(parameters, strength, "").scores(test))
        truth = side.labels
        values = [score(task.metric, one.argmax(axis=1) == truth, truth).value for one in scores]
        best = int(np.argmax(values))
        findings.classified(
            task,
            suffix,
            side,
            [scores[best]],
            None,
            labels_used=len(train),
            strength=[float(C_PATH[best])],
            selection="best C on the test set",
        )
    return findings
