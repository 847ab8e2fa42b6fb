"""How long Snakemake takes to lay out a preset's whole grid, and the same grid with seeds for ten thousand jobs.

    python benchmarks/dry_run.py                                               configs/imagenet100.yaml
    python benchmarks/dry_run.py configs/cc3m.yaml --jobs 2000 --json FILE

Everything is planned in a temporary folder from an empty start; folders of the user's own files are empty ones there.
Each grid stands beside a workflow of as many jobs of one rule without inputs, parameters or log: what Snakemake itself
costs on this machine. The number of jobs that Snakemake plans must be the one that `make plan` tells.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from glofnd.files import write_json
from workflow.config import resolve
from workflow.grid import Grid
from workflow.plan import job_counts

__all__ = ["Row", "dry_run", "empty", "grid", "seeds_for"]

ROOT = Path(__file__).resolve().parent.parent
Config = dict[str, Any]
Row = dict[str, Any]

EMPTY = """
rule all:
    input:
        [f"out/{{number}}" for number in range({jobs})],


rule job:
    output:
        "out/{{number}}",
    shell:
        "touch {{output}}"
"""


def dry_run(folder: Path, arguments: Sequence[str]) -> Row:
    """Plan a workflow in a folder, every job listed: `jobs` but for `all`, `wall` and `cpu` seconds, peak `memory_mb`.

    Raises:
        RuntimeError: Snakemake failed, or has nothing to do.
    """
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--quiet", "host", "reason"]
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        start = time.perf_counter()
        process = subprocess.Popen([*command, *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    total = re.search(r"^total +(\d+)$", said, re.MULTILINE)
    if process.returncode or total is None:
        raise RuntimeError(f"snakemake ended with {process.returncode}: {said[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    memory = usage.ru_maxrss * 1024 / 1e6
    return {"jobs": int(total[1]) - 1, "wall": round(wall, 2), "cpu": round(cpu, 2), "memory_mb": round(memory)}


def _preset(path: Path, seeds: Sequence[int] | None) -> tuple[Config, Config]:
    """A preset over config.yaml, and what is laid over both: empty folders for the user's own files, other seeds."""
    merged: Config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    update_config(merged, yaml.safe_load(path.read_text(encoding="utf-8")))
    own = [label for label, block in merged["datasets"].items() if isinstance(block, dict) and "path" in block]
    over: Config = {"paths": {key: key for key in ("raw", "shards", "results")}}
    over["datasets"] = {label: {"path": f"own/{label}"} for label in own}
    if seeds is not None:
        over |= {"seeds": list(seeds), "tuning_seeds": []}
    update_config(merged, over)
    return merged, over


def _planned(merged: Config) -> int:
    return sum(job_counts(Grid(resolve(merged, files=False))).values())


def seeds_for(path: Path, jobs: int) -> list[int]:
    """The fewest seeds with which a preset has at least that many jobs."""
    two, three = (_planned(_preset(path, range(count))[0]) for count in (2, 3))
    each = three - two
    return list(range(max(2, 2 - (two - jobs) // each)))


def grid(path: Path, seeds: Sequence[int] | None = None) -> Row:
    """Plan a preset's grid from an empty start.

    Args:
        path: of the preset.
        seeds: instead of the preset's.

    Raises:
        RuntimeError: Snakemake failed, or plans other jobs than `make plan`.
    """
    merged, over = _preset(path, seeds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for block in over["datasets"].values():
            (folder / block["path"]).mkdir(parents=True)
        (folder / "over.yaml").write_text(yaml.safe_dump(over), encoding="utf-8")
        files = ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", str(ROOT / "profiles/default")]
        row = dry_run(folder, [*files, "--configfile", str(path.resolve()), "over.yaml"])
    if row["jobs"] != (planned := _planned(merged)):
        raise RuntimeError(f"{path}: Snakemake has {row['jobs']} jobs, the plan {planned}")
    return row


def empty(jobs: int) -> Row:
    """Plan that many jobs of one rule that has an output and nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Snakefile").write_text(EMPTY.format(jobs=jobs), encoding="utf-8")
        return dry_run(folder, ["--workflow-profile", "none"])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "preset", nargs="?", type=Path, default=ROOT / "configs/imagenet100.yaml", help="configs/imagenet100.yaml"
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="at least so many in the larger grid (default 10000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings as JSON")
    arguments = parser.parse_args()
    found: list[Row] = []
    print(f"{'':22}{'jobs':>8}{'wall s':>9}{'CPU s':>9}{'MB':>7}{'empty DAG: wall s':>20}{'CPU s':>9}", flush=True)
    for what, seeds in (("as it is", None), ("with more seeds", seeds_for(arguments.preset, arguments.jobs))):
        row = grid(arguments.preset, seeds)
        nothing = empty(row["jobs"])
        found.append({"grid": f"{arguments.preset.stem} {what}", **row, "empty": nothing})
        times = f"{row['wall']:9.1f}{row['cpu']:9.1f}{row['memory_mb']:7}{nothing['wall']:20.1f}{nothing['cpu']:9.1f}"
        print(f"{what:22}{row['jobs']:8,}{times}", flush=True)
    if arguments.json:
        write_json(arguments.json, {"load": os.getloadavg(), "rows": found})


if __name__ == "__main__":
    main()
