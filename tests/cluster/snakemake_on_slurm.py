"""A call of Snakemake with the SLURM profile, in a folder of its own, that tests can watch and disturb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from slurm_cluster import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
# Looking often is for jobs of seconds; a cluster's users are told not to.
QUICK = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10")


class Call:
    """Snakemake at work."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return (self.folder / "output").read_text(encoding="utf-8")

    def finish(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)

    def wait_for(self, path: str) -> Path:
        """The file that fits this pattern below the folder, once it is there."""

        def there() -> bool:
            assert self.process.poll() is None, f"ended without {path}:\n{self.output[-6000:]}"
            return any(self.folder.glob(path))

        wait_until(there, path)
        return next(self.folder.glob(path))


@contextmanager
def calling(folder: Path, config: dict[str, Any], *arguments: str, **environment: str) -> Iterator[Call]:
    """Start the repository's own DAG, the smoke preset with `config` laid over it; it is killed in the end."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--workflow-profile", str(ROOT / "profiles/slurm"), *QUICK]
    command += ["--configfile", str(ROOT / "configs/smoke.yaml"), str(folder / "config.yaml"), "--"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            env={**os.environ, "PATH": path, "XDG_CACHE_HOME": str(folder / "cache"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Call(folder, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
