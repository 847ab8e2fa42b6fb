"""Pictures and tables of discovery: what any threshold would find, what the detectors find, and in which classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from workflow.grid import BASELINE, Run
from workflow.report.appearance import LOOKS, Look
from workflow.report.formats import percent
from workflow.report.inputs import ReportError, Results
from workflow.report.svg import Point, Series, line_chart

__all__ = ["ClassTable", "Discovered", "discovered"]

Arrays = dict[str, NDArray[Any]]
MOST_CLASSES = 12


@dataclass(frozen=True)
class ClassScores:
    """One detector in one class, mean over seeds; NaN where it is not defined."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ClassTable:
    """Scores by class of the anchor, best first by the first detector.

    Attributes:
        detectors: labels of the columns.
        rows: name of the class and one entry per detector.
        left_out: classes between the best and the worst that are not shown.
    """

    detectors: list[str]
    rows: list[tuple[str, list[ClassScores]]]
    left_out: int


@dataclass(frozen=True)
class Discovered:
    """Discovery of one experiment and objective; each picture is (heading, chart)."""

    experiment: str
    objective: str
    pictures: list[tuple[str, Markup]]
    classes: ClassTable | None


def discovered(results: Results, looks: dict[str, Look]) -> dict[tuple[str, str], Discovered]:
    """Every experiment and objective that has predictions of discovery."""
    found = {}
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            methods = {
                label: _read(results, results.runs(experiment, objective, label))
                for label in results.detectors(experiment)
            }
            baselines = {
                name: _read(results, [run for run in results.grid.baselines.values() if _is(run, experiment, name)])
                for name in settings.get("baselines", [])
            }
            runs = {label: arrays for label, arrays in {**methods, **baselines}.items() if arrays}
            if not any(label in runs for label in methods):
                continue
            place = f"{settings['dataset']}.{settings['split']}"
            drawn = _Drawn(f"{experiment}, {objective}", runs, _looks(runs, looks), place, settings["label"])
            judged = [label for label in results.judged(experiment) if label in runs]
            names = [*judged, *(label for label in baselines if label in runs)]
            found[experiment, objective] = Discovered(
                experiment, objective, list(drawn.pictures(judged)), _classes(drawn, names)
            )
    return found


def _is(run: Run, experiment: str, baseline: str) -> bool:
    return (run.experiment, run.objective, run.detector) == (experiment, BASELINE, baseline)


def _read(results: Results, runs: Sequence[Run]) -> list[Arrays]:
    """The arrays of predictions.npz of each run that has them, without the long ones."""
    found = []
    for run in runs:
        path = Path(results.grid.run_folder(run)) / "discovery" / "predictions.npz"
        if not path.is_file():
            continue
        try:
            with np.load(path, allow_pickle=False) as file:
                wanted = [name for name in file.files if name.rpartition(".")[2].startswith(("curve", "class"))]
                found.append({name: file[name] for name in wanted})
        except (OSError, ValueError, EOFError) as error:
            raise ReportError(
                f"{path}: no readable predictions ({error}); delete it and run `snakemake` again"
            ) from error
    return found


def _looks(runs: dict[str, list[Arrays]], looks: dict[str, Look]) -> dict[str, Look]:
    """Baselines take looks that no detector has."""
    free = cycle([look for look in LOOKS if look not in looks.values()] or LOOKS)
    return {label: looks.get(label) or next(free) for label in runs}


