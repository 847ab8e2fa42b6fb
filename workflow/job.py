"""One job of a benchmark: what a rule of the DAG runs, and what a person can run by hand.

    python -m workflow.job --benchmark results/benchmark.json pretrain --run fashion-mnist/sogclr/none/seed1
    torchrun --standalone --nproc-per-node 2 -m -- workflow.job --benchmark ... pretrain --run ...

`benchmark.json` is the resolved config that Snakemake writes before its first job. Errors are one line on stderr. Exit
codes: 0 done; 2 bad input; 75 stopped on request (EX_TEMPFAIL), the same command goes on.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glofnd.failures import report
from glofnd.files import making_sense, read_json, write_json

__all__ = ["main"]

STOPPED = 75


def _fetch(grid: Any, given: Namespace) -> None:
    from glofnd.data import fetch

    fetch(given.source, Path(grid.config["paths"]["raw"]) / given.source)


def _shard(grid: Any, given: Namespace) -> None:
    from glofnd.data import shard

    source = grid.source(given.dataset)
    raw = Path(source[0]).parent if source else None
    out = Path(grid.shards(given.dataset, given.split))
    shard(grid.config["datasets"][given.dataset], given.dataset, given.split, raw, out, given.threads)


def _check(grid: Any, given: Namespace) -> None:
    from workflow.data_checks import refusals

    if found := refusals(grid):
        raise ValueError(
            "\n  ".join([f"{len(found)} problem{'s' * (len(found) > 1)} in the data; nothing was trained", *found])
        )
    write_json(
        Path(grid.results) / "data-checked.json", [f"{dataset}/{split}" for dataset, split in grid.splits_read()]
    )


def _pretrain(grid: Any, given: Namespace) -> None:
    from glofnd.pretraining import pretrain

    run = grid.run(given.run)
    start = grid.trunk_checkpoint(grid.start_of_run(run))
    shards = Path(grid.training_shards(run.id))
    pretrain(grid.run_config(run), shards, Path(grid.run_folder(run)), Path(start[0]) if start else None)


def _trunk(grid: Any, given: Namespace) -> None:
    from glofnd.pretraining import pretrain

    trunk = grid.trunk(given.trunk, given.epoch)
    start = grid.trunk_checkpoint(grid.start_of_trunk(trunk))
    shards, out = Path(grid.training_shards(trunk.id)), Path(grid.trunk_folder(trunk))
    pretrain(grid.trunk_config(trunk), shards, out, Path(start[0]) if start else None, trunk.epoch)


def _evaluate(grid: Any, given: Namespace) -> None:
    from evaluation import evaluate

    run = grid.run(given.run)
    checkpoint = grid.checkpoint(run)
    shards, out = Path(grid.config["paths"]["shards"]), Path(grid.run_folder(run))
    evaluate(
        grid.deciding(grid.run_config(run)),
        grid.all_tasks(run),
        Path(checkpoint[0]) if checkpoint else None,
        shards,
        out,
    )
    write_json(out / "evaluations.json", {"run": run.id, "evaluations": grid.evaluations(run)})
    if run in grid.first_look:
        from workflow.first_look import first_look

        if text := first_look(grid):
            print(text, file=sys.stderr)


def _tables(grid: Any, given: Namespace) -> None:
    from workflow.tables import write_tables

    print("\n".join(write_tables(grid.config, Path(grid.results))))


def _mlflow(grid: Any, given: Namespace) -> None:
    from workflow.tracking import import_runs

    import_runs(grid.config, Path(grid.results) / "mlflow-import.json")


def _report(grid: Any, given: Namespace) -> None:
    from workflow.report import write_report

    write_report(grid.config, Path(grid.results) / "report.html")


COMMANDS: dict[str, tuple[Callable[[Any, Namespace], None], dict[str, type], str]] = {
    "fetch": (_fetch, {"source": str}, "fetch a source"),
    "shard": (_shard, {"dataset": str, "split": str}, "write one split as webdataset tars with a manifest"),
    "check": (_check, {}, "hold splits against each other and against the config, before anything is trained"),
    "trunk": (_trunk, {"trunk": str, "epoch": int}, "train what several runs share, up to an epoch"),
    "pretrain": (_pretrain, {"run": str}, "train one run"),
    "evaluate": (_evaluate, {"run": str}, "evaluate one run"),
    "tables": (_tables, {}, "collect all metrics, and compare detectors seed by seed"),
    "mlflow": (_mlflow, {}, "import finished runs into MLflow"),
    "report": (_report, {}, "write report.html"),
}


def _arguments() -> Namespace:
    parser = argparse.ArgumentParser(prog="python -m workflow.job", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json of the results folder")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, options, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        for option, kind in options.items():
            command.add_argument(f"--{option}", required=True, type=kind)
    return parser.parse_args()


def _grid(given: Namespace) -> Any:
    from workflow.grid import Grid

    grid = Grid(read_json(given.benchmark))
    with making_sense(given.benchmark, "it must be the resolved config that snakemake writes"):
        runs = [run.id for run in grid.all_runs]
    if "run" in given and given.run not in runs:
        near = ", ".join(difflib.get_close_matches(given.run, runs, 3) or runs[:3])
        raise ValueError(f"--run {given.run}: {given.benchmark} has no such run; it has {near}, ...")
    return grid


def main() -> int:
    """Run one command; returns its exit code."""
    given = _arguments()
    # Read by the BLAS behind numpy and torch when they are first imported, which is below.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(given.threads)
    try:
        COMMANDS[given.command][0](_grid(given), given)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return STOPPED
    except Exception as error:
        # By name, since it comes with torch, which fetching and tables do not need.
        if type(error).__name__ == "Preempted":
            if os.environ.get("RANK", "0") == "0":
                print(error, file=sys.stderr, flush=True)
            return STOPPED
        return report(error, more_memory="raise mem_mb of its rule")
    return 0


if __name__ == "__main__":
    sys.exit(main())
