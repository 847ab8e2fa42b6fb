"""The measurement of dry-runs: it plans what it says, and a failing Snakemake is no figure."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import dry_run

PRESETS = dry_run.ROOT / "configs"


@pytest.mark.parametrize("jobs", [200, 1000])
def test_seeds_are_the_fewest_that_give_so_many_jobs(jobs: int) -> None:
    preset = PRESETS / "imagenet100.yaml"
    seeds = dry_run.seeds_for(preset, jobs)
    more, fewer = (dry_run._planned(dry_run._preset(preset, chosen)[0]) for chosen in (seeds, seeds[:-1]))
    assert more >= jobs
    assert fewer < jobs


@pytest.mark.slow
def test_a_preset_with_files_of_the_users_is_planned_beside_an_empty_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Snakemake's number of jobs is compared with the plan's inside."""
    preset, found = tmp_path / "preset.yaml", tmp_path / "found.json"
    config = yaml.safe_load((PRESETS / "smoke.yaml").read_text(encoding="utf-8"))
    config["datasets"]["cifar10"] = {"path": "nowhere"}
    config["seeds"] = [1, 2]
    preset.write_text(yaml.safe_dump(config), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["dry_run.py", str(preset), "--jobs", "1", "--json", str(found)])
    dry_run.main()
    rows = json.loads(found.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 2 and len(capsys.readouterr().out.splitlines()) == 3
    for row in rows:
        assert row["jobs"] == row["empty"]["jobs"] > 10
        assert row["cpu"] > 0 and row["wall"] > 0 and row["memory_mb"] > 0


def test_a_snakemake_that_fails_is_no_figure(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule broken:\n    input: 'missing'\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="MissingInput"):
        dry_run.dry_run(tmp_path, ["--workflow-profile", "none"])
