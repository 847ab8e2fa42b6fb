"""Where a result comes from: code, packages, device, time and memory. Stands in every result."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["Stopwatch", "config_hash", "provenance"]

_PACKAGES = ("torch", "torchvision", "open_clip_torch", "timm", "webdataset", "numpy", "scipy", "snakemake", "mlflow")


def config_hash(config: object) -> str:
    """Hex SHA-256 (first 16 digits) of a config's canonical JSON, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class Stopwatch:
    """Wall time since it was made, in seconds."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start


def provenance(config: object, inputs: dict[str, str], watch: Stopwatch, device: str = "cpu") -> dict[str, Any]:
    """Provenance of one result.

    Args:
        config: the config that produced it; only its hash is stored.
        inputs: name -> SHA-256 of every input file that matters (manifests, checkpoints).
        watch: started when the work began.
        device: torch device name the work ran on.
    """
    status = _git("status", "--porcelain", "--untracked-files=no")
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "config_hash": config_hash(config),
        "inputs": inputs,
        "git_commit": _git("rev-parse", "HEAD") or os.environ.get("GLOFND_COMMIT"),
        "git_dirty": None if status is None else bool(status),
        "container": os.environ.get("GLOFND_CONTAINER"),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _installed(name))},
        "platform": f"{sys.platform} {platform.machine()}",
        "device": device,
        "wall_seconds": round(watch.seconds(), 3),
        "peak_memory_mb": round(peak / 1024, 1),
    }
