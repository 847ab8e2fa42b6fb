"""The real benchmark with names that a shell would run: every rule's command works, and none of it is executed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from glofnd.data.manifest import read_manifest

ROOT = Path(__file__).resolve().parents[2]
RAW = "raw; touch RAN-raw #"
SHARDS = "-- $(touch RAN-shards) & data's"
RESULTS = "r\"esults `touch RAN-results` 'q' -x"
PICTURES = "my $(touch RAN-pictures) 'pictures'; \\ *"
CLASSES = ["$(touch RAN-class)", '<img src=x onerror="RAN()">', "-rf", "it's; {class}\nnew"]
PREFIX = "team; $(touch RAN-prefix) <b>x</b>"


def pictures(folder: Path) -> None:
    generator = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        for split, count in (("train", 16), ("val", 8)):
            place = folder / split / name
            place.mkdir(parents=True)
            for sample in range(count):
                noisy = np.clip(generator.normal(60 * number + 30, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(place / f"-o `touch RAN-file`; {{x}} '{sample}'.png")


def config() -> dict[str, Any]:
    default = yaml.safe_load((ROOT / "configs/smoke.yaml").read_text(encoding="utf-8"))
    experiment = default["experiments"]["glyphs"]
    experiment |= {
        "dataset": "mine",
        "training": {"epochs": 2, "batch_size": 16, "inspect_every": 1},
        "detectors": {
            "none": False,
            "batch-quantile": False,
            "location-scale": False,
            "oracle": False,
            "glofnd": {"alpha": 0.1, "start_update": 1, "start_filter": 1},
        },
        "evaluations": {
            "linear": [{"dataset": "mine", "fractions": [1], "draws": [1]}],
            "transfer": [{"dataset": "digits"}],
            "fine-tuning": [{"dataset": "mine", "fractions": [1], "epochs": [1]}],
            "discovery": [{}],
        },
        "baselines": [],
    }
    block = {"dataset": "folder", "path": PICTURES, "image_size": 16, "shards": 1}
    datasets = {"glyphs": False, "glyph-captions": False, "mnist": False, "mine": block}
    return {
        "paths": {"raw": RAW, "shards": SHARDS, "results": RESULTS},
        "seeds": [1],
        "datasets": {"digits": {"image_size": 16, "shards": 1}, **datasets},
        "experiments": {"glyph-captions": False, "glyphs": experiment},
        "significance": None,
        "mlflow": {"prefix": PREFIX},
    }


@pytest.mark.slow
def test_names_are_names(tmp_path: Path) -> None:
    pictures(tmp_path / PICTURES)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config()), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--configfile", "config.yaml"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("RAN")]
    assert {path.name for path in tmp_path.iterdir()} == {RAW, SHARDS, RESULTS, PICTURES, "config.yaml", ".snakemake"}

    manifest = read_manifest(tmp_path / SHARDS / "mine/train")
    assert sorted(manifest.classes["label"]) == sorted(CLASSES) and manifest.samples == 64
    page = (tmp_path / RESULTS / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and "&lt;img src=x" in page
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/{RESULTS}/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name(f"{PREFIX}glyphs").experiment_id])
    # One method, its one seed, and the report: a run for each.
    (run,) = (run for run in found if "mlflow.parentRunId" in run.data.tags)
    assert len(found) == 3
    assert run.info.status == "FINISHED" and any(name.startswith("linear/") for name in run.data.metrics)
    assert client.list_artifacts(run.info.run_id, "results")
    shutil.rmtree(tmp_path / RESULTS)
