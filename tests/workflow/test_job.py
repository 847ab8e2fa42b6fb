"""The one command of all rules: errors are one line and an exit code. The smoke benchmark has what it can do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from glofnd.files import write_json
from workflow.config import read_config, resolve

ROOT = Path(__file__).parents[2]


def job(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow.job", "--benchmark", str(folder / "benchmark.json"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and lines[-1].startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    assert all(word in lines[-1] for word in words), lines


def test_a_run_or_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = resolve(read_config(ROOT / "config.yaml"))
    config["paths"] = {key: str(tmp_path / key) for key in ("raw", "shards", "results")}
    write_json(tmp_path / "benchmark.json", config)
    run = "glyphs/sogclr/oracle/seed1"
    refused(job(tmp_path, "pretrain", "--run", run), "manifest.json")
    refused(job(tmp_path, "evaluate", "--run", run.replace("oracle", "orakle")), "no such run", run)


def test_a_file_that_is_no_benchmark_is_named(tmp_path: Path) -> None:
    refused(job(tmp_path, "tables"), "benchmark.json")
    (tmp_path / "benchmark.json").write_text('{"seeds": 3}')
    refused(job(tmp_path, "tables"), "benchmark.json", "resolved config")
