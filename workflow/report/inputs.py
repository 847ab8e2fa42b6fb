"""Reads everything the report is made of, checks it, and notes what is missing.

A file that is there but broken is an error; a run that has not finished is not: the report is made from the rest and
says what it lacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from glofnd.files import making_sense, read_json
from workflow.grid import Grid, Run
from workflow.scripts.aggregate import KEY

__all__ = ["GLOFND", "LABELS_KEY", "OVERALL", "ReportError", "Results", "read_results"]

GLOFND = "glofnd"
"""The method that stands first among the judged detectors."""

LABELS_KEY = ("experiment", "evaluation", "dataset", "split", "fraction")
"""What a number of labels used belongs to."""

_SUMMARY = [*KEY, "detector", "seed", "kind", "value", "higher_is_better", "chance", "primary"]
_SIGNIFICANCE = [
    *(*KEY, "detector", "baseline", "n", "difference", "ci_low", "ci_high", "p_value", "p_holm"),
    *("samples", "sample_low", "sample_high", "p_mcnemar_holm", "both_low", "both_high"),
]
OVERALL = [
    *("experiment", "objective", "detector", "tasks"),
    *("interquartile_mean", "interquartile_mean_low", "interquartile_mean_high"),
    *("probability_of_improvement", "probability_of_improvement_low", "probability_of_improvement_high"),
]
"""Columns of significance_overall.csv that the report shows."""


class ReportError(ValueError):
    """Input from which no report can be made; the message names the file and what to do."""


@dataclass(frozen=True)
class SharedPictures:
    """Test pictures that are (`exact`) or look like (`near`) training pictures, of `n`.

    `change`: by how much the score that changes most differs without them.
    """

    n: int
    exact: int
    near: int
    change: float


@dataclass(frozen=True)
class Results:
    """Everything below one results folder.

    Attributes:
        config: the resolved config of the benchmark.
        grid: its runs and paths.
        summary: one row per value (`KEY`, detector, seed, kind, value, higher_is_better, chance, primary).
        tests: all rows of significance.csv; empty where none was asked for.
        overall: all rows of significance_overall.csv; empty where there is none.
        histories: run id -> the epochs of its history.json.
        labels_used: `LABELS_KEY` -> number of labels a probe was fitted on, where its metrics record it.
        shared: (data set, test split) -> pictures that stand on both sides, where metrics record it.
        provenance: run id -> provenance of its training.
        missing: what the config asks for and the folder does not have, in the order of the grid.
    """

    config: dict[str, Any]
    grid: Grid
    summary: pd.DataFrame
    tests: pd.DataFrame
    overall: pd.DataFrame
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    labels_used: dict[tuple[object, ...], int] = field(default_factory=dict)
    shared: dict[tuple[str, str], SharedPictures] = field(default_factory=dict)
    provenance: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """Label of the detector all others are compared with."""
        return str((self.config.get("significance") or {}).get("baseline", "none"))

    @property
    def significance(self) -> pd.DataFrame:
        """The tests of detectors against the reference."""
        return self.tests[self.tests["baseline"] == self.reference]

    @property
    def between(self) -> pd.DataFrame:
        """The tests of detectors against each other, uncorrected."""
        return self.tests[self.tests["baseline"] != self.reference]

    @property
    def confidence(self) -> float:
        """Confidence level of all intervals."""
        return float((self.config.get("significance") or {}).get("confidence", 0.95))

    @property
    def primary(self) -> list[str]:
        """Evaluations whose main metrics the answer rests on, fixed in the config before any result."""
        return (self.config.get("significance") or {}).get("primary") or []

    def runs(self, experiment: str, objective: str, detector: str) -> list[Run]:
        """The trained runs of one method, by seed in the order of the config."""
        return [
            run
            for run in self.grid.runs.values()
            if (run.experiment, run.objective, run.detector) == (experiment, objective, detector)
        ]

    def detectors(self, experiment: str) -> list[str]:
        """Detector labels of an experiment: the reference first, the oracle last, the others in the config's order."""

        def rank(label: str) -> int:
            return 0 if label == self.reference else 2 if self.method(experiment, label) == "oracle" else 1

        return sorted(self.config["experiments"][experiment]["detectors"], key=rank)

    def judged(self, experiment: str) -> list[str]:
        """Labels that are neither the reference nor the oracle: GloFND first, the others in the config's order."""
        methods = {label: self.method(experiment, label) for label in self.detectors(experiment)}
        chosen = [label for label, method in methods.items() if label != self.reference and method != "oracle"]
        return sorted(chosen, key=lambda label: methods[label] != GLOFND)

    def method(self, experiment: str, detector: str) -> str:
        """The method a detector label means."""
        return str(self.config["experiments"][experiment]["detectors"][detector].get("method", detector))


def _columns(frame: pd.DataFrame, wanted: list[str], path: Path) -> pd.DataFrame:
    absent = [name for name in wanted if name not in frame.columns]
    if absent:
        raise ReportError(f"{path}: no column {', '.join(absent)}; delete it and run `snakemake` again")
    return frame.assign(fraction=frame["fraction"].astype(float)) if "fraction" in frame else frame


