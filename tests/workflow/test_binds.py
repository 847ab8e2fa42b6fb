"""What a container does not see of the host is said before a job fails by it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.settings.types import DeploymentMethod

from workflow.binds import unseen, warn_of_unseen

HERE = Path("/project")
FOLDERS = {"raw": "/data/raw", "shards": "data/shards", "results": "/scratch/me/results", "scratch": "/tmp/cache"}


def test_the_working_directory_and_tmp_are_seen() -> None:
    assert set(unseen(FOLDERS, HERE, "", {})) == {"raw", "results"}
    assert unseen({"results": "../results"}, HERE, "", {}) == {"results": Path("/results")}


@pytest.mark.parametrize(
    "arguments",
    [
        "--nv --bind /data,/scratch/me",
        "--bind=/data:/data:ro -B /scratch",
        "--bind '/disk 1:/data' --bind /scratch:/scratch",
    ],
)
def test_what_is_bound_is_seen_under_its_name_in_the_container(arguments: str) -> None:
    assert unseen(FOLDERS, HERE, arguments, {}) == {}


def test_a_folder_bound_under_another_name_is_not_seen() -> None:
    assert set(unseen(FOLDERS, HERE, "--bind /data:/mnt,/scratch", {})) == {"raw"}


def test_apptainers_own_variables_count() -> None:
    assert unseen(FOLDERS, HERE, "", {"APPTAINER_BIND": "/data", "SINGULARITY_BINDPATH": "/scratch"}) == {}


def workflow(methods: set[DeploymentMethod], arguments: str) -> SimpleNamespace:
    settings = SimpleNamespace(deployment_method=methods, apptainer_args=arguments)
    return SimpleNamespace(basedir="/elsewhere", deployment_settings=settings)


def test_says_what_to_bind(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPTAINER_BIND", raising=False)
    contained = {DeploymentMethod.APPTAINER}
    warn_of_unseen(workflow(contained, "--nv"), {"raw": "/data/raw", "results": "results"})
    said = capsys.readouterr().err
    assert "this repository: /elsewhere" in said and "paths.raw: /data/raw" in said and "paths.results" not in said
    assert said.endswith("export APPTAINER_BIND=/data/raw,/elsewhere\n")
    warn_of_unseen(workflow(contained, "--bind /data,/elsewhere"), {"raw": "/data/raw"})
    warn_of_unseen(workflow(set(), ""), {"raw": "/data/raw"})
    assert capsys.readouterr().err == ""
