"""Reads the files of a results folder that the report is made of, and notes which of them are missing.

A file that is there but broken is an error; a run that has not finished is not: the report shows the rest and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from glofnd.files import making_sense, read_json
from workflow.grid import NONE, Grid, Run
from workflow.report.figures import Look, looks
from workflow.report.names import METHODS, task_name
from workflow.tables import read_summary

__all__ = ["Results", "Row", "Trial", "read_results"]

Row = dict[str, Any]
Scores = dict[str, dict[str, dict[int, float]]]
"""Task or metric -> label of the detector or baseline -> seed -> value."""


@dataclass(frozen=True)
class Results:
    """One results folder.

    Attributes:
        config: the resolved config of the benchmark.
        values: the rows of summary.parquet, with `task`, the name of what was measured.
        tests: the rows of significance.csv, with `task`; none where no tests were asked for.
        trained: run id -> metrics.json of its training, with `epochs` from its history.json.
        shared: (data set, test split) -> test pictures, how many of them are or look like training pictures, and by how
            much the score that changes most differs without them.
        missing: what the config asks for and the folder does not have.
    """

    config: Row
    values: list[Row] = field(default_factory=list)
    tests: list[Row] = field(default_factory=list)
    trained: dict[str, Row] = field(default_factory=dict)
    shared: dict[tuple[str, str], tuple[int, int, int, float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """Where all of it is."""
        return Path(self.config["paths"]["results"])

    @cached_property
    def grid(self) -> Grid:
        """The runs of the config and their folders."""
        return Grid(self.config)

    @property
    def settings(self) -> Row:
        """The config of the tests; defaults where none were asked for."""
        return {"baseline": "none", "confidence": 0.95, "primary": [], **(self.config["significance"] or {})}

    @property
    def level(self) -> float:
        """What a significant p-value is below."""
        return float(1 - self.settings["confidence"])

    @cached_property
    def trials(self) -> list[Trial]:
        """Every experiment with each of its objectives, in the order of the config."""
        experiments = self.config["experiments"]
        return [Trial(self, name, o) for name, settings in experiments.items() for o in settings["objectives"]]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Label of a detector -> its colour and symbol, the same in every figure."""
        return looks(label for trial in self.trials for label in trial.detectors)


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

    @property
    def heading(self) -> Markup:
        """Experiment and objective."""
        return Markup("<h3>{} <small>{}</small></h3>").format(self.experiment, self.objective)

    def method(self, label: str) -> str:
        """The method that the label of a detector or baseline means."""
        return str((self.settings["detectors"] | self.rivals).get(label, {}).get("method", label))

    def name(self, label: str) -> str:
        """A detector or baseline in a sentence: by its method's name, and by its label where that is another."""
        name = METHODS.get(method := self.method(label), (label, ""))[0]
        return name if label in (method, name) else f"{name} ({label})"

    @property
    def rivals(self) -> Row:
        """Objectives without a detector, label -> settings; they stand beside the detectors of the first objective."""
        found: Row = self.settings["rivals"] if self.objective == next(iter(self.settings["objectives"])) else {}
        return found

    @property
    def reference(self) -> str:
        """Label of the detector all others are compared with."""
        return str(self.results.settings["baseline"])

    @property
    def detectors(self) -> list[str]:
        """Labels: the reference, then the paper's GloFND, others in the config's order, the oracle last."""

        def rank(label: str) -> int:
            return 0 if label == self.reference else {"glofnd": 1, "oracle": 3}.get(self.method(label), 2)

        return sorted([*self.settings["detectors"], *self.rivals], key=rank)

    @property
    def judged(self) -> list[str]:
        """Labels that are neither the reference nor an oracle."""
        return [label for label in self.detectors if label not in (self.reference, *self.oracles)]

    @property
    def oracles(self) -> list[str]:
        """Labels of the upper bounds."""
        return [label for label in self.settings["detectors"] if self.method(label) == "oracle"]

    @property
    def labels(self) -> list[str]:
        """Detectors, then baselines and the user's models."""
        return [*self.detectors, *self.settings["baselines"], *self.settings["models"]]

    def runs(self, label: str) -> list[Run]:
        """The runs of one detector, by seed in the order of the config."""
        method = (label, NONE) if label in self.rivals else (self.objective, label)
        return [Run(self.experiment, *method, seed) for seed in self.results.config["seeds"]]

    def trained(self, label: str) -> list[Row]:
        """metrics.json, with `epochs`, of each finished training of one detector, by seed."""
        return [self.results.trained[run.id] for run in self.runs(label) if run.id in self.results.trained]

    @cached_property
    def _values(self) -> list[Row]:
        rows = (row for row in self.results.values if row["experiment"] == self.experiment)
        return [row for row in rows if row["objective"] == self.objective or row["kind"] == "baseline"]

    @cached_property
    def scores(self) -> Scores:
        """Task -> label -> seed -> value, without discovery."""
        return _nested((row for row in self._values if row["evaluation"] != "discovery"), "task")

    @cached_property
    def discovered(self) -> Scores:
        """Metric of discovery -> label -> seed -> value."""
        return _nested((row for row in self._values if row["evaluation"] == "discovery"), "metric")

    @property
    def unlabelled(self) -> bool:
        """Whether discovery had no labels to go by."""
        return "dropped_share" in self.discovered and "base_rate" not in self.discovered

    @cached_property
    def about(self) -> dict[str, Row]:
        """Task -> a row of it: its chance, and whether higher is better."""
        return {row["task"]: row for row in self._values if row["evaluation"] != "discovery"}

    @cached_property
    def primary(self) -> list[str]:
        """Tasks that the config made primary before any number was seen."""
        place = {name: k for k, name in enumerate(self.results.settings["primary"])}
        rows = [row for row in self.about.values() if row["primary"] and row["evaluation"] in place]
        rows.sort(key=lambda row: (place[row["evaluation"]], row["dataset"], row["split"], -(row["fraction"] or 0)))
        return [row["task"] for row in rows]

    def tests(self, baseline: str | None = None) -> dict[tuple[str, str], Row]:
        """(task, label) -> its comparison with the reference, or another detector, without discovery."""
        key = (self.experiment, self.objective, baseline or self.reference)
        return {
            (row["task"], row["detector"]): row
            for row in self.results.tests
            if (row["experiment"], row["objective"], row["baseline"]) == key and row["evaluation"] != "discovery"
        }