def _json(path: Path) -> Any:
    try:
        return read_json(path)
    except ValueError as error:
        raise ReportError(str(error)) from error


def _summary(root: Path) -> pd.DataFrame:
    path = root / "summary.parquet"
    if not path.is_file():
        raise ReportError(f"{path}: not there; run `snakemake {path}` first")
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{path}: not a readable parquet file ({error}); delete it and run `snakemake` again"
        ) from error
    frame = _columns(frame, _SUMMARY, path)
    if frame.empty:
        raise ReportError(f"{path}: has no rows, so there is nothing to report; look at the logs in {root / 'logs'}")
    twice = frame.duplicated([*KEY, "detector", "seed"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise ReportError(
            f"{path}: two values of {row['metric']} on {row['dataset']} for "
            f"{row['experiment']}/{row['objective']}/{row['detector']}/seed{row['seed']}; "
            "delete it and run `snakemake` again"
        )
    return frame


def _tests(path: Path, columns: list[str], asked: bool, missing: list[str], lost: str) -> pd.DataFrame:
    """A table of tests with at least these columns; without rows where it was not asked for, or is missing."""
    if not asked or not path.is_file():
        if asked:
            missing.append(f"{path.name}: {lost}")
        return pd.DataFrame(columns=columns)
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: not a readable CSV file ({error}); delete it and run `snakemake` again") from error
    return _columns(frame, columns, path)


def read_results(benchmark: Path) -> Results:
    """Read the results folder that `benchmark.json` stands in.

    Raises:
        ReportError: no benchmark.json or summary, or a file that is there and cannot be read.
    """
    if not benchmark.is_file():
        raise ReportError(
            f"{benchmark}: not there; run `snakemake` first, or name the benchmark.json of a results folder"
        )
    config = _json(benchmark)
    root = benchmark.parent
    for key in ("paths", "seeds", "experiments"):
        if not isinstance(config, dict) or key not in config:
            raise ReportError(f"{benchmark}: no key '{key}'; it must be the resolved config that rule `resolve` writes")
    grid = Grid({**config, "paths": {**config["paths"], "results": str(root)}})
    missing: list[str] = []
    asked = bool(config.get("significance", True))
    results = Results(
        config,
        grid,
        _summary(root),
        _tests(root / "significance.csv", _SIGNIFICANCE, asked, missing, "no tests and no intervals can be shown"),
        _tests(root / "significance_overall.csv", OVERALL, asked, missing, "no statistics over all metrics together"),
        missing=missing,
    )
    for run in grid.all_runs:
        folder = Path(grid.run_folder(run))
        if run.kind == "method":
            _training(run, folder, results)
        for evaluation in grid.evaluations(run):
            path = folder / evaluation / "metrics.json"
            if not path.is_file():
                missing.append(f"{run.id}: no result of {evaluation}")
            elif run.kind == "method":
                found = _json(path)
                with making_sense(path):
                    _labels_used(found["metrics"], run, evaluation, results)
                    _shared(found["metrics"], results)
    return results


def _shared(metrics: list[dict[str, Any]], results: Results) -> None:
    for metric in metrics:
        if metric.get("near_duplicates") is None:
            continue
        key, clean = (metric["dataset"], metric["split"]), metric.get("clean_value")
        change = 0.0 if clean is None else abs(metric["value"] - clean)
        if key in results.shared:
            change = max(change, results.shared[key].change)
        counts = metric["n"], metric["shared_pictures"], metric["near_duplicates"]
        results.shared[key] = SharedPictures(*counts, change)


def _labels_used(metrics: list[dict[str, Any]], run: Run, evaluation: str, results: Results) -> None:
    """Labels are drawn alike for every method of an experiment, so the first file that tells is enough."""
    for metric in metrics:
        if metric.get("labels_used") is not None and metric.get("fraction") is not None:
            key = (run.experiment, evaluation, metric["dataset"], metric["split"], float(metric["fraction"]))
            results.labels_used.setdefault(key, int(metric["labels_used"]))


def _training(run: Run, folder: Path, results: Results) -> None:
    history, metrics = folder / "history.json", folder / "metrics.json"
    if not history.is_file():
        results.missing.append(f"{run.id}: no training history (not trained, or failed)")
        return
    found = _json(history)
    epochs = found.get("epochs") if isinstance(found, dict) else None
    if not isinstance(epochs, list) or not all(isinstance(e, dict) and {"epoch", "loss"} <= e.keys() for e in epochs):
        raise ReportError(
            f"{history}: has no list of epochs with 'epoch' and 'loss'; delete it and run `snakemake` again"
        )
    results.histories[run.id] = epochs
    if metrics.is_file():
        found = _json(metrics)
        with making_sense(metrics):
            results.provenance[run.id] = found.get("provenance") or {}
