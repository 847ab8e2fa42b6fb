from types import SimpleNamespace

import pytest
import torch

from glofnd.pretraining.history import EpochRecord, detection_scores, threshold_quantiles


def test_nothing_dropped_has_no_precision():
    scores = detection_scores(pairs=100, dropped=0, true=10, correct=0)
    assert scores["precision"] is None
    assert scores["recall"] == 0.0
    assert scores["f1"] == 0.0


def test_scores():
    scores = detection_scores(pairs=100, dropped=8, true=10, correct=6)
    assert scores == pytest.approx(
        {"dropped_share": 0.08, "true_share": 0.1, "precision": 0.75, "recall": 0.6, "f1": 2 * 0.75 * 0.6 / 1.35}
    )


def test_inspection_counts_pairs_of_both_views():
    labels = torch.tensor([0, 0, 1])
    size = 6
    negative = ~(torch.eye(3, dtype=torch.bool).repeat(2, 2))
    dropped = torch.zeros(size, size, dtype=torch.bool)
    dropped[0, 1] = dropped[0, 2] = True
    seen = SimpleNamespace(anchor=torch.arange(size), candidate=torch.arange(size), negative=negative, dropped=dropped)
    record = EpochRecord()
    record.add_inspection({"image": seen}, labels)
    assert record.sums["detection"]["image"] == {"pairs": 24, "dropped": 2, "true": 8, "correct": 1}


def test_epoch_entry_has_no_detection_unless_inspected():
    record = EpochRecord()
    record.add_step(2.0, 0.5)
    record.add_step(4.0, 0.5)
    entry = record.close(3, 0.1, 100, {"image": None})
    assert entry == {"epoch": 3, "loss": 3.0, "lr": 0.1, "seconds": 1.0, "images_per_second": 100.0}


def test_threshold_quantiles():
    found = threshold_quantiles(torch.linspace(-1, 1, 101))
    assert found == pytest.approx({"q05": -0.9, "q25": -0.5, "q50": 0.0, "q75": 0.5, "q95": 0.9}, abs=1e-6)
    assert threshold_quantiles(torch.tensor(0.5))["q05"] == 0.5
    assert threshold_quantiles(None) is None
