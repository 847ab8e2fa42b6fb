"""Malformed configs through the entrances that people use: snakemake and make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")


def _snakemake(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [SNAKEMAKE, "--dry-run", "--snakefile", ROOT / "Snakefile", "--directory", folder, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def _clean(text: str) -> None:
    assert "Traceback" not in text and 'File "' not in text, text


@pytest.mark.slow
def test_a_config_file_with_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "seeds: [1, 2]\npaths: {results: 'out/{run}'}\nexperiments:\n  fashion-mnist:\n    encoder: {widht: 8}\n"
        "    detectors: {glofnd: {alpha: 2026-01-02}}\nseeds: [1, 2]\n",
        encoding="utf-8",
    )
    code, text = _snakemake(tmp_path, "--configfile", str(path))
    assert code == 2
    _clean(text)
    assert "error: 4 problems in the config; nothing was started\n" in text
    assert "  experiments.fashion-mnist.encoder.widht: unknown key; did you mean 'width'?" in text
    assert f"  {path}: line 7, column 1: the key 'seeds' stands there twice, first in line 1\n" in text
    assert "  experiments.fashion-mnist.detectors.glofnd.alpha: 2026-01-02 is a date; put it in quotes\n" in text
    assert not any(tmp_path.glob("*/"))


@pytest.mark.slow
def test_mistakes_on_the_command_line(tmp_path: Path) -> None:
    changes = ["seeds=[1, x]", "sedes=3", "mlflow={'tracking_uri': 'file:///runs'}", "paths={'results': 'out/{run}'}"]
    code, text = _snakemake(tmp_path, "--config", *changes)
    assert code == 2
    _clean(text)
    assert "error: 4 problems in the config; nothing was started\n" in text
    for line in (
        "  seeds[1]: must be an integer, not 'x'\n",
        "  sedes: unknown key; did you mean 'seeds'?",
        "  mlflow.tracking_uri: 'file' is no kind of store; valid: http, https, postgresql, sqlite, databricks\n",
        "  paths.results: 'out/{run}': braces are wildcards to Snakemake; choose a name without them\n",
    ):
        assert line in text, text


@pytest.mark.slow
def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    """Snakemake reads the file before the Snakefile is asked."""
    path = tmp_path / "mine.yaml"
    path.write_text("seeds: [1, 2\n", encoding="utf-8")
    code, text = _snakemake(tmp_path, "--configfile", str(path))
    assert code != 0 and "Config file is not valid JSON or YAML" in text
    _clean(text)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["demo", "report"])
def test_make_names_a_file_that_cannot_be_read(target: str, tmp_path: Path) -> None:
    binary, empty = tmp_path / "binary.yaml", tmp_path / "empty.yaml"
    binary.write_bytes(b"\x89PNG\xff")
    empty.write_bytes(b"")
    for path, message in (
        (tmp_path, "is a folder; name a file of keys and values"),
        (tmp_path / "no.yaml", "there is no such file"),
        (binary, "byte 0 is no UTF-8; this is no config, or in another encoding"),
        (empty, "is empty; a config holds keys and values"),
    ):
        environment = {**os.environ, "MAKEFLAGS": ""}
        done = subprocess.run(
            ["make", target, f"CONFIG={path}"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 2
        assert f"error: {path}: {message}\n" in done.stderr
        _clean(done.stdout + done.stderr)
