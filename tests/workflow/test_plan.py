"""The plan of a benchmark: what it counts is what Snakemake plans and what training writes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from glofnd.encoders import build_model
from workflow.configuration import resolve
from workflow.grid import Grid
from workflow.plan.estimate import estimate
from workflow.plan.sizes import run_size
from workflow.plan.text import as_text

ROOT = Path(__file__).parents[2]


def _config(folder: Path, **changes: Any) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    update_config(config, yaml.safe_load((ROOT / "configs/smoke.yaml").read_text(encoding="utf-8")))
    update_config(config, {"paths": {key: str(folder / key) for key in ("raw", "shards", "results")}, **changes})
    return config


def test_jobs_are_those_snakemake_plans(tmp_path: Path) -> None:
    config = _config(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--cores", "2"]
    done = subprocess.run(
        [*command, "--directory", str(tmp_path), "--configfile", str(tmp_path / "config.yaml")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    planned = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)}
    del planned["all"], planned["total"]
    assert estimate(resolve(config))["jobs"] == planned


def test_hours_follow_from_epochs_samples_and_throughput(tmp_path: Path) -> None:
    config = _config(tmp_path, plan={"images_per_second": {"fashion-mnist": 10}, "minutes": {"linear": 3}})
    plan = estimate(resolve(config))
    fashion = plan["training"][0]
    # Two seeds: a trunk of one epoch, then two detectors for one epoch each.
    assert (fashion["epochs"], fashion["epochs_without_trunks"]) == (6, 8)
    assert fashion["hours"] == pytest.approx(6 * 512 / 10 / 3600)
    assert fashion["gpu_hours"] == 0
    assert plan["training"][1]["hours"] is None
    linear = next(row for row in plan["evaluation"] if row["kind"] == "linear")
    assert linear["hours"] == pytest.approx(linear["jobs"] * 3 / 60)
    text = as_text(plan)
    assert "plan.images_per_second.emoji" in text
    assert "10 stated" in text


def test_what_finished_runs_took_goes_before_what_is_stated(tmp_path: Path) -> None:
    config = resolve(_config(tmp_path, plan={"images_per_second": {"fashion-mnist": 10}, "minutes": {"linear": 3}}))
    run = next(iter(Grid(config).runs))
    history = tmp_path / "results" / "runs" / run / "history.json"
    history.parent.mkdir(parents=True)
    history.write_text(json.dumps({"epochs": [{"images_per_second": value} for value in (1, 40, 60)]}))
    times = tmp_path / "results" / "benchmarks" / "linear" / f"{run}.tsv"
    times.parent.mkdir(parents=True)
    times.write_text("s\th:m:s\n30.0\t0:00:30\n")
    plan = estimate(config)
    assert (plan["training"][0]["images_per_second"], plan["training"][0]["images_per_second_source"]) == (
        40,
        "measured",
    )
    linear = next(row for row in plan["evaluation"] if row["kind"] == "linear" and row["experiment"] == "fashion-mnist")
    assert (linear["minutes"], linear["source"]) == (0.5, "measured")


def test_sizes_are_those_of_the_real_thing(tmp_path: Path) -> None:
    config = resolve(_config(tmp_path))
    grid = Grid(config)
    run = next(run for run in grid.runs.values() if run.detector == "glofnd" and run.experiment == "fashion-mnist")
    block = grid.run_config(run)
    size = run_size(block, samples=512, side=16)
    model = build_model(block)
    assert size.parameters == sum(value.numel() for value in model.parameters())
    # The backbone's last stage is eight times as wide as its first, and features are float32.
    assert size.feature_bytes == 8 * 4 * 4
    # u, the threshold and its two moments: float32 each.
    assert size.bytes_per_sample == 16
    assert run_size(block, samples=1512, side=16).memory - size.memory == 1000 * 16


def test_trunks_need_storage_and_evaluations_gpus(tmp_path: Path) -> None:
    config = _config(tmp_path, plan={"minutes": {"discovery": 30, "linear": 30}}, resources={"discovery": {"gpu": 2}})
    plan = estimate(config := resolve(config))
    grid, training = Grid(config), plan["training"][0]
    runs = [run for run in grid.runs.values() if run.experiment == training["experiment"]]
    starts = {(start := grid.start_of_run(run)) and start.id: start for run in runs}
    blocks = [grid.run_config(run) for run in runs] + [grid.trunk_config(start) for start in starts.values() if start]
    assert len(blocks) == len(runs) + 2, "a trunk for each of two seeds"
    sizes = [run_size(block, training["samples"], side=16).checkpoint for block in blocks]
    assert training["checkpoint_bytes"] == sum(sizes)
    found = {row["kind"]: row for row in plan["evaluation"] if row["experiment"] == training["experiment"]}
    assert found["discovery"]["gpu_hours"] == found["discovery"]["jobs"] * 0.5 * 2
    assert found["linear"]["gpu_hours"] == 0 and found["features"]["gpu_hours"] is None


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        ({"images_per_second": {"fashion-mnits": 1}}, "plan.images_per_second.fashion-mnits"),
        ({"minutes": {"liner": 1}}, "plan.minutes.liner"),
        ({"images_per_second": {"emoji": 0}}, "plan.images_per_second.emoji"),
    ],
)
def test_a_plan_for_something_unknown_is_refused(tmp_path: Path, plan: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        resolve(_config(tmp_path, plan=plan))


def test_command_prints_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    command = [sys.executable, "-m", "workflow.plan", "--configfile", "configs/smoke.yaml", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert "Shared trunks save 25% of all epochs." in done.stdout
    assert json.loads(out.read_text())["jobs"]["pretrain"] == 8


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workflow.plan", "--configfile", str(tmp_path / "nowhere.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
