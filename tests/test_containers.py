"""containers/build against stand-ins for the tools, and the two recipes against each other."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "containers" / "Dockerfile").read_text()
DEFINITION = (ROOT / "containers" / "glofnd.def").read_text()
STAND_IN = """#!/bin/sh
case "$1" in
    --version) echo "$(basename "$0") stand-in" ;;
    info) [ -z "${NO_DAEMON-}" ] ;;
    *) for argument; do printf '%s\\n' "$argument"; done >"$CALL"; basename "$0" >>"$CALL" ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with what the script needs and no container tool."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in ("bash", "sh", "env", "dirname", "basename", "sed", "git"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def add(tools: Path, *names: str) -> None:
    for name in names:
        (tools / name).write_text(STAND_IN)
        (tools / name).chmod(stat.S_IRWXU)


def build(tools: Path, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    call = tools.parent / "call"
    done = subprocess.run(
        [ROOT / "containers" / "build", *arguments],
        env={"HOME": os.environ["HOME"], "PATH": str(tools), "CALL": str(call), **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return done, call.read_text().splitlines() if call.exists() else []


def test_says_why_no_tool_works(tools: Path) -> None:
    add(tools, "docker")
    done, call = build(tools, NO_DAEMON="1")
    assert (done.returncode, call) == (2, [])
    assert done.stderr.startswith("error: no container tool works here")
    assert "docker: its daemon does not answer" in done.stderr
    assert "podman: not installed" in done.stderr
    assert "apptainer: not installed" in done.stderr


def test_takes_the_first_tool_that_works(tools: Path) -> None:
    add(tools, "docker", "podman", "apptainer")
    assert build(tools)[1][-1] == "docker"
    assert build(tools, NO_DAEMON="1")[1][-1] == "podman"
    assert build(tools, "apptainer")[1][-1] == "apptainer"


def test_refuses_a_tool_it_does_not_know(tools: Path) -> None:
    done, call = build(tools, "buildah")
    assert (done.returncode, call) == (2, [])
    assert "buildah is no container tool" in done.stderr


def test_names_version_commit_and_base(tools: Path) -> None:
    add(tools, "podman")
    done, call = build(tools, "--", "--no-cache", BASE_IMAGE="localhost/base image")
    assert done.returncode == 0, done.stderr
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert call[call.index("--tag") + 1] == f"glofnd:{version[1]}"
    assert f"VERSION={version[1]}" in call
    assert any(re.fullmatch(f"COMMIT={head.stdout.strip()}(-dirty)?", argument) for argument in call)
    assert "BASE_IMAGE=localhost/base image" in call
    assert "--no-cache" in call


def test_apptainer_writes_the_image_the_config_names(tools: Path) -> None:
    add(tools, "apptainer")
    *_, image, definition, _ = build(tools)[1]
    assert definition == "containers/glofnd.def"
    assert image == yaml.safe_load((ROOT / "config.yaml").read_text())["container"]


def test_both_recipes_take_the_same_steps_in_the_same_order() -> None:
    pattern = r"containers/install (system|lock|project)$"
    steps = re.findall(pattern, DOCKERFILE, re.MULTILINE)
    assert steps == re.findall(pattern, DEFINITION, re.MULTILINE) == ["system", "lock", "project"]


def test_both_recipes_start_from_the_same_image() -> None:
    docker = re.search(r"^ARG BASE_IMAGE=(.+)$", DOCKERFILE, re.MULTILINE)
    apptainer = re.search(r"^ +BASE_IMAGE=(.+)$", DEFINITION, re.MULTILINE)
    assert docker and apptainer
    assert docker[1] == apptainer[1]


def test_both_recipes_copy_the_same_files_and_all_of_them_exist() -> None:
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    section = DEFINITION.partition("%files")[2].partition("%post")[0]
    assert copied == {line.split()[0] for line in section.strip().splitlines()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {name for name in copied if f"!{name}" not in ignored} == set()
    assert {name for name in copied if not (ROOT / name).exists()} == set()


def test_both_recipes_say_where_the_image_comes_from() -> None:
    label = r"org\.opencontainers\.image\.(version|revision|licenses|base\.name)"
    assert set(re.findall(label, DOCKERFILE)) == set(re.findall(label, DEFINITION))
    for variable in ("GLOFND_COMMIT", "GLOFND_CONTAINER"):
        assert f"{variable}=" in DOCKERFILE
        assert f"{variable}=" in DEFINITION


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)[-1] == "glofnd"
