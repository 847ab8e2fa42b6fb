"""The smoke benchmark, run once for all tests that look at its results."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from glofnd.files import read_json
from workflow.grid import Grid

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Smoke:
    """A finished smoke benchmark: where it stands, its resolved config, and how long it took."""

    folder: Path
    seconds: float
    output: str

    @property
    def results(self) -> Path:
        return self.folder / "results/smoke"

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = read_json(self.results / "benchmark.json")
        return config

    @property
    def grid(self) -> Grid:
        config = self.config
        return Grid({**config, "paths": {**config["paths"], "results": str(self.results)}})


def run_smoke(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the smoke preset in `folder`; what it fetches is shared with the repository's own runs."""
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(ROOT / "configs/smoke.yaml"), "--cores", "2"]
    command += ["--workflow-profile", str(ROOT / "profiles/default")]
    command += [*arguments, "--config", f"paths={{'raw': '{ROOT / 'data/raw'}'}}"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=1800
    )


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    """The whole DAG on real data, from shards to report."""
    folder = tmp_path_factory.mktemp("smoke")
    start = time.monotonic()
    done = run_smoke(folder)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-8000:]
    return Smoke(folder, time.monotonic() - start, output)