def _nested(rows: Iterable[Row], name: str) -> Scores:
    found: Scores = {}
    for row in rows:
        if not pd.isna(row["value"]):
            found.setdefault(row[name], {}).setdefault(row["detector"], {})[row["seed"]] = row["value"]
    return found


def read_results(benchmark: Row) -> Results:
    """Read the results folder of a resolved config.

    Raises:
        ValueError, OSError: the summary is missing, or a file that is there cannot be read; names it.
    """
    results, labels = Results(benchmark), dict[tuple[Any, ...], int]()
    for run in results.grid.all_runs:
        place = Path(results.grid.run_folder(run))
        if run.kind == "method":
            _add_training(run, place, results)
        for evaluation in results.grid.evaluations(run):
            path = place / evaluation / "metrics.json"
            if path.is_file():
                _add_evaluation(path, (run.experiment, evaluation), labels, results)
            else:
                results.missing.append(f"{run.id}: no result of {evaluation}")

    def named(frame: pd.DataFrame) -> Iterable[Row]:
        for record in frame.to_dict("records"):
            row = {str(name): value for name, value in record.items()}
            key = tuple(row[name] for name in ("experiment", "evaluation", "dataset", "split", "fraction"))
            experiment = benchmark["experiments"][row["experiment"]]
            if row["objective"] in experiment["rivals"]:
                row |= {"detector": row["objective"], "objective": next(iter(experiment["objectives"]))}
                row |= {"baseline": row["baseline"].rpartition("/")[2]} if "baseline" in row else {}
            yield row | {"task": task_name(row, experiment["dataset"], labels.get(key))}

    path = results.folder / "summary.parquet"
    results.values.extend(named(read_summary(path)))
    if not results.values:
        raise ValueError(f"{path}: has no rows; look at the logs in {results.folder / 'logs'}")
    path = results.folder / "significance.csv"
    if benchmark["significance"] and path.is_file():
        with making_sense(path):
            results.tests.extend(named(pd.read_csv(path)))
    elif benchmark["significance"]:
        results.missing.append(f"{path.name}: no tests and no intervals can be shown")
    return results


def _add_training(run: Run, place: Path, results: Results) -> None:
    metrics, history = place / "metrics.json", place / "history.json"
    if metrics.is_file() and history.is_file():
        with making_sense(history):
            results.trained[run.id] = read_json(metrics) | {"epochs": read_json(history)["epochs"]}
    else:
        results.missing.append(f"{run.id}: not trained, or failed")


def _add_evaluation(path: Path, key: tuple[str, str], labels: dict[tuple[Any, ...], int], results: Results) -> None:
    """Note what the summary does not have: how many labels a share is, and test pictures seen in training."""
    with making_sense(path):
        for metric in read_json(path)["metrics"]:
            place = metric["dataset"], metric["split"]
            if metric.get("labels_used") is not None:
                labels[*key, *place, metric["fraction"]] = metric["labels_used"]
            if metric.get("near_duplicates") is not None:
                counts = metric["n"], metric["shared_pictures"], metric["near_duplicates"]
                clean, value = metric.get("clean_value"), metric["value"]
                change = 0.0 if clean is None or value is None else abs(value - clean)
                results.shared[place] = (*counts, max(change, results.shared.get(place, (0, 0, 0, 0.0))[3]))
