"""From metrics.json files to the summary and the table of comparisons."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from results_tree import SEEDS, write_tree
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from evaluation.results import write_arrays
from evaluation.scores import top1
from glofnd.files import read_json, write_json
from workflow.tables import KEY, comparisons, mean_table, overall, read_summary, summary, write_tables

TRUTH = np.arange(120) % 10


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path)


def edit(path, change):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")


def chosen(table, **values):
    return table[(table[list(values)] == pd.Series(values)).all(axis=1)]


def test_every_table_is_written_and_the_summary_read_back(tree, tmp_path):
    said = write_tables(tree, tmp_path)
    table = summary(tree, tmp_path)
    # (9 runs + 1 baseline) x (4 linear + 2 discovery)
    assert len(table) == 60 == len(pd.read_csv(tmp_path / "summary.csv"))
    assert set(table["kind"]) == {"method", "baseline"} and table["primary"].sum() == 20
    assert table[table["metric"] == "precision"]["value"].isna().all()
    pd.testing.assert_frame_equal(read_summary(tmp_path / "summary.parquet"), table)
    assert len(pd.read_csv(tmp_path / "summary_mean.csv")) == 24
    assert len(pd.read_csv(tmp_path / "significance_overall.csv")) == 3
    assert np.isfinite(pd.read_csv(tmp_path / "significance.csv")["p_value"]).all()
    assert len(said) == 1 and said[0].startswith("exp: With 3 seeds")
    (tmp_path / "summary.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"summary\.parquet"):
        read_summary(tmp_path / "summary.parquet")


def test_means_are_over_seeds(tree, tmp_path):
    table, one = summary(tree, tmp_path), {"detector": "glofnd", "metric": "top1", "fraction": 0.1}
    row, values = chosen(mean_table(table), **one).iloc[0], chosen(table, **one)["value"]
    assert (row["seeds"], row["mean"], row["sd"]) == (3, pytest.approx(values.mean()), pytest.approx(values.std()))


def test_a_missing_result_is_an_error_or_left_out(tree, tmp_path):
    (tmp_path / "runs/exp/sogclr/glofnd/seed2/linear/metrics.json").unlink()
    with pytest.raises(ValueError, match=r"glofnd/seed2/linear/metrics.json: no such result \(1 of 20 are missing\)"):
        summary(tree, tmp_path)
    assert len(summary(tree, tmp_path, allow_missing=True)) == 56


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"run": {}}, {"metrics": [{"metric": "top1"}]}, {"protocol": "paper"}, "twice"]
)
def test_a_broken_double_or_foreign_result_is_named(tree, tmp_path, change):
    path = tmp_path / "runs/exp/sogclr/glofnd/seed2/linear/metrics.json"
    edit(path, {"metrics": 2 * read_json(path)["metrics"]} if change == "twice" else change)
    with pytest.raises(ValueError, match="sogclr/glofnd/seed2"):
        summary(tree, tmp_path)


def test_comparisons_are_paired_by_seed(tree, tmp_path):
    table = summary(tree, tmp_path)
    found = comparisons(table, tree, tmp_path)
    # 2 detectors x (4 linear + f1); undefined values and baselines are not compared
    assert len(found) == 10 and set(found["detector"]) == {"glofnd", "oracle"}
    assert not found.duplicated([*KEY, "detector", "baseline"]).any()
    row = chosen(found, detector="glofnd", metric="top1", fraction=1).iloc[0]
    method, base = (chosen(table, detector=d, metric="top1", fraction=1)["value"] for d in ("glofnd", "none"))
    reference = stats.ttest_rel(method, base)
    assert (row["n"], row["seeds"], row["value"]) == (3, "1 2 3", pytest.approx(method.mean()))
    assert (row["difference"], row["p_value"]) == (pytest.approx(0.022), pytest.approx(reference.pvalue, rel=1e-6))
    assert row["ci_low"] == pytest.approx(reference.confidence_interval().low)
    assert row["p_sign_flip"] == pytest.approx(0.25)


def test_holm_runs_over_the_main_metrics_alone(tree, tmp_path):
    table = comparisons(summary(tree, tmp_path), tree, tmp_path)
    family = table[table["primary"]]
    assert len(family) == 4 and set(family["metric"]) == {"top1"} and set(family["family_size"]) == {2}
    for name, detector in (("methods", "glofnd"), ("oracle", "oracle")):
        own = family[family["family"] == name]
        assert set(own["detector"]) == {detector}
        assert list(own["p_holm"]) == pytest.approx(multipletests(own["p_value"], method="holm")[1])
    assert table[~table["primary"]]["p_holm"].isna().all()


def test_methods_are_compared_with_each_other_on_main_metrics_outside_the_family(tree, tmp_path):
    table = summary(tree, tmp_path)
    mine = table[table["detector"] == "glofnd"].assign(detector="mine", value=lambda rows: rows["value"] - 0.01)
    detectors = tree["experiments"]["exp"]["detectors"]
    tree["experiments"]["exp"]["detectors"] = {"mine": {"method": "batch-quantile"}, **detectors}
    found = comparisons(pd.concat([table, mine]), tree, tmp_path)
    between = found[found["baseline"] != "none"]
    assert set(zip(between["detector"], between["baseline"], strict=True)) == {("glofnd", "mine")}
    assert set(between["metric"]) == {"top1"} and list(between["difference"]) == pytest.approx([0.01, 0.01])
    assert between["p_holm"].isna().all() and between["family"].isna().all()
    assert set(found[found["family"] == "methods"]["family_size"]) == {4}


def test_rivals_are_compared_with_the_first_objective_in_its_family(tmp_path):
    tree = write_tree(tmp_path, rivals={"dcl": {"method": "dcl"}})
    compared = comparisons(summary(tree, tmp_path), tree, tmp_path)
    rows = chosen(compared, objective="dcl", metric="top1")
    assert len(rows) == 2 and set(rows["baseline"]) == {"sogclr/none"} and set(rows["family"]) == {"methods"}
    assert set(rows["difference"].round(12)) == {0.0} and set(rows["family_size"]) == {4}


def test_only_common_seeds_are_compared(tree, tmp_path):
    (tmp_path / "runs/exp/sogclr/none/seed2/linear/metrics.json").unlink()
    found = comparisons(summary(tree, tmp_path, allow_missing=True), tree, tmp_path)
    linear = found[found["evaluation"] == "linear"]
    assert set(linear["seeds"]) == {"1 3"} and set(linear["n"]) == {2}


def test_overall_table_takes_all_main_metrics_together(tree, tmp_path):
    found = overall(summary(tree, tmp_path), tree["significance"]).set_index("detector")
    assert set(found["tasks"]) == {2} and set(found["seeds"]) == {3}
    assert found.loc["none", "probability_of_improvement"] == 0.5
    assert found.loc["oracle", "probability_of_improvement"] == 1.0
    row = found.loc["glofnd"]
    assert row["interquartile_mean_low"] <= row["interquartile_mean"] <= row["interquartile_mean_high"]


def with_predictions(tree, results):
    """Replaces every linear result by one with predictions of 120 samples: one draw of all labels, two of a tenth."""
    tree["experiments"]["exp"]["evaluations"] = {"linear": [{"dataset": "digits"}]}
    for path in results.glob("runs/*/*/*/seed*/linear/metrics.json"):
        found, arrays = read_json(path), {}
        run = found["run"]
        for row in found["metrics"]:
            draws = 1 if row["fraction"] == 1 else 2
            generator = np.random.default_rng([len(run["detector"]), run["seed"], draws])
            right = generator.random((draws, len(TRUTH))) < {"none": 0.5, "oracle": 0.8}.get(run["detector"], 0.6)
            entry = f"digits.{row['fraction']}"
            row |= {"value": top1(right.mean(axis=0)).value, "predictions": entry}
            arrays |= {f"{entry}.index": np.arange(120), f"{entry}.truth": TRUTH}
            arrays[f"{entry}.prediction"] = np.where(right, TRUTH, (TRUTH + 1) % 10)
        write_json(path, found)
        write_arrays(path.with_name("predictions.npz"), arrays)


def test_samples_are_compared_where_predictions_are_stored(tree, tmp_path):
    with_predictions(tree, tmp_path)
    tree["seeds"] = [1]
    found = comparisons(summary(tree, tmp_path), tree, tmp_path)
    row = chosen(found, detector="oracle", metric="top1", fraction=1).iloc[0]
    right = {}
    for detector in ("oracle", "none"):
        path = tmp_path / f"runs/exp/sogclr/{detector}/seed1/linear/predictions.npz"
        with np.load(path) as file:
            right[detector] = (file["digits.1.prediction"] == file["digits.1.truth"])[0]
    table = [[int((right["oracle"] == a)[right["none"] == b].sum()) for b in (True, False)] for a in (True, False)]
    assert row["p_mcnemar"] == pytest.approx(mcnemar(table, exact=True).pvalue, rel=1e-6)
    assert row["samples"] == 120 and row["sample_low"] < row["difference"] < row["sample_high"]
    family = found[found["family"] == "methods"]
    assert list(family["p_mcnemar_holm"]) == pytest.approx(multipletests(family["p_mcnemar"], method="holm")[1])
    assert found[found["metric"] == "top5"]["p_mcnemar"].isna().all()


def test_other_test_samples_are_refused(tree, tmp_path):
    with_predictions(tree, tmp_path)
    path = Path(tmp_path / f"runs/exp/sogclr/glofnd/seed{SEEDS[1]}/linear/predictions.npz")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    write_arrays(path, arrays | {"digits.1.index": np.arange(120) + 1})
    with pytest.raises(ValueError, match="glofnd/seed2: tested on other samples"):
        comparisons(summary(tree, tmp_path), tree, tmp_path)
