"""containers/build against stand-ins for the tools, and the two recipes against each other."""

from __future__ import annotations

import os
import re
import shutil
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
        (tools / name).chmod(0o755)


def build(tools: Path, *arguments: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The finished script, and the arguments and name of the tool that it called."""
    call = tools.parent / "call"
    done = subprocess.run(
        [ROOT / "containers" / "build", *arguments],
        env={"HOME": os.environ["HOME"], "PATH": str(tools), "CALL": str(call), **variables},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return done, call.read_text().splitlines() if call.exists() else []


def test_takes_the_first_tool_that_works_or_says_why_none_does(tools: Path) -> None:
    add(tools, "docker")
    done, call = build(tools, NO_DAEMON="1")
    assert (done.returncode, call) == (2, []) and "daemon does not answer" in done.stderr
    add(tools, "podman", "apptainer")
    assert build(tools)[1][-1] == "docker"
    assert build(tools, NO_DAEMON="1")[1][-1] == "podman"


def test_apptainer_writes_the_image_the_config_names(tools: Path) -> None:
    add(tools, "apptainer")
    *_, image, definition, _ = build(tools)[1]
    assert definition == "containers/glofnd.def"
    assert image == yaml.safe_load((ROOT / "config.yaml").read_text())["container"]


def test_both_recipes_take_the_same_base_files_and_steps() -> None:
    """Apptainer is not there where these tests run, so its recipe is held against the one that is built."""
    step = r"containers/install (system|lock)$"
    assert (
        re.findall(step, DOCKERFILE, re.MULTILINE) == re.findall(step, DEFINITION, re.MULTILINE) == ["system", "lock"]
    )
    base = r"^(?:ARG| +) ?BASE_IMAGE=(\S+)$"
    assert re.findall(base, DOCKERFILE, re.MULTILINE)[0] == re.findall(base, DEFINITION, re.MULTILINE)[0]
    copied = {line.split()[0].rstrip("/") for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)}
    section = DEFINITION.partition("%files")[2].partition("%post")[0]
    assert copied == {line.split()[0] for line in section.strip().splitlines()}
    assert {f"!{name}" for name in copied} == set((ROOT / ".dockerignore").read_text().split("\n*\n")[1].split())
