"""What the smoke run of the whole DAG leaves, from shards to report."""

import csv
import math
import sqlite3

import pandas as pd
import pytest
from conftest import Smoke, run_smoke

from glofnd.files import read_json, sha256
from glofnd.pretraining import pretrain
from workflow.tracking import import_runs

pytestmark = pytest.mark.slow


def test_every_result_is_there(smoke: Smoke) -> None:
    names = ["benchmark.json", "summary.parquet", "summary.csv", "summary_mean.csv", "significance.csv"]
    for name in [*names, "report.html", "mlflow.db", "mlflow-import.json"]:
        assert (smoke.results / name).stat().st_size > 0, name
    for path in [*smoke.grid.training_metrics(), *smoke.grid.evaluation_metrics()]:
        assert read_json(path)["format"] == 1, path


def test_it_ends_by_saying_where_everything_is(smoke: Smoke) -> None:
    last = smoke.output.strip().splitlines()
    assert any(f"Report:  {smoke.results / 'report.html'}" in line for line in last)
    assert any("mlflow server" in line and "results/smoke/mlflow.db" in line for line in last)


def test_a_second_run_does_nothing(smoke: Smoke) -> None:
    done = run_smoke(smoke.folder, "--dry-run")
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


def test_results_name_their_run_and_where_they_come_from(smoke: Smoke) -> None:
    for run in smoke.grid.all_runs:
        for evaluation in smoke.grid.evaluations(run):
            found = read_json(f"{smoke.grid.run_folder(run)}/{evaluation}/metrics.json")
            assert found["run"] == {
                "id": run.id,
                "experiment": run.experiment,
                "objective": run.objective,
                "detector": run.detector,
                "seed": run.seed,
                "kind": run.kind,
            }
            assert found["evaluation"] == evaluation and found["protocol"]
            assert found["provenance"]["config_hash"] and found["provenance"]["inputs"]


def test_shares_are_shares(smoke: Smoke) -> None:
    table = pd.read_parquet(smoke.results / "summary.parquet")
    accuracy = table[table["evaluation"].isin(["linear", "transfer", "zero-shot", "retrieval"])]
    assert accuracy["value"].between(0, 1).all() and accuracy["chance"].between(0, 1).all()
    assert set(table["seed"]) == {1, 2}


def test_raw_pixels_beat_chance(smoke: Smoke) -> None:
    """The probe works on what needs no training, so the way from shards to metrics is sound."""
    table = pd.read_parquet(smoke.results / "summary.parquet")
    raw = table[(table["detector"] == "raw-pixels") & (table["metric"] == "top1") & (table["fraction"] == 1)]
    assert len(raw) and (raw["value"] > 0.6).all()


def test_training_lowers_the_loss(smoke: Smoke) -> None:
    for run in smoke.grid.runs.values():
        epochs = read_json(f"{smoke.grid.run_folder(run)}/history.json")["epochs"]
        assert [entry["epoch"] for entry in epochs] == [0, 1]
        assert all(math.isfinite(entry["loss"]) for entry in epochs)


def test_runs_branch_from_their_trunk(smoke: Smoke) -> None:
    for run in smoke.grid.runs.values():
        trunk = smoke.grid.start_of_run(run)
        assert trunk is not None
        inputs = read_json(f"{smoke.grid.run_folder(run)}/metrics.json")["provenance"]["inputs"]
        assert inputs["trunk"] == sha256(f"{smoke.grid.trunk_folder(trunk)}/checkpoint.pt")


def test_two_seeds_differ(smoke: Smoke) -> None:
    one, two = (
        read_json(f"{smoke.grid.run_folder(smoke.grid.run(f'glyphs/sogclr/none/seed{seed}'))}/history.json")
        for seed in (1, 2)
    )
    assert one["epochs"][0]["loss"] != two["epochs"][0]["loss"]


def test_comparisons_say_how_little_two_seeds_show(smoke: Smoke) -> None:
    with (smoke.results / "significance.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert rows and {row["n"] for row in rows} == {"2"}
    assert all(float(row["p_sign_flip"]) >= 0.5 for row in rows)
    assert any(row["p_holm"] for row in rows)


def test_mlflow_has_every_run_once(smoke: Smoke) -> None:
    with sqlite3.connect(smoke.results / "mlflow.db") as store:
        names = [name for (name,) in store.execute("select name from runs where lifecycle_stage = 'active'")]
    runs = [run.id.partition("/")[2] for run in smoke.grid.all_runs]
    parents = {(run.experiment, run.objective, run.detector) for run in smoke.grid.all_runs}
    methods = [f"{objective}/{detector}" for _, objective, detector in parents]
    assert sorted(names) == sorted([*runs, *methods, *(["report"] * len(smoke.config["experiments"]))])
    again = import_runs({**smoke.config, "paths": smoke.grid.config["paths"]}, smoke.folder / "again.json")
    assert {entry["state"] for entry in again.values()} == {"unchanged"}


def test_the_report_needs_no_network(smoke: Smoke) -> None:
    page = (smoke.results / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page and "<link" not in page and "<script src" not in page


def test_snakemakes_own_report_works(smoke: Smoke) -> None:
    done = run_smoke(smoke.folder, "--report", "workflow.html")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (smoke.folder / "workflow.html").stat().st_size > 0


def test_a_small_vit_of_timm_trains_on_the_default_data(smoke: Smoke) -> None:
    run = smoke.grid.run("glyphs/sogclr/none/seed1")
    config, shards = smoke.grid.run_config(run), smoke.grid.training_shards(run.id)
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
    encoder = {"name": "timm", "model": "vit_tiny_patch16_224", "options": options}
    out = smoke.folder / "vit"
    encoder |= {"projector_hidden": 32, "projector_dim": 16}
    pretrain({**config, "encoder": encoder}, smoke.folder / shards, out)
    first, last = read_json(out / "history.json")["epochs"]
    assert last["loss"] < first["loss"]
