"""The DAG inside the project's own image, which `make test-container` builds first and then names here."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGE = os.environ.get("GLOFND_TEST_IMAGE", "")
SANDBOX = Path(os.environ.get("GLOFND_TEST_SANDBOX", ""))
SIF = Path(os.environ.get("GLOFND_TEST_SIF", ""))
RULES = {"fetch", "shard", "trunk", "pretrain", "features", "evaluate", "discovery"}
RULES |= {"resolve", "aggregate", "significance", "report", "mlflow"}
# One cheap rule once more; another image alone would make Snakemake run them all again.
AGAIN = ("--forcerun", "aggregate", "--until", "aggregate", "--rerun-triggers", "mtime")
REFUSED = "python of the host, outside of the image"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IMAGE, reason="`make test-container` builds the image that these tests run"),
]


class Folder:
    """A working directory outside the repository, where `python` of the host refuses to run a rule."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tools = path / "tools"
        self.tools.mkdir(parents=True)
        (self.tools / "python").write_text(f"#!/bin/sh\necho '{REFUSED}' >&2\nexit 97\n")
        (self.tools / "python").chmod(stat.S_IRWXU)
        if not (shutil.which("apptainer") or shutil.which("singularity")):
            (self.tools / "apptainer").symlink_to(HERE / "apptainer")
        # What was fetched before is checked against its sums and kept; the rule itself has to run all the same.
        for source in ("fashion-mnist", "emoji"):
            if (fetched := ROOT / "data/raw" / source).is_dir():
                shutil.copytree(fetched, path / "data/raw" / source, ignore=shutil.ignore_patterns("source.json"))

    def snakemake(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the smallest benchmark, or what `arguments` name of it, with `variables` in the environment."""
        command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.path), "--workflow-profile", str(ROOT / "profiles/default")]
        command += ["--configfile", str(ROOT / "configs/smoke.yaml"), str(HERE / "smallest.yaml"), "--cores", "2"]
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [*command, *arguments],
            cwd=self.path,
            env={**os.environ, "PATH": path, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
        )

    def contained(self, container: Path | str, *arguments: str, bind: str = "") -> str:
        """Run it in an image, with `bind`, the repository, where code of the workflow comes from, and certificates."""
        binds = ",".join(filter(None, [f"{ROOT}:{ROOT}:ro", bind, os.environ.get("SSL_CERT_FILE")]))
        done = self.snakemake(
            "--use-singularity", *arguments, "--config", f"container={container}", APPTAINER_BIND=binds
        )
        assert done.returncode == 0, done.stdout[-8000:]
        assert REFUSED not in done.stdout
        return done.stdout

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Every metrics.json, by its path below the results."""
        results = self.path / "results/smoke"
        return {str(p.relative_to(results)): json.loads(p.read_text()) for p in sorted(results.rglob("metrics.json"))}


@dataclass(frozen=True)
class Run:
    """A finished run of the whole DAG."""

    folder: Folder
    output: str


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = Folder(tmp_path_factory.mktemp("inside"))
    return Run(folder, folder.contained(SANDBOX))


def of_image(template: str) -> Any:
    command = ["podman", "image", "inspect", "--format", f"{{{{json {template}}}}}", IMAGE]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_every_rule_ran_in_the_image(inside: Run) -> None:
    """Outside there is no python to run them, so a job that is done was done in the image."""
    done = Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", inside.output, re.MULTILINE))
    assert set(done) - {"all"} == RULES
    assert inside.output.count(f"Activating singularity image {SANDBOX}") == done.total() - done["all"]


def test_no_rule_runs_outside_of_it(inside: Run) -> None:
    """The refusal above is one: without the image the same rule fails by it."""
    done = inside.folder.snakemake(*AGAIN)
    assert done.returncode != 0 and REFUSED in done.stdout


def test_results_name_the_image(inside: Run) -> None:
    name = next(line.partition("=")[2] for line in of_image(".Config.Env") if line.startswith("GLOFND_CONTAINER="))
    found = {path: metrics["provenance"]["container"] for path, metrics in inside.folder.metrics().items()}
    assert found and set(found.values()) == {name}
    python = {metrics["provenance"]["python"] for metrics in inside.folder.metrics().values()}
    assert len(python) == 1


@pytest.fixture(scope="module")
def outside(inside: Run, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The same runs from the same shards, by the Python that runs these tests."""
    folder = Folder(tmp_path_factory.mktemp("outside"))
    shutil.copytree(inside.folder.path / "data", folder.path / "data", dirs_exist_ok=True)
    runs = "results/smoke/runs"
    targets = [f"{runs}/fashion-mnist/sogclr/glofnd/seed1/{name}/metrics.json" for name in ("linear", "discovery")]
    targets.append(f"{runs}/emoji/fastclip-v1/glofnd/seed1/zero-shot/metrics.json")
    done = folder.snakemake(*targets, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stdout[-8000:]
    return folder


def test_the_same_weights_inside_and_outside(inside: Run, outside: Folder) -> None:
    checkpoints = [path.relative_to(outside.path) for path in outside.path.rglob("checkpoint.pt")]
    assert len(checkpoints) == 3
    for name in checkpoints:
        here, there = (
            torch.load(folder.path / name, weights_only=True)["model"] for folder in (outside, inside.folder)
        )
        assert here.keys() == there.keys()
        assert [key for key in here if not torch.equal(here[key], there[key])] == [], name


def test_the_same_metrics_inside_and_outside(inside: Run, outside: Folder) -> None:
    here, there = outside.metrics(), inside.folder.metrics()
    assert {path.split("/")[-2] for path in here} >= {"linear", "discovery", "zero-shot"}
    for path, metrics in here.items():
        assert metrics["provenance"]["container"] is None
        assert metrics["metrics"] == there[path]["metrics"], path


def test_a_sif_file_works_too(inside: Run) -> None:
    """Its Python environment is bound into it, so this also shows that binds reach a rule."""
    environment = "usr/local/glofnd"
    output = inside.folder.contained(SIF, *AGAIN, bind=f"{SANDBOX / environment}:/{environment}:ro")
    assert f"Activating singularity image {SIF}" in output


def test_an_image_of_a_registry_is_pulled_once(inside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (inside.folder.tools / "apptainer").exists():
        pytest.skip("the registry is one of the stand-in alone")
    registry = inside.folder.path / "registry"
    registry.mkdir()
    (registry / "glofnd:0.1.0").symlink_to(SANDBOX)
    monkeypatch.setenv("STAND_IN_REGISTRY", str(registry))
    url = "docker://registry.example.org/you/glofnd:0.1.0"
    assert f"Pulling singularity image {url}" in inside.folder.contained(url, *AGAIN)
    (registry / "glofnd:0.1.0").unlink()
    assert "Pulling" not in inside.folder.contained(url, *AGAIN)


def test_the_image_says_where_it_comes_from() -> None:
    labels, variables = of_image(".Config.Labels"), dict(line.split("=", 1) for line in of_image(".Config.Env"))
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version and labels["org.opencontainers.image.version"] == version[1]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert labels["org.opencontainers.image.revision"].removesuffix("-dirty") == head.stdout.strip()
    assert variables["GLOFND_COMMIT"] == labels["org.opencontainers.image.revision"]
    assert of_image(".Config.User") == "glofnd"


def test_the_image_keeps_no_cache_and_nothing_of_the_build_machine() -> None:
    for folder in (
        "root/.cache",
        "tmp",
        "var/tmp",
        "var/lib/apt/lists",
        "var/cache/apt/archives",
        "home/glofnd/.cache",
    ):
        left = [p for p in (SANDBOX / folder).rglob("*") if p.is_file() and p.name != "lock"]
        assert left == [], folder
    for name in ("etc/pip.conf", "etc/apt/apt.conf.d/host", "run/host-certificates.crt"):
        assert not (SANDBOX / name).exists() or (SANDBOX / name).stat().st_size == 0, name


def test_the_definitions_own_test_passes_in_the_image(inside: Run) -> None:
    """glofnd.def takes the Dockerfile's steps, so what it sets and tests has to hold in an image of these."""
    sections = re.split(r"^%(\w+)\n", (ROOT / "containers/glofnd.def").read_text(), flags=re.MULTILINE)
    definition = dict(zip(sections[1::2], sections[2::2], strict=True))
    program = f"{definition['environment']}\n{definition['test']}\ncommand -v python\n"
    command = ["apptainer", "exec", "--home", str(inside.folder.path), str(SANDBOX), "sh", "-ec", program]
    path = f"{inside.folder.tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=inside.folder.path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [torch.__version__, "/usr/local/glofnd/bin/python"]


def test_any_user_can_run_snakemake_in_the_image(tmp_path: Path) -> None:
    """As `docker run --user` does: an id that the image does not know, and a checkout that belongs to it."""
    for name in ("Snakefile", "config.yaml", "glofnd", "evaluation", "workflow", "profiles"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 12345, 12345)
    limits = ["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096"]
    command = ["podman", "run", "--rm", "--runtime", "runc", "--network", "none", *limits, "--user", "12345:12345"]
    command += ["--volume", f"{tmp_path}:/workspace", IMAGE, "snakemake", "--cores", "1", "results/benchmark.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "results/benchmark.json"
    assert json.loads(made.read_text())["experiments"] and made.stat().st_uid == 12345
