"""A benchmark whose trainings are lost in ways of their own; `failing_jobs.py` stands in for their commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

RUNS = "out/runs/fashion-mnist/sogclr"


def config(*detectors: str) -> dict[str, Any]:
    """One training per detector, which does what its label says; one minute and 600 MB for the first attempt."""
    smoke = {"none": False, "glofnd": False}
    return {
        "paths": {"raw": "raw", "shards": "shards", "results": "out"},
        "seeds": [1],
        "significance": None,
        "resources": {"pretrain": {"mem_mb": 600, "runtime": 1, "gpu": 1, "partition": "left"}},
        "experiments": {
            "emoji": False,
            "fashion-mnist": {"detectors": {**smoke, **{label: {"method": "none"} for label in detectors}}},
        },
    }


def targets(*detectors: str) -> list[str]:
    """The trainings alone."""
    return [f"{RUNS}/{label}/seed1/checkpoint.pt" for label in detectors]


def prepared(folder: Path) -> dict[str, str]:
    """Environment with `failing_jobs.py` for Python in the rules' commands; the data is there already."""
    for name in ("raw/fashion-mnist/source.json", "shards/fashion-mnist/train/manifest.json"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("{}")
    (folder / "bin").mkdir()
    stub = folder / "bin" / "python"
    stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("failing_jobs.py")}" "$@"\n')
    stub.chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "STUB_CALLS": str(folder / "calls")}
