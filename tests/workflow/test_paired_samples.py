"""From stored predictions to the tests over samples in the table of comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_tree import config
from statsmodels.stats.contingency_tables import mcnemar  # type: ignore[import-untyped]
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from evaluation.old_results import Findings
from glofnd.files import write_json
from workflow.grid import Grid
from workflow.scripts.aggregate import aggregate
from workflow.scripts.significance import comparisons

TRUTH = np.arange(120) % 10
CHANCE = {"none": 0.5, "glofnd": 0.6, "oracle": 0.8, "raw-pixels": 0.3}


def predictions(detector: str, seed: int, fraction: float) -> np.ndarray:
    """[draws, N]: what a run predicts; the two fractions have one and two draws."""
    draw = np.random.default_rng([len(detector), seed, int(100 * fraction)])
    right = draw.random((1 if fraction == 1 else 2, len(TRUTH))) < CHANCE[detector]
    return np.where(right, TRUTH, (TRUTH + 1) % 10)


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """A finished benchmark whose metrics are those of its predictions."""
    made = config(tmp_path)
    made["experiments"]["exp"]["evaluations"] = {"linear": [{"dataset": "digits"}]}
    grid = Grid(made)
    for run in grid.all_runs:
        identity = {"id": run.id, "experiment": run.experiment, "objective": run.objective}
        found = Findings({**identity, "detector": run.detector, "seed": run.seed, "kind": run.kind}, "linear", "probe")
        for fraction in (1, 0.1):
            guess, entry = predictions(run.detector, run.seed, fraction), f"digits.test.label.{fraction:g}"
            value = float((guess == TRUTH).mean())
            for metric in ("top1", "mean-per-class"):
                details = {"primary": metric == "top1", "predictions": entry}
                found.add("digits", "test", metric, value, 120, fraction=fraction, **details)
            found.predict(entry, np.arange(120), guess, TRUTH)
        found.write(Path(grid.run_folder(run)) / "linear", {})
    write_json(tmp_path / "benchmark.json", made)
    return made


def test_samples_are_paired_at_each_seed(tree: dict[str, Any], tmp_path: Path) -> None:
    table = comparisons(aggregate(tmp_path / "benchmark.json", tmp_path), tree, tmp_path)
    one = table[(table["detector"] == "glofnd") & (table["metric"] == "top1")].set_index("fraction")
    per_seed = []
    for seed in (1, 2, 3):
        hits, base = (predictions(d, seed, 1)[0] == TRUTH for d in ("glofnd", "none"))
        cells = [[int((hits & base).sum()), int((hits & ~base).sum())], [int((~hits & base).sum()), 0]]
        per_seed.append(f"{mcnemar(cells, exact=True).pvalue:.3g}")
    assert one.loc[1, "p_mcnemar_seeds"] == " ".join(per_seed) and one.loc[1, "seeds"] == "1 2 3"
    for _, row in one.iterrows():
        assert row["samples"] == 120 and row["p_mcnemar"] < 0.05
        assert row["sample_low"] < row["difference"] < row["sample_high"]
        assert row["both_low"] <= row["sample_low"] + 0.01 and row["both_high"] >= row["sample_high"] - 0.01
    assert one.loc[1, "won"] - one.loc[1, "lost"] == pytest.approx(one.loc[1, "difference"])


def test_tests_over_samples_are_corrected_over_the_same_families(tree: dict[str, Any], tmp_path: Path) -> None:
    table = comparisons(aggregate(tmp_path / "benchmark.json", tmp_path), tree, tmp_path)
    for _, family in table.groupby("family"):
        assert len(family) == 2
        corrected = multipletests(family["p_mcnemar"], method="holm")[1]
        assert list(family["p_mcnemar_holm"]) == pytest.approx(corrected)
    outside = table[table["family"].isna()]
    assert outside["p_mcnemar_holm"].isna().all()
    per_class = table[table["metric"] == "mean-per-class"]
    assert per_class["p_mcnemar"].isna().all() and per_class["both_low"].notna().all()


def test_other_samples_do_not_pair(tree: dict[str, Any], tmp_path: Path) -> None:
    summary = aggregate(tmp_path / "benchmark.json", tmp_path)
    path = tmp_path / "runs/exp/sogclr/none/seed2/linear/predictions.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["digits.test.label.1.index"] += 1
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"none/seed2/linear: tested on other samples or draws of digits\.test than"):
        comparisons(summary, tree, tmp_path)


def test_a_lost_file_of_predictions_is_an_error(tree: dict[str, Any], tmp_path: Path) -> None:
    summary = aggregate(tmp_path / "benchmark.json", tmp_path)
    (tmp_path / "runs/exp/sogclr/glofnd/seed3/linear/predictions.npz").unlink()
    with pytest.raises(ValueError, match=r"glofnd/seed3/linear/predictions\.npz: no readable predictions"):
        comparisons(summary, tree, tmp_path)
