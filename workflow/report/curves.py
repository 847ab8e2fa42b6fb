"""Pictures of training: loss, learned thresholds, and how well the dropped set agrees with the labels, over epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from workflow.report.appearance import Look
from workflow.report.formats import percent
from workflow.report.inputs import Results
from workflow.report.svg import Point, Reference, Series, line_chart

__all__ = ["Curves", "training_curves"]

Epoch = dict[str, Any]
QUANTILES = ("q05", "q25", "q50", "q75", "q95")
MEASURES = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))


@dataclass(frozen=True)
class Curves:
    """The training pictures of one experiment and objective; each is (heading, chart)."""

    experiment: str
    objective: str
    seeds: int
    loss: list[tuple[str, Markup]]
    threshold: list[tuple[str, Markup]]
    detection: list[tuple[str, Markup]]


def training_curves(results: Results, looks: dict[str, Look]) -> list[Curves]:
    """Every picture of training there is a history for, in the order of the config."""
    found = []
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            runs = {
                detector: [
                    results.histories[run.id]
                    for run in results.runs(experiment, objective, detector)
                    if run.id in results.histories
                ]
                for detector in results.detectors(experiment)
            }
            runs = {detector: histories for detector, histories in runs.items() if any(histories)}
            if runs:
                name = f"{experiment}, {objective}"
                found.append(
                    Curves(
                        experiment,
                        objective,
                        max(map(len, runs.values())),
                        _loss(name, runs, looks),
                        _thresholds(name, runs, looks),
                        _detection(name, runs, looks),
                    )
                )
    return found


Runs = dict[str, list[list[Epoch]]]


def _lines(histories: Sequence[Sequence[Epoch]], read: Callable[[Epoch], float | None]) -> list[list[Point]]:
    """One line per history, of the epochs that have the value."""
    lines = [[(float(e["epoch"]), float(y)) for e in epochs if (y := read(e)) is not None] for epochs in histories]
    return [line for line in lines if line]


def _mean(lines: Sequence[Sequence[Point]]) -> list[Point]:
    """Mean over lines at each epoch that all of them have."""
    values = [dict(line) for line in lines]
    shared = sorted(set.intersection(*map(set, values))) if values else []
    return [(x, sum(line[x] for line in values) / len(values)) for x in shared]


def _series(
    label: str, look: Look, histories: Sequence[Sequence[Epoch]], read: Callable[[Epoch], float | None]
) -> list[Series]:
    lines = _lines(histories, read)
    mean = _mean(lines)
    return [Series(label, look, mean, lines if len(lines) > 1 else ())] if mean else []


def _describe(series: Sequence[Series], show: Callable[[float], str]) -> str:
    """First and last value of each mean curve."""
    return "; ".join(
        f"{one.label}: {show(y0)} at epoch {x0:g}, {show(y1)} at {x1:g}"
        for one in series
        for (x0, y0), (x1, y1) in [(one.mean[0], one.mean[-1])]
    )


def _sides(runs: Runs, key: str) -> list[str]:
    """Names of the sides (image, text) that have `key` in any epoch, in the order of the files."""
    return list(dict.fromkeys(side for h in runs.values() for epochs in h for e in epochs for side in e.get(key) or {}))


def _side_title(title: str, side: str, sides: Sequence[str]) -> str:
    return title if len(sides) < 2 else f"{title}, {side} anchors"


def _loss(name: str, runs: Runs, looks: dict[str, Look]) -> list[tuple[str, Markup]]:
    series = [s for d, h in runs.items() for s in _series(d, looks[d], h, lambda e: e.get("loss"))]
    if not series:
        return []
    chart = line_chart(
        series,
        title=f"Training loss over epochs: {name}",
        description=_describe(series, lambda y: f"{y:.3g}"),
        x_label="epoch",
        y_label="training loss",
    )
    return [("Training loss", chart)]


def _thresholds(name: str, runs: Runs, looks: dict[str, Look]) -> list[tuple[str, Markup]]:
    sides = _sides(runs, "threshold")
    found = []
    for side in sides:
        for detector, histories in runs.items():
            quantile = {}
            for q in QUANTILES:

                def read(epoch: Epoch, side: str = side, q: str = q) -> float | None:
                    value: float | None = (epoch.get("threshold") or {}).get(side, {}).get(q)
                    return value

                quantile[q] = dict(_mean(_lines(histories, read)))
            epochs = sorted(set.intersection(*map(set, quantile.values())))
            if not epochs:
                continue
            outer = [(x, quantile["q05"][x], quantile["q95"][x]) for x in epochs]
            inner = [(x, quantile["q25"][x], quantile["q75"][x]) for x in epochs]
            median = Series(detector, looks[detector], [(x, quantile["q50"][x]) for x in epochs], (), (outer, inner))
            title = _side_title(f"Thresholds of {detector}", side, sides)
            chart = line_chart(
                [median],
                title=f"{title}: {name}",
                description=(
                    f"median {median.mean[0][1]:.3f} at epoch {epochs[0]:g}, "
                    f"{median.mean[-1][1]:.3f} at {epochs[-1]:g}; "
                    f"in the last epoch 90 % lie between {outer[-1][1]:.3f} and {outer[-1][2]:.3f}"
                ),
                x_label="epoch",
                y_label="threshold (cosine similarity)",
            )
            found.append((title, chart))
    return found


def _detection(name: str, runs: Runs, looks: dict[str, Look]) -> list[tuple[str, Markup]]:
    sides = _sides(runs, "detection")
    found = []
    for side in sides:
        for key, measure in MEASURES:

            def read(epoch: Epoch, side: str = side, key: str = key) -> float | None:
                value: float | None = (epoch.get("detection") or {}).get(side, {}).get(key)
                return value

            series = [s for d, h in runs.items() for s in _series(d, looks[d], h, read)]
            if not series:
                continue
            rate = _base_rate(runs, side)
            lines = [Reference("base rate", rate)] if rate is not None and key == "precision" else []
            base = f"base rate (share of negatives that are false): {percent(rate, 2)} %; " if rate is not None else ""
            title = _side_title(measure, side, sides)
            chart = line_chart(
                series,
                title=f"{title} of the dropped negatives over epochs: {name}",
                description=base + _describe(series, lambda y: f"{percent(y)} %"),
                x_label="epoch",
                y_label=measure.lower() if measure != "F1" else measure,
                references=lines,
                y_range=(0.0, 1.0),
            )
            found.append((title, chart))
    return found


def _base_rate(runs: Runs, side: str) -> float | None:
    values = [
        share
        for histories in runs.values()
        for epochs in histories
        for epoch in epochs
        if (share := (epoch.get("detection") or {}).get(side, {}).get("true_share")) is not None
    ]
    return sum(values) / len(values) if values else None
