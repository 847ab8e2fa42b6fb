"""What can be known before the first job: folders that cannot be written, GPUs that are not there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.broken_places import full, mounted, read_only
from workflow.configuration import resolve
from workflow.machine import unwritable, without_gpu

ROOT = Path(__file__).resolve().parents[2]


def config(**paths: object) -> dict[str, Any]:
    stated = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    stated["experiments"].pop("emoji")
    stated["paths"] = {key: str(value) for key, value in paths.items()}
    return resolve(stated)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says of chosen folders what the kernel says to anybody but root."""

    def deny(*folders: Path) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in folders)

    return deny


def test_each_folder_is_named(tmp_path: Path, denied: Any) -> None:
    (tmp_path / "raw").mkdir()
    paths = {"raw": f"{tmp_path}/raw", "shards": f"{tmp_path}/a/b/shards", "results": f"{tmp_path}/results"}
    outputs = [f"{folder}/file" for folder in paths.values()]
    assert list(unwritable(paths, outputs)) == []
    denied(tmp_path, tmp_path / "raw")
    advice = "make that possible or name another"
    assert list(unwritable(paths, outputs)) == [
        f"paths.raw: nothing can be written to '{tmp_path}/raw' ({tmp_path}/raw: permission denied); {advice}",
        f"paths.shards: nothing can be written to '{tmp_path}/a/b/shards' ({tmp_path}: permission denied); {advice}",
        f"paths.results: nothing can be written to '{tmp_path}/results' ({tmp_path}: permission denied); {advice}",
    ]
    assert list(unwritable(paths, [])) == [], "data that is all there may be read-only: many share one copy"


def test_a_gpu_is_looked_for_where_one_is_asked_for(tmp_path: Path) -> None:
    resolved = config(raw=tmp_path / "raw", shards=tmp_path / "shards", results=tmp_path / "results")
    assert list(without_gpu(resolved, tmp_path, {})) == [], "auto takes what there is"
    resolved["experiments"]["fashion-mnist"]["training"]["device"] = "cuda"
    (line,) = without_gpu(resolved, tmp_path, {})
    assert line.startswith("experiments.fashion-mnist.training.device: cuda asked for, but this machine shows no GPU; ")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert list(without_gpu(resolved, tmp_path, {})), "a driver without a GPU"
    (tmp_path / "dev/nvidia0").touch()
    assert list(without_gpu(resolved, tmp_path, {"CUDA_VISIBLE_DEVICES": "0"})) == []
    assert list(without_gpu(resolved, tmp_path, {"CUDA_VISIBLE_DEVICES": ""}))


def snakemake(
    folder: Path, results: Path, *changes: str, wanted: str = "benchmark.json"
) -> subprocess.CompletedProcess[str]:
    """The smoke benchmark as far as one file."""
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "configs/smoke.yaml"), "--cores", "1", "--directory", str(folder)]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), f"{results}/{wanted}"]
    command += ["--config", f"paths={{results: {results}}}", *changes]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(results.parent.parent / "cache")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def nothing_was_started(done: subprocess.CompletedProcess[str], why: str) -> None:
    output = done.stdout + done.stderr
    assert done.returncode == 2 and "Traceback" not in output, output
    assert output[output.index("error: nothing was started") :].splitlines()[:2] == why.splitlines()
    assert "Writing the resolved config" not in output


@pytest.mark.slow
def test_snakemake_starts_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        with read_only(disk):
            line = f"  paths.results: nothing can be written to '{disk}/results' ({disk}: read-only file system); "
            line += "make that possible or name another"
            nothing_was_started(snakemake(tmp_path / "work", disk / "results"), f"error: nothing was started\n{line}")
            why = "error: nothing was started: nothing can be written to the working folder"
            nothing_was_started(snakemake(disk, tmp_path / "results"), f"{why} ({disk}: read-only file system)")
        with full(disk):
            why += f" ({disk}/.snakemake: no space left on device)"
            nothing_was_started(snakemake(disk, tmp_path / "results"), why)
        assert snakemake(disk, disk / "results").returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="there is a GPU")
def test_snakemake_starts_nothing_without_the_gpu_that_is_asked_for(tmp_path: Path) -> None:
    asked = "experiments={fashion-mnist: {training: {device: cuda}}}"
    checkpoint = "runs/fashion-mnist/sogclr/none/seed1/checkpoint.pt"
    line = (
        "  experiments.fashion-mnist.training.device: cuda asked for, but this machine shows no GPU; take auto or cpu, "
    )
    line += "or run on a cluster (docs/cluster.md)"
    done = snakemake(tmp_path / "work", tmp_path / "work/results", asked, wanted=checkpoint)
    nothing_was_started(done, f"error: nothing was started\n{line}")
