"""The DAG inside the project's own image, which `make test-container` builds first and then names here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from glofnd.files import read_json
from tests.small_benchmark import RUNS, small_benchmark

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGE = os.environ.get("GLOFND_TEST_IMAGE", "")
REFUSED = "python of the host, outside of the image"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGE, reason="`make test-container` builds the image that these tests run"),
]


def run(*command: str | Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)


def snakemake(folder: Path, *arguments: str, tools: Path) -> subprocess.CompletedProcess[str]:
    """Run the small benchmark in `folder`, with the commands in `tools` first on PATH."""
    config = {"container": str(HERE / "apptainer"), **small_benchmark(epochs=3, filter_from=1)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--workflow-profile", str(ROOT / "profiles/default")]
    command += ["--configfile", str(ROOT / "configs/smoke.yaml"), str(folder / "config.yaml"), "--cores", "2"]
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "APPTAINER_BIND": f"{ROOT}:{ROOT}:ro"}
    return run(*command, *arguments, cwd=folder, env=environment)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apptainer, where there is none, and a `python` of the host that refuses to run a rule."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "python").write_text(f"#!/bin/sh\necho '{REFUSED}' >&2\nexit 97\n")
    (folder / "python").chmod(0o755)
    if not (shutil.which("apptainer") or shutil.which("singularity")):
        (folder / "apptainer").symlink_to(HERE / "apptainer")
    return folder


@pytest.fixture(scope="module")
def inside(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of the whole DAG in which no rule can use the Python of the host."""
    folder = tmp_path_factory.mktemp("inside")
    done = snakemake(folder, "--use-singularity", tools=tools)
    assert done.returncode == 0 and REFUSED not in done.stdout, done.stdout[-8000:]
    return folder


def metrics(folder: Path) -> dict[str, dict[str, Any]]:
    return {str(path.relative_to(folder)): read_json(path) for path in folder.glob("out/runs/**/metrics.json")}


def podman_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    limits = ["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096"]
    return run("podman", "run", "--rm", "--runtime", "runc", "--network", "none", *limits, *arguments)


def inspected(template: str) -> Any:
    done = run("podman", "image", "inspect", "--format", f"{{{{json {template}}}}}", IMAGE, check=True)
    return json.loads(done.stdout)


def test_results_name_the_image(inside: Path) -> None:
    (name,) = (line.partition("=")[2] for line in inspected(".Config.Env") if line.startswith("GLOFND_CONTAINER="))
    assert {found["provenance"]["container"] for found in metrics(inside).values()} == {name}
    assert (inside / "out/report.html").exists()


def test_no_rule_runs_outside_of_it(inside: Path, tools: Path) -> None:
    """The refusal is one: without the image the same rule fails by it."""
    again = ("--forcerun", "report", "--until", "report", "--rerun-triggers", "mtime")
    done = snakemake(inside, *again, tools=tools)
    assert done.returncode != 0 and REFUSED in done.stdout


def test_the_same_weights_and_metrics_inside_and_outside(inside: Path, tmp_path: Path) -> None:
    shutil.copytree(inside / "shards", tmp_path / "shards")
    shutil.copytree(inside / "raw", tmp_path / "raw")
    target = f"{RUNS}/glofnd/seed1/evaluations.json"
    done = snakemake(tmp_path, target, tools=Path(sys.executable).parent)
    assert done.returncode == 0, done.stdout[-8000:]
    checkpoint = f"{RUNS}/glofnd/seed1/checkpoint.pt"
    here, there = (torch.load(folder / checkpoint, weights_only=True)["model"] for folder in (tmp_path, inside))
    assert here.keys() == there.keys()
    assert [key for key in here if not torch.equal(here[key], there[key])] == []
    found = metrics(tmp_path)
    assert {Path(name).parent.name for name in found} >= {"linear", "discovery"}
    for name, result in found.items():
        assert result["metrics"] == metrics(inside)[name]["metrics"], name


def test_the_image_says_where_it_comes_from_and_keeps_nothing_of_the_build_machine() -> None:
    labels = inspected(".Config.Labels")
    head = run("git", "rev-parse", "HEAD", cwd=ROOT, check=True).stdout.strip()
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == head
    assert inspected(".Config.User") == "glofnd"
    places = "/root/.cache /home/glofnd/.cache /tmp /var/tmp /var/lib/apt/lists /var/cache/apt/archives /run"
    settings = "/etc/pip.conf /etc/apt/apt.conf.d/host"
    find = f"find {places} {settings} -type f -size +0 ! -name lock ! -path '/run/.containerenv' 2>/dev/null; true"
    found = podman_run("--user", "0", IMAGE, "sh", "-c", find)
    assert (found.returncode, found.stdout) == (0, "")


def test_the_definitions_own_test_passes_in_the_image() -> None:
    """glofnd.def takes the Dockerfile's steps, so what it sets and tests has to hold in an image of these."""
    sections = re.split(r"^%(\w+)\n", (ROOT / "containers/glofnd.def").read_text(), flags=re.MULTILINE)
    definition = dict(zip(sections[1::2], sections[2::2], strict=True))
    program = f"{definition['environment']}\n{definition['test']}\ncommand -v python\n"
    done = podman_run(IMAGE, "sh", "-ec", program)
    assert done.stdout.split() == [torch.__version__, "/usr/local/glofnd/bin/python"]


def test_any_user_can_run_snakemake_in_the_image(tmp_path: Path) -> None:
    """As `docker run --user` does: an id that the image does not know, and a checkout that belongs to it."""
    for name in ("Snakefile", "config.yaml", "glofnd", "evaluation", "workflow", "profiles"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 12345, 12345)
    target = "data/raw/digits/source.json"
    volume = f"{tmp_path}:/workspace"
    done = podman_run("--user", "12345:12345", "--volume", volume, IMAGE, "snakemake", "--cores", "1", target)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / target).stat().st_uid == 12345
