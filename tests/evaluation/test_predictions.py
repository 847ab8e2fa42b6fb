"""Hits read back from what an evaluation wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.old_results import Findings
from evaluation.predictions import Predictions

TRUTH = np.array([0, 0, 0, 1])
DRAWS = np.array([[0, 0, 1, 1], [0, 1, 1, 1]])
RANKS = np.array([1, 7, 3, 2])
INDEX = np.array([4, 5, 6, 9])


def write(folder: Path, top1: float = 5 / 8) -> Predictions:
    found = Findings({"id": "run"}, "linear", "protocol")
    for metric, value in (("top1", top1), ("mean-per-class", (3 / 6 + 1) / 2), ("top5", 1.0)):
        found.add("digits", "test", metric, value, 4, fraction=0.1, predictions="digits.test.label.0.1")
    found.add("digits", "test", "knn-top1@group", 0.75, 4, predictions="digits.test.knn-group")
    for k, value in ((1, 0.25), (5, 0.75)):
        found.add("digits", "test", f"text-to-image-recall-at-{k}", value, 4, predictions="digits.test.text-to-image")
    found.add("digits", "test", "f1", 0.5, 4)
    found.predict("digits.test.label.0.1", INDEX, DRAWS, TRUTH)
    found.predict("digits.test.knn-group", INDEX, np.array([0, 0, 1, 1]), TRUTH)
    found.predict("digits.test.text-to-image", INDEX, RANKS, np.ones(4, dtype=int))
    found.write(folder, {})
    return Predictions(folder)


def test_hits_of_draws_and_of_one_prediction(tmp_path: Path) -> None:
    stored = write(tmp_path)
    top1 = stored.hits("digits", "test", "top1", 0.1)
    assert top1 is not None and top1.draws == 2 and top1.classes is None
    assert top1.count.tolist() == [2, 1, 0, 2] and top1.index.tolist() == INDEX.tolist()
    knn = stored.hits("digits", "test", "knn-top1@group", float("nan"))
    assert knn is not None and knn.draws == 1 and knn.count.tolist() == [1, 1, 0, 1]


def test_a_mean_per_class_has_classes(tmp_path: Path) -> None:
    found = write(tmp_path).hits("digits", "test", "mean-per-class", 0.1)
    assert found is not None and found.classes is not None and found.classes.tolist() == TRUTH.tolist()


def test_recall_counts_ranks(tmp_path: Path) -> None:
    stored = write(tmp_path)
    for k, wanted in ((1, [1, 0, 0, 0]), (5, [1, 0, 1, 1])):
        found = stored.hits("digits", "test", f"text-to-image-recall-at-{k}", None)
        assert found is not None and found.count.tolist() == wanted


@pytest.mark.parametrize("metric", ["top5", "f1", "absent"])
def test_what_is_no_mean_of_stored_hits_has_none(tmp_path: Path, metric: str) -> None:
    assert write(tmp_path).hits("digits", "test", metric, 0.1 if metric == "top5" else None) is None


def test_predictions_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"predictions\.npz: gives 0\.625000 for top1 on digits\.test, .* 0\.700000"):
        write(tmp_path, top1=0.7).hits("digits", "test", "top1", 0.1)


@pytest.mark.parametrize("damage", ["missing", "broken", "another"])
def test_missing_predictions_are_named(tmp_path: Path, damage: str) -> None:
    stored = write(tmp_path)
    path = tmp_path / "predictions.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "broken":
        path.write_bytes(b"not a zip file")
    else:
        np.savez(path, other=INDEX)
    with pytest.raises(ValueError, match=r"predictions\.npz: no readable predictions of .* run `snakemake` again"):
        stored.hits("digits", "test", "top1", 0.1)
