"""Collect every evaluation's metrics.json in one tidy table.

    python -m workflow.scripts.aggregate --benchmark results/benchmark.json --out results

`summary.parquet` and `summary.csv` have one row per value of one run, `summary_mean.csv` one per method and value, over
seeds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from glofnd.command_line import Parser
from glofnd.failures import report
from glofnd.files import atomic_open, making_sense, none_from_the_future, read_json, sha256
from glofnd.lifetime import end_with_caller
from glofnd.progress import progress
from workflow.benchmark_file import read_benchmark
from workflow.grid import Grid

__all__ = ["COLUMNS", "KEY", "mean_table", "protocol_conflicts", "read_summary", "rows_of", "summary_table"]

KEY = ["experiment", "objective", "evaluation", "protocol", "dataset", "split", "metric", "fraction"]
"""What two values must share to be averaged or compared."""

COLUMNS = [*KEY, "detector", "kind", "seed", "value", "stderr", "n", "chance", "higher_is_better", "primary"]

_NUMBERS = ("fraction", "value", "stderr", "n", "chance")

_TYPES: dict[str, Any] = {
    "fraction": "float64",
    "value": "float64",
    "stderr": "float64",
    "chance": "float64",
    "n": "Int64",
    "seed": "int64",
    "primary": "bool",
}


def _refuse_stale(path: Path, found: Any) -> None:
    """A clock that was set back lets a result look newer than the features it should have been made again from."""
    features = path.parent.with_name("features") / "manifest.json"
    provenance = found.get("provenance") if isinstance(found, dict) else None
    stated = (provenance or {}).get("inputs", {}).get("features")
    if stated and features.is_file() and sha256(features) != stated:
        raise ValueError(f"{path}: made from other features than those in {features.parent}; delete it and run again")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of one metrics.json.

    Raises:
        ValueError: the file is not what docs/architecture.md says, or is of other features; names it.
    """
    found = read_json(path)
    with making_sense(path):
        _refuse_stale(path, found)
        if found["format"] != 1:
            raise ValueError(f"{path}: format {found['format']}, this program reads 1; delete the file and run again")
        run = found["run"]
        head = {key: run[key] for key in ("experiment", "objective", "detector", "kind", "seed")}
        head |= {"evaluation": found["evaluation"], "protocol": found["protocol"]}
        return [{**dict.fromkeys(COLUMNS), **_values(metric), **head} for metric in found["metrics"]]


def _values(metric: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in metric.items() if key in COLUMNS}
    for key in _NUMBERS:
        if not isinstance(known.get(key), int | float | None):
            raise TypeError(f"{key} is {known[key]!r}")
    return {**known, "value": metric["value"], "primary": bool(metric.get("primary"))}


def read_summary(path: Path) -> pd.DataFrame:
    """The table of all values, as `summary_table` makes it, from summary.parquet.

    Raises:
        ValueError: it is no such table; names the file.
        OSError: it cannot be read.
    """
    try:
        table = pd.read_parquet(path)
    except ValueError as error:
        raise ValueError(
            f"{path}: not a readable parquet file ({error}); delete it and run `snakemake` again"
        ) from error
    if absent := [name for name in COLUMNS if name not in table.columns]:
        raise ValueError(f"{path}: no column {', '.join(absent)}; delete it and run `snakemake` again")
    return table


def summary_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """All rows, typed and in a stable order.

    Raises:
        ValueError: one value stands there twice.
    """
    table = pd.DataFrame(rows, columns=COLUMNS).astype(_TYPES)
    same = [*KEY, "detector", "seed"]
    twice = table[table.duplicated(same)]
    if len(twice):
        row = twice.iloc[0]
        run = f"{row['experiment']}/{row['objective']}/{row['detector']}/seed{row['seed']}"
        raise ValueError(
            f"{run}: two values of {row['metric']} for {row['evaluation']} on {row['dataset']}/{row['split']}; "
            "two tasks of this evaluation differ in nothing that names a result"
        )
    return table.sort_values(same, kind="stable", ignore_index=True)


def protocol_conflicts(table: pd.DataFrame) -> list[str]:
    """One line for every evaluation of an experiment whose results were made under different protocols.

    Probe recipes move scores by points, so such results must never meet in one average or comparison.
    """
    lines = []
    for (experiment, evaluation), group in table.groupby(["experiment", "evaluation"]):
        protocols = sorted(group["protocol"].unique())
        if len(protocols) > 1:
            runs = {p: group[group["protocol"] == p].iloc[0] for p in protocols}
            where = "; ".join(f"{p}: e.g. {r['objective']}/{r['detector']}/seed{r['seed']}" for p, r in runs.items())
            lines.append(f"{experiment}/{evaluation}: results of different protocols cannot be averaged ({where})")
    return lines


def mean_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1) and number of seeds per method and value."""
    groups = table.groupby([*KEY, "detector", "kind"], dropna=False, sort=False)["value"]
    return groups.agg(mean="mean", sd="std", seeds="count").reset_index()


def aggregate(benchmark: Path, out: Path, allow_missing: bool = False) -> pd.DataFrame:
    """Read all results of a benchmark and write the three tables into `out`; returns the summary.

    Raises:
        ValueError: a result is missing (unless allowed), broken, double, or of another protocol.
    """
    config = read_benchmark(benchmark)
    paths = [Path(path) for path in Grid(config).evaluation_metrics()]
    missing = [path for path in paths if not path.is_file()]
    if missing and not allow_missing:
        raise ValueError(
            f"{missing[0]}: no such result ({len(missing)} of {len(paths)} are missing); run snakemake, or take what "
            "is there with --allow-missing"
        )
    there = [path for path in paths if path.is_file()]
    rows = [row for path in progress(there, len(there), "metrics", "files") for row in rows_of(path)]
    table = summary_table(rows)
    conflicts = protocol_conflicts(table)
    if conflicts:
        raise ValueError("\n".join(conflicts))
    with atomic_open(out / "summary.parquet") as handle:
        table.to_parquet(handle, index=False)
    for name, frame in (("summary.csv", table), ("summary_mean.csv", mean_table(table))):
        with atomic_open(out / name, "w") as handle:
            frame.to_csv(handle, index=False)
    none_from_the_future([benchmark, *there])
    return table


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m workflow.scripts.aggregate", description=__doc__)
    parser.add_argument("--benchmark", required=True, type=Path, help="benchmark.json")
    parser.add_argument("--out", required=True, type=Path, help="folder of the tables")
    parser.add_argument("--allow-missing", action="store_true", help="take the results that are there")
    arguments = parser.parse_args()
    end_with_caller()
    try:
        table = aggregate(arguments.benchmark, arguments.out, arguments.allow_missing)
    except Exception as error:
        raise SystemExit(report(error, "raise resources.collect.mem_mb")) from None
    print(f"{len(table)} values in {arguments.out / 'summary.csv'}")


if __name__ == "__main__":
    main()
