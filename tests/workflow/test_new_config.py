"""`python -m workflow new` writes configs that are valid as they are, whatever a user has; one runs to its report."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from glofnd.data import shard
from glofnd.files import read_json
from workflow.config import merged, resolve
from workflow.data_checks import refusals
from workflow.grid import Grid
from workflow.new import main

ROOT = Path(__file__).parents[2]
NAMES = ("ant", "bee", "cat")


def picture(kind: int, number: int) -> bytes:
    noise = np.random.default_rng(number).normal(40 + 60 * kind, 40, (40, 48, 3))
    buffer = io.BytesIO()
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tars(root: Path, **members: Any) -> None:
    for part in range(2):
        root.mkdir(exist_ok=True)
        with tarfile.open(root / f"{part:05d}.tar", "w") as tar:
            for number in range(30 * part, 30 * part + 30):
                sample = {"png": picture(number % 3, number)}
                for extension, data in (sample | {e: make(number % 3) for e, make in members.items()}).items():
                    info = tarfile.TarInfo(f"{number:05d}.{extension}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What users have: class folders, with and without splits; a flat folder with a list; tars of four kinds."""
    root = tmp_path_factory.mktemp("own")
    for number in range(60):
        name, data = NAMES[number % 3], picture(number % 3, number)
        write(root / f"classes/{name}/{number}.png", data)
        write(root / f"splits/{'Val' if number > 47 else 'train'}/{name}/{number}.png", data)
        write(root / f"flat/{number}.png", data)
        write(root / f"wrapped/images/{number}.png", data)
    write(root / "flat/drawing.svg", b"<svg/>")
    with (root / "flat/list.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("file_name", "text"), *((f"{n}.png", f"{NAMES[n % 3]} {n}") for n in range(60))])
    tars(root / "numbered", cls=lambda kind: str(kind).encode())
    tars(root / "bare")
    tars(root / "captioned", txt=lambda kind: NAMES[kind].encode())
    tars(root / "both", cls=lambda kind: f"{NAMES[kind]}\n".encode(), txt=lambda kind: NAMES[kind].encode())
    return root


@pytest.mark.parametrize(
    ("option", "place", "trained", "evaluations"),
    [
        ("--folder", "classes", 48, {"linear", "discovery"}),
        ("--folder", "splits", 48, {"linear", "discovery"}),
        ("--folder", "flat", 60, {"transfer", "discovery"}),
        ("--folder", "wrapped", 60, {"transfer", "discovery"}),
        ("--captions", "flat/list.csv", 48, {"retrieval", "discovery"}),
        ("--tars", "numbered", 48, {"linear", "discovery"}),
        ("--tars", "bare", 60, {"transfer", "discovery"}),
        ("--tars", "captioned", 48, {"retrieval", "discovery"}),
        ("--tars", "both", 48, {"zero-shot", "retrieval", "discovery"}),
    ],
)
def test_it_is_valid_as_it_is(
    own: Path, tmp_path: Path, option: str, place: str, trained: int, evaluations: set[str]
) -> None:
    assert main(["new", str(tmp_path / "my.yaml"), option, str(own / place)]) == 0
    config = resolve(merged(tmp_path / "my.yaml"))
    config["paths"]["shards"] = str(tmp_path / "shards")
    experiment, grid = config["experiments"]["my"], Grid(config)
    assert list(config["experiments"]) == ["my"] and set(experiment["evaluations"]) == evaluations
    assert ("oracle" in experiment["detectors"]) == (place not in ("flat", "wrapped", "flat/list.csv", "bare"))
    for dataset, split in grid.splits_read():
        if dataset == "my":
            shard(config["datasets"]["my"], "my", split, None, tmp_path / "shards" / dataset / split)
    assert read_json(tmp_path / "shards/my/train/manifest.json")["samples"] == trained
    if "transfer" not in evaluations:
        assert refusals(grid) == []
        known = 1 / 3 if "list" not in place else 2 / 48
        assert experiment["detectors"]["glofnd"]["alpha"] == pytest.approx(known, rel=0.02)


@pytest.mark.parametrize(("option", "place"), [("--folder", "splits"), ("--folder", "flat"), ("--tars", "both")])
def test_with_a_gpu(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, place: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert main(["new", str(tmp_path / "My_own.yaml"), option, str(own / place)]) == 0
    assert resolve(merged(tmp_path / "My_own.yaml"))["experiments"]["my-own"]["training"]["threads"] == 4


def test_nothing_is_written_over_or_for_nothing(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my.yaml").write_text("mine")
    assert main(["new", str(tmp_path / "my.yaml"), "--folder", str(own / "flat")]) == 2
    assert main(["new", str(tmp_path / "other.yaml"), "--tars", str(own / "flat")]) == 2
    assert main(["new", str(tmp_path / "other.yaml"), "--folder", str(own / "none")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and "my.yaml" in said[0] and ".tar" in said[1] and "none" in said[2]
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


@pytest.mark.slow
def test_unlabelled_pictures_come_to_a_report(own: Path, tmp_path: Path) -> None:
    """As written, but for one seed, two epochs and fewer detectors and digits."""
    command = [sys.executable, "-m", "workflow", "new", str(tmp_path / "my.yaml"), "--folder", str(own / "flat")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    fewer = {
        "seeds": [1],
        "significance": None,
        "datasets": {"mnist": {"train_samples": 100, "test_samples": 50}},
        "experiments": {
            "my": {
                "training": {"epochs": 2},
                "baselines": [],
                "detectors": {
                    "glofnd": {"start_filter": 1},
                    **dict.fromkeys(["batch-quantile", "location-scale"], False),
                },
            }
        },
    }
    (tmp_path / "fewer.yaml").write_text(yaml.safe_dump(fewer))
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--configfile", "my.yaml", "fewer.yaml"]
    command += ["--", "results/my/report.html"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "1 .svg" in (tmp_path / "results/my/logs/shard/my.train.log").read_text()
    assert read_json(tmp_path / "data/shards-my/my/train/manifest.json")["aside"] == {".svg": 1, ".csv": 1}
    assert "unlabelled" in (tmp_path / "results/my/report.html").read_text()
