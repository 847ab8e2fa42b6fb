"""Reads the files of a results folder that the report is made of, and notes which of them are missing.

A file that is there but broken is an error; a run that has not finished is not: the report shows the rest and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from glofnd.files import making_sense, read_json
from workflow.grid import Grid, Run
from workflow.report.wording import detector_name, task_name

__all__ = ["Results", "Trial", "read_results"]

_SUMMARY = ["experiment", "objective", "evaluation", "dataset", "split", "metric", "fraction"]
_TESTS = [*_SUMMARY, "detector", "baseline", "n", "difference", "ci_low", "ci_high", "p_value", "p_holm"]
_TESTS += ["sample_low", "sample_high", "p_mcnemar_holm"]
_SUMMARY += ["detector", "seed", "kind", "value", "chance", "higher_is_better", "primary"]
_OVERALL = ["experiment", "objective", "detector"]
_OVERALL += [f"interquartile_mean{end}" for end in ("", "_low", "_high")]
_OVERALL += [f"probability_of_improvement{end}" for end in ("", "_low", "_high")]

Row = dict[str, Any]
Labels = dict[tuple[str, ...], dict[float, int]]
"""(experiment, evaluation, data set, split) -> share of the labels -> how many labels that is."""


@dataclass(frozen=True)
class Results:
    """One results folder.

    Attributes:
        config: the resolved config of the benchmark.
        grid: its runs and their folders.
        summary: one row per value of one run (summary.parquet), with `task`, its name for a reader.
        tests: the rows of significance.csv, with `task`; none where no tests were asked for.
        overall: the rows of significance_overall.csv.
        trained: run id -> metrics.json of its training.
        histories: run id -> the epochs of its history.json.
        shared: (data set, test split) -> test pictures, how many of them are or look like training pictures, and by how
            much the score that changes most differs without them.
        missing: what the config asks for and the folder does not have.
    """

    config: Row
    grid: Grid
    summary: pd.DataFrame
    tests: list[Row]
    overall: list[Row]
    trained: dict[str, Row] = field(default_factory=dict)
    histories: dict[str, list[Row]] = field(default_factory=dict)
    shared: dict[tuple[str, str], tuple[int, int, int, float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where all of it is."""
        return Path(self.config["paths"]["results"])

    @property
    def settings(self) -> Row:
        """The config of the tests; defaults where none were asked for."""
        return {"baseline": "none", "confidence": 0.95, "primary": [], **(self.config["significance"] or {})}

    @property
    def confidence(self) -> str:
        """Confidence level of all intervals, `95 %`."""
        return f"{100 * self.settings['confidence']:g} %"

    @property
    def level(self) -> float:
        """What a significant p-value is below."""
        return float(1 - self.settings["confidence"])

    @cached_property
    def trials(self) -> list[Trial]:
        """Every experiment with each of its objectives, in the order of the config."""
        experiments = self.config["experiments"]
        return [Trial(self, name, o) for name, settings in experiments.items() for o in settings["objectives"]]


@dataclass(frozen=True)
class Trial:
    """The detectors of one experiment with one objective: what is compared with each other."""

    results: Results
    experiment: str
    objective: str

    @property
    def settings(self) -> Row:
        """The config of the experiment."""
        found: Row = self.results.config["experiments"][self.experiment]
        return found

    def method(self, label: str) -> str:
        """The method that the label of a detector or baseline means."""
        return str(self.settings["detectors"].get(label, {}).get("method", label))

    def name(self, label: str) -> str:
        """A detector or baseline as a reader knows it."""
        return detector_name(label, self.method(label))

    def bold(self, label: str) -> str | Markup:
        """Its name, in bold where the paper's own algorithm ran."""
        return Markup("<b>{}</b>").format(self.name(label)) if self.method(label) == "glofnd" else self.name(label)

    @property
    def reference(self) -> str:
        """Label of the detector all others are compared with."""
        return str(self.results.settings["baseline"])

    @property
    def detectors(self) -> list[str]:
        """Labels: the reference, then the paper's GloFND, others in the config's order, the oracle last."""

        def rank(label: str) -> int:
            return 0 if label == self.reference else {"glofnd": 1, "oracle": 3}.get(self.method(label), 2)

        return sorted(self.settings["detectors"], key=rank)

    @property
    def judged(self) -> list[str]:
        """Labels that are neither the reference nor an oracle."""
        return [label for label in self.detectors if label != self.reference and label not in self.oracles]

    @property
    def oracles(self) -> list[str]:
        """Labels of the upper bounds."""
        return [label for label in self.settings["detectors"] if self.method(label) == "oracle"]

    @property
    def labels(self) -> list[str]:
        """Detectors, then baselines."""
        return [*self.detectors, *self.settings["baselines"]]

    def runs(self, label: str) -> Iterator[Run]:
        """The trained runs of one detector, by seed in the order of the config."""
        key = (self.experiment, self.objective, label)
        return (run for run in self.results.grid.runs.values() if (run.experiment, run.objective, run.detector) == key)

    def _rows(self, discovery: bool) -> pd.DataFrame:
        frame = self.results.summary
        kept = (frame["experiment"] == self.experiment) & ((frame["evaluation"] == "discovery") == discovery)
        return frame[kept & ((frame["objective"] == self.objective) | (frame["kind"] == "baseline"))]

    @cached_property
    def scores(self) -> dict[str, dict[str, dict[int, float]]]:
        """Task -> label -> seed -> value, without discovery."""
        return _nested(self._rows(False), "task")

    @cached_property
    def discovered(self) -> dict[str, dict[str, dict[int, float]]]:
        """Metric of discovery -> label -> seed -> value."""
        return _nested(self._rows(True), "metric")

    @cached_property
    def about(self) -> dict[str, Row]:
        """Task -> a row of it: its chance, and whether higher is better."""
        return {str(row["task"]): row for row in _records(self._rows(False))}

    @cached_property
    def primary(self) -> list[str]:
        """Tasks that the config made primary before any number was seen."""
        place = {name: k for k, name in enumerate(self.results.settings["primary"])}
        rows = [r for r in self.about.values() if r["primary"] and r["evaluation"] in place]
        rows.sort(key=lambda r: (place[r["evaluation"]], r["dataset"], r["split"], -(r["fraction"] or 0)))
        return [str(row["task"]) for row in rows]

    def tests(self, baseline: str | None = None) -> dict[tuple[str, str], Row]:
        """(task, label) -> its comparison with the reference, or another detector, without discovery."""
        key = (self.experiment, self.objective, baseline or self.reference)
        return {
            (row["task"], row["detector"]): row
            for row in self.results.tests
            if (row["experiment"], row["objective"], row["baseline"]) == key and row["evaluation"] != "discovery"
        }


