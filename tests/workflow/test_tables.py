"""From metrics.json files to the summary and the table of comparisons."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from results_tree import write_tree
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from workflow.scripts import aggregate as aggregation
from workflow.scripts import significance
from workflow.scripts.aggregate import KEY, aggregate, mean_table
from workflow.scripts.significance import comparisons, overall


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    return write_tree(tmp_path)


def _edit(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")


def test_summary_has_one_row_per_value(tree: dict[str, Any], tmp_path: Path) -> None:
    table = aggregate(tmp_path / "benchmark.json", tmp_path)
    # (9 runs + 3 baselines) x (4 linear + 2 discovery)
    assert len(table) == 72
    assert not table.duplicated([*KEY, "detector", "seed"]).any()
    assert set(table["kind"]) == {"method", "baseline"}
    assert table[table["metric"] == "precision"]["value"].isna().all()
    assert table["primary"].sum() == 24
    stored = pd.read_parquet(tmp_path / "summary.parquet")
    pd.testing.assert_frame_equal(stored, table)
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 72


def test_means_are_over_seeds(tree: dict[str, Any], tmp_path: Path) -> None:
    table = aggregate(tmp_path / "benchmark.json", tmp_path)
    means = mean_table(table)
    one = {"detector": "glofnd", "metric": "top1", "fraction": 0.1}
    row = means[(means[list(one)] == pd.Series(one)).all(axis=1)].iloc[0]
    values = table[(table[list(one)] == pd.Series(one)).all(axis=1)]["value"]
    assert row["seeds"] == 3
    assert row["mean"] == pytest.approx(np.mean(values)) and row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert len(pd.read_csv(tmp_path / "summary_mean.csv")) == 24


def test_results_of_two_protocols_are_not_averaged(tree: dict[str, Any], tmp_path: Path) -> None:
    _edit(tmp_path / "runs/exp/sogclr/glofnd/seed2/linear/metrics.json", {"protocol": "paper"})
    with pytest.raises(ValueError, match=r"exp/linear: results of different protocols.*sogclr/glofnd/seed2"):
        aggregate(tmp_path / "benchmark.json", tmp_path)
    assert not (tmp_path / "summary.parquet").exists()


def test_a_missing_result_is_an_error_or_left_out(tree: dict[str, Any], tmp_path: Path) -> None:
    missing = tmp_path / "runs/exp/sogclr/glofnd/seed2/linear/metrics.json"
    missing.unlink()
    with pytest.raises(ValueError, match=r"glofnd/seed2/linear/metrics.json: no such result \(1 of 24 are missing\)"):
        aggregate(tmp_path / "benchmark.json", tmp_path)
    assert len(aggregate(tmp_path / "benchmark.json", tmp_path, allow_missing=True)) == 68


@pytest.mark.parametrize("change", [{"format": 2}, {"run": {}}, {"metrics": [{"metric": "top1"}]}])
def test_a_broken_result_is_named(tree: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    broken = tmp_path / "runs/exp/sogclr/none/seed1/linear/metrics.json"
    _edit(broken, change)
    with pytest.raises(ValueError, match=r"none/seed1/linear/metrics\.json"):
        aggregate(tmp_path / "benchmark.json", tmp_path)


def test_one_value_twice_is_refused(tree: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "runs/exp/sogclr/none/seed1/linear/metrics.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["metrics"]
    _edit(path, {"metrics": [*rows, rows[0]]})
    with pytest.raises(ValueError, match="exp/sogclr/none/seed1: two values of top1"):
        aggregate(tmp_path / "benchmark.json", tmp_path)


def test_comparisons_are_paired_by_seed(tree: dict[str, Any], tmp_path: Path) -> None:
    summary = aggregate(tmp_path / "benchmark.json", tmp_path)
    table = comparisons(summary, tree, tmp_path)
    # 2 detectors x (4 linear + f1); undefined values and baselines are not compared
    assert len(table) == 10 and set(table["detector"]) == {"glofnd", "oracle"}
    row = table[(table["detector"] == "glofnd") & (table["metric"] == "top1") & (table["fraction"] == 1)].iloc[0]
    method = summary[(summary["detector"] == "glofnd") & (summary["metric"] == "top1") & (summary["fraction"] == 1)]
    base = summary[(summary["detector"] == "none") & (summary["metric"] == "top1") & (summary["fraction"] == 1)]
    reference = stats.ttest_rel(method["value"], base["value"])
    assert row["n"] == 3 and row["seeds"] == "1 2 3"
    assert row["difference"] == pytest.approx(0.022)
    assert row["p_value"] == pytest.approx(reference.pvalue, rel=1e-6)
    assert row["ci_low"] == pytest.approx(reference.confidence_interval().low)
    assert row["p_sign_flip"] == pytest.approx(0.25) and row["smallest_p"] == 0.25


def test_holm_runs_over_the_main_metrics_alone(tree: dict[str, Any], tmp_path: Path) -> None:
    table = comparisons(aggregate(tmp_path / "benchmark.json", tmp_path), tree, tmp_path)
    family = table[table["primary"]]
    assert len(family) == 4 and set(family["metric"]) == {"top1"} and set(family["family_size"]) == {2}
    for name, detector in (("methods", "glofnd"), ("oracle", "oracle")):
        own = family[family["family"] == name]
        assert set(own["detector"]) == {detector} and len(own) == 2
        assert list(own["p_holm"]) == pytest.approx(multipletests(own["p_value"], method="holm")[1])
    assert table[~table["primary"]]["p_holm"].isna().all()


def test_methods_are_compared_with_each_other_on_main_metrics_outside_the_family(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    summary = aggregate(tmp_path / "benchmark.json", tmp_path)
    mine = summary[summary["detector"] == "glofnd"].assign(detector="mine", value=lambda rows: rows["value"] - 0.01)
    tree["experiments"]["exp"]["detectors"] = {
        "mine": {"method": "batch-quantile"}, **tree["experiments"]["exp"]["detectors"]
    }  # fmt: skip
    table = comparisons(pd.concat([summary, mine]), tree, tmp_path)
    between = table[table["baseline"] != "none"]
    assert set(zip(between["detector"], between["baseline"], strict=True)) == {("glofnd", "mine")}
    assert set(between["metric"]) == {"top1"} and len(between) == 2
    assert list(between["difference"]) == pytest.approx([0.01, 0.01])
    assert between["p_holm"].isna().all() and between["family"].isna().all()
    assert set(table[table["family"] == "methods"]["family_size"]) == {4}


def test_only_common_seeds_are_compared(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "runs/exp/sogclr/none/seed2/linear/metrics.json").unlink()
    summary = aggregate(tmp_path / "benchmark.json", tmp_path, allow_missing=True)
    table = comparisons(summary, tree, tmp_path)
    linear = table[table["evaluation"] == "linear"]
    assert set(linear["seeds"]) == {"1 3"} and set(linear["n"]) == {2}
    assert not linear["baseline_mean"].isna().any()


def test_overall_table_takes_all_main_metrics_together(tree: dict[str, Any], tmp_path: Path) -> None:
    summary = aggregate(tmp_path / "benchmark.json", tmp_path)
    table = overall(summary, tree["significance"]).set_index("detector")
    assert set(table["tasks"]) == {2} and set(table["seeds"]) == {3}
    assert table.loc["none", "probability_of_improvement"] == 0.5
    assert table.loc["oracle", "probability_of_improvement"] == 1.0
    row = table.loc["glofnd"]
    assert row["interquartile_mean_low"] <= row["interquartile_mean"] <= row["interquartile_mean_high"]


def test_commands_write_their_tables(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = str(tmp_path / "benchmark.json")
    monkeypatch.setattr("sys.argv", ["aggregate", "--benchmark", benchmark, "--out", str(tmp_path)])
    aggregation.main()
    arguments = ["--benchmark", benchmark, "--summary", str(tmp_path / "summary.parquet")]
    arguments += ["--out", str(tmp_path / "significance.csv"), "--overall", str(tmp_path / "overall.csv")]
    monkeypatch.setattr("sys.argv", ["significance", *arguments])
    significance.main()
    assert "With 3 seeds the exact sign-flip test cannot give a p-value below 0.25" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "overall.csv")) == 3
    table = pd.read_csv(tmp_path / "significance.csv")
    assert not any(math.isinf(value) for value in table["p_value"])


def test_a_command_ends_with_one_line_on_a_bad_result(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs/exp/sogclr/none/seed1/linear/metrics.json").write_text("{", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["x", "--benchmark", str(tmp_path / "benchmark.json"), "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        aggregation.main()
    assert stop.value.code == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(error) == 1 and "none/seed1/linear/metrics.json: not valid JSON" in error[0]