@dataclass(frozen=True)
class _Drawn:
    """What the pictures of one experiment and objective are drawn from."""

    name: str
    runs: dict[str, list[Arrays]]
    looks: dict[str, Look]
    place: str
    label: str

    def entry(self, side: str, key: str) -> str:
        return f"{self.place}.{side}.{self.label}.{key}"

    def curves(self, label: str, entry: str) -> list[NDArray[Any]]:
        return [arrays[entry] for arrays in self.runs[label] if entry in arrays]

    def sides(self) -> list[str]:
        known = {name for runs in self.runs.values() for arrays in runs for name in arrays}
        return [side for side in ("image", "text") if self.entry(side, "curve") in known]

    def operating(self, label: str, side: str) -> tuple[float, float] | None:
        """Recall and precision of what a detector really drops, mean over seeds."""
        points = []
        for arrays in self.runs[label]:
            sums = {k: int(arrays[self.entry(side, f"class_{k}")].sum()) for k in ("dropped", "true", "correct")}
            if sums["dropped"] and sums["true"]:
                points.append((sums["correct"] / sums["true"], sums["correct"] / sums["dropped"]))
        return (float(np.mean([r for r, _ in points])), float(np.mean([p for _, p in points]))) if points else None

    def pictures(self, judged: list[str]) -> Iterator[tuple[str, Markup]]:
        sides = self.sides()
        for side in sides:
            more = f", {side} anchors" if len(sides) > 1 else ""
            every = [self.series(label, side, "curve", slice(1, 3), label in judged) for label in self.runs]
            yield from self._chart(
                f"Exact quantiles, any alpha{more}",
                every,
                "recall, %",
                "precision",
            )
            moved = [self.series(label, side, "curve_shifted", slice(2, 4), True) for label in judged]
            yield from self._chart(f"Thresholds in use, shifted{more}", moved, "recall, %", "precision")
            yield from self._chart(
                f"F1 over the share dropped{more}",
                [self.series(label, side, "curve", None, False) for label in self.runs],
                "share dropped (alpha), %",
                "F1",
            )

    def series(self, label: str, side: str, key: str, columns: slice | None, marked: bool) -> Series | None:
        """Precision over recall from two columns (precision, recall), or F1 over the share dropped for `None`."""
        lines = []
        for curve in self.curves(label, self.entry(side, key)):
            if columns is None:
                share, precision, recall = curve.T
                with np.errstate(invalid="ignore", divide="ignore"):
                    lines.append([100 * share, 2 * precision * recall / (precision + recall)])
            else:
                precision, recall = curve[:, columns].T
                lines.append([100 * recall, precision])
        if not lines:
            return None
        x, y = np.mean(lines, axis=0)
        points: list[Point] = [(float(a), float(b)) for a, b in zip(x, y, strict=True) if np.isfinite(a + b)]
        spot = self.operating(label, side) if marked else None
        marks = [(100 * spot[0], spot[1])] if spot else []
        return Series(label, self.looks[label], sorted(points), marks=marks) if points else None

    def _chart(
        self, title: str, series: list[Series | None], x_label: str, y_label: str
    ) -> Iterator[tuple[str, Markup]]:
        drawn = [one for one in series if one is not None]
        if not drawn:
            return
        ends = "; ".join(
            f"{one.label}: highest {percent(max(y for _, y in one.mean))} %"
            + "".join(f", in use {percent(y)} % at {x:.1f} %" for x, y in one.marks)
            for one in drawn
        )
        yield (
            title,
            line_chart(
                drawn,
                title=f"{title}: {self.name}",
                description=f"{y_label} over {x_label}. {ends}",
                x_label=x_label,
                y_label=y_label,
                y_range=(0.0, max(y for one in drawn for _, y in (*one.mean, *one.marks))),
            ),
        )


def _classes(drawn: _Drawn, labels: list[str]) -> ClassTable | None:
    """Image anchors by class; of many classes the best and the worst."""
    key = drawn.entry("image", "class")
    labels = [label for label in labels if any(key in arrays for arrays in drawn.runs[label])]
    if not labels:
        return None
    names = next(arrays[key] for arrays in drawn.runs[labels[0]] if key in arrays)
    scores = {label: _class_scores(drawn, label) for label in labels}
    order = sorted(range(len(names)), key=lambda place: -np.nan_to_num(scores[labels[0]][place].f1))
    left_out = max(0, len(order) - MOST_CLASSES)
    if left_out:
        order = [*order[: MOST_CLASSES // 2], *order[-(MOST_CLASSES // 2) :]]
    rows = [(str(names[place]), [scores[label][place] for label in labels]) for place in order]
    return ClassTable(labels, rows, left_out)


def _class_scores(drawn: _Drawn, label: str) -> list[ClassScores]:
    each = []
    for arrays in drawn.runs[label]:
        dropped, true, correct = (
            arrays[drawn.entry("image", f"class_{k}")].astype(float) for k in ("dropped", "true", "correct")
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            each.append([correct / dropped, correct / true, 2 * correct / (dropped + true)])
    return [ClassScores(*map(float, values)) for values in np.mean(each, axis=0).T]