def _records(frame: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _nested(frame: pd.DataFrame, name: str) -> dict[str, dict[str, dict[int, float]]]:
    found: dict[str, dict[str, dict[int, float]]] = {}
    for row in _records(frame[frame["value"].notna()]):
        found.setdefault(row[name], {}).setdefault(row["detector"], {})[int(row["seed"])] = float(row["value"])
    return found


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable table ({error}); delete it and run `snakemake` again") from error
    if absent := [name for name in columns if name not in frame]:
        raise ValueError(f"{path}: no column {', '.join(absent)}; delete it and run `snakemake` again")
    return frame


def read_results(benchmark: Row) -> Results:
    """Read the results folder of a resolved config.

    Raises:
        ValueError, OSError: the summary is missing, or a file that is there cannot be read; names it.
    """
    folder, grid, missing = Path(benchmark["paths"]["results"]), Grid(benchmark), list[str]()
    summary = _table(folder / "summary.parquet", _SUMMARY)
    if summary.empty:
        raise ValueError(f"{folder / 'summary.parquet'}: has no rows; look at the logs in {folder / 'logs'}")
    tables = []
    for name, columns in (("significance.csv", _TESTS), ("significance_overall.csv", _OVERALL)):
        there = bool(benchmark["significance"]) and (folder / name).is_file()
        tables.append(_records(_table(folder / name, columns)) if there else [])
        if benchmark["significance"] and not there:
            missing.append(f"{name}: no tests and no intervals can be shown")
    results = Results(benchmark, grid, summary, tables[0], tables[1], missing=missing)
    labels: Labels = {}
    for run in grid.all_runs:
        place = Path(grid.run_folder(run))
        if run.kind == "method":
            _training(run, place, results)
        for evaluation in grid.evaluations(run):
            path = place / evaluation / "metrics.json"
            if path.is_file():
                _evaluated(path, (run.experiment, evaluation), labels, results)
            else:
                missing.append(f"{run.id}: no result of {evaluation}")
    summary["task"] = [_task(row, benchmark, labels) for row in _records(summary)]
    for row in results.tests:
        row["task"] = _task(row, benchmark, labels)
    return results


def _training(run: Run, place: Path, results: Results) -> None:
    if not (place / "history.json").is_file() or not (place / "metrics.json").is_file():
        results.missing.append(f"{run.id}: not trained, or failed")
        return
    with making_sense(place / "history.json"):
        epochs = read_json(place / "history.json")["epochs"]
        results.histories[run.id] = [{**entry, "epoch": int(entry["epoch"])} for entry in epochs]
    results.trained[run.id] = read_json(place / "metrics.json")


def _evaluated(path: Path, key: tuple[str, str], labels: Labels, results: Results) -> None:
    """Note what the summary does not have: how many labels a share is, and test pictures seen in training."""
    with making_sense(path):
        for metric in read_json(path)["metrics"]:
            place = metric["dataset"], metric["split"]
            if metric.get("labels_used") is not None and metric.get("fraction") is not None:
                labels.setdefault((*key, *place), {})[float(metric["fraction"])] = int(metric["labels_used"])
            if metric.get("near_duplicates") is not None:
                counts = metric["n"], metric["shared_pictures"], metric["near_duplicates"]
                clean, value = metric.get("clean_value"), metric["value"]
                change = 0.0 if clean is None or value is None else abs(value - clean)
                results.shared[place] = (*counts, max(change, results.shared.get(place, (0, 0, 0, 0.0))[3]))


def _task(row: Row, config: Row, labels: Labels) -> str:
    home = config["experiments"].get(row["experiment"], {}).get("dataset")
    counts = labels.get((row["experiment"], row["evaluation"], row["dataset"], row["split"]), {})
    return task_name(row, str(home), counts)
