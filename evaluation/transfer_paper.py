"""The command `transfer-paper`: transfer as the paper does it, with the regularisation chosen on the test set."""

from __future__ import annotations

import numpy as np

from evaluation.accuracy import score
from evaluation.classification import load_tasks
from evaluation.feature_store import FeatureStore
from evaluation.logistic import C_PATH, rotate, solve_path
from evaluation.old_results import Findings
from evaluation.old_tasks import TransferPaperTask
from evaluation.probe import l2_normalise, standardise
from glofnd.progress import Progress

__all__ = ["PROTOCOL", "run_transfer_paper"]

PROTOCOL = "paper-lbfgs-c-on-test"
"""L2-normalised, standardised features; the C of logspace(-6, 5, 10) that is best on the test set. Optimistic, so these
numbers compare with the paper's and with nothing else."""


def run_transfer_paper(store: FeatureStore, tasks: list[TransferPaperTask]) -> Findings:
    """Logistic regression on other data sets with all their labels, at the C that the test set likes best."""
    findings = Findings(store.run, "transfer-paper", PROTOCOL)
    bar = Progress(len(tasks), "transfer of the paper", "data sets")
    for task, data, report in load_tasks(store, findings, tasks):
        train, test = standardise(l2_normalise(data.train), l2_normalise(data.test))
        basis = rotate(train)
        everything = np.ones((1, len(train)), dtype=bool)
        path = solve_path(basis, data.train_labels, len(data.side.classes), everything)
        scores = [solution.classifier(basis)(test) for solution in path]
        truth = data.side.labels
        values = [score(task.metric, one.argmax(axis=1) == truth, truth).value for one in scores]
        best = int(np.argmax(values))
        report.add(
            [scores[best]],
            None,
            labels_used=len(train),
            strength=[float(C_PATH[best])],
            selection="best C on the test set",
            gap=float(path[best].gap[0]),
        )
        bar.advance(note=task.dataset)
    bar.close()
    return findings
