"""The plan counts the jobs that Snakemake has, sizes of the real models, and times that were measured or stated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from snakemake.utils import update_config

from glofnd.encoders import build_model
from workflow.config import merged, resolve
from workflow.grid import Grid
from workflow.plan import as_text, costs, job_counts

ROOT = Path(__file__).parents[2]


def grid_of(tmp_path: Path, **changes: Any) -> Grid:
    config = merged(ROOT / "configs/smoke.yaml")
    update_config(
        config, {"paths": {"results": str(tmp_path / "results"), "shards": str(tmp_path / "shards")}, **changes}
    )
    return Grid(resolve(config))


@pytest.mark.slow
def test_it_has_the_jobs_that_snakemake_has(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("snakemake"), "-n", "--directory", tmp_path]
    command += ["--configfile", ROOT / "configs/smoke.yaml", "--config", f"paths={{results: {tmp_path / 'results'}}}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    counts = job_counts(grid_of(tmp_path))
    assert all([rule, str(counts[rule])] in lines for rule in ("fetch", "shard", "trunk", "pretrain", "evaluate"))
    assert ["total", str(sum(counts.values()) + 1)] in lines, "with the rule all"


def test_sizes_are_those_of_the_real_models_and_trunks_are_trained_once(tmp_path: Path) -> None:
    grid = grid_of(tmp_path)
    for name in grid.config["experiments"]:
        row = costs(grid, name)
        model = build_model(grid.run_config(next(run for run in grid.runs.values() if run.experiment == name)))
        assert row["parameters"] == sum(value.numel() for value in model.parameters())
        assert row["all checkpoints, MB"] > (row["runs"] + 1) * 4 * row["parameters"] * 3 / 1e6
        # Per seed one epoch of trunk, then the second of each run.
        assert row["epochs without trunks"] == 2 * row["runs"] and row["epochs"] == 2 + row["runs"]
    # The objective's moving average, the detector's threshold and what it learns it by: a few numbers.
    assert 8 <= costs(grid, "glyphs")["state per sample, B"] <= 40


def test_times_are_measured_or_stated_and_never_guessed(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, plan={"images_per_second": {"glyph-captions": 100.0}, "minutes": {"glyph-captions": 3.0}})
    assert costs(grid, "glyphs")["training hours"] is None and costs(grid, "glyph-captions")["training hours"] > 0
    assert "glyphs are not known yet" in as_text(grid)
    run = next(run for run in grid.runs.values() if run.experiment == "glyphs")
    folder, benchmark = Path(grid.run_folder(run)), tmp_path / f"results/benchmarks/evaluate/{run.id}.tsv"
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps({"epochs": [{"images_per_second": 512.0}]}))
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n120\t0:02:00\n")
    row, evaluated = costs(grid, "glyphs"), [run for run in grid.all_runs if run.experiment == "glyphs"]
    assert row["training hours"] == pytest.approx(row["epochs"] * row["samples"] / 512 / 3600), "at 512 a second"
    assert row["evaluation hours"] == pytest.approx(2 * len(evaluated) / 60)
