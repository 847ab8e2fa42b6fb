"""What a benchmark needs of the machine that it is started on: folders that can be written, GPUs that are there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from snakemake.settings.types import ExecMode

from glofnd.failures import BAD_INPUT

__all__ = ["ready_or_exit", "unwritable", "without_gpu", "working_folder_or_exit"]

Config = dict[str, Any]

# With less than this, the first job would fail.
_LEAST_BYTES = 2**18

# What a driver leaves there for each GPU: NVIDIA's, AMD's, and that of Windows' Linux.
_GPU_DEVICES = ("dev/nvidia[0-9]*", "dev/kfd", "dev/dxg")


def _unwritable(folder: str) -> str | None:
    """Why nothing can be written below a folder that may not be there yet."""
    place = Path(folder).absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        return f"{place} is no folder"
    disk = os.statvfs(place)
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place}: {'read-only file system' if disk.f_flag & os.ST_RDONLY else 'permission denied'}"
    # Some network file systems do not tell their size.
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < _LEAST_BYTES:
        return f"{place}: no space left on device"
    return None


def unwritable(paths: Mapping[str, str], outputs: Iterable[str]) -> Iterator[str]:
    """One line for each folder that jobs would write to and cannot.

    Data that is all there already may lie where nobody can write: many share one copy.

    Args:
        paths: the config's, by their keys.
        outputs: files that the jobs to be run will make.
    """
    made = [PurePath(output) for output in outputs]
    for key, folder in paths.items():
        if any(output.is_relative_to(folder) for output in made) and (why := _unwritable(folder)):
            yield f"paths.{key}: nothing can be written to {folder!r} ({why}); make that possible or name another"


def without_gpu(config: Config, root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """One line for each experiment that asks for a GPU where none can be seen.

    Args:
        config: resolved config.
        root: of the file system with the devices.
        environment: where a scheduler says which of them may be used.
    """
    hidden = environment.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    if not hidden and any(path for pattern in _GPU_DEVICES for path in root.glob(pattern)):
        return
    for name, experiment in config["experiments"].items():
        if experiment["training"]["device"] == "cuda":
            yield (
                f"experiments.{name}.training.device: cuda asked for, but this machine shows no GPU; take auto or cpu, "
                "or run on a cluster (docs/cluster.md)"
            )


def working_folder_or_exit() -> None:
    """End with one line where Snakemake could not keep its own records (it would end with a traceback)."""
    if why := _unwritable(".snakemake"):
        print(f"error: nothing was started: nothing can be written to the working folder ({why})", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def ready_or_exit(workflow: Any, config: Config) -> None:
    """Say what the jobs to be run lack here and end, before the first one.

    A login node needs no GPU, and what a job step finds on its own node its command says.

    Args:
        workflow: Snakemake's.
        config: resolved config.
    """
    if workflow.exec_mode != ExecMode.DEFAULT:
        return
    jobs = list(workflow.dag.needrun_jobs())
    found = list(unwritable(config["paths"], (output for job in jobs for output in job.output)))
    if workflow.local_exec and any(job.rule.name in ("trunk", "pretrain") for job in jobs):
        found += without_gpu(config)
    if found:
        print("\n".join(["error: nothing was started", *(f"  {line}" for line in found)]), file=sys.stderr)
        raise SystemExit(BAD_INPUT)
