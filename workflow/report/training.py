"""Sections "Learning curves" and "Costs": what trainings recorded, and what they took."""

from __future__ import annotations

import math
from statistics import median

from markupsafe import Markup

from workflow.report import figures
from workflow.report.names import NOTHING
from workflow.report.parts import Cell, Section, beside, plot, table
from workflow.report.read import Results, Trial

__all__ = ["costs", "training"]


def training(results: Results) -> Section:
    """Learning curves of each trial."""
    parts: list[str] = [
        "Lines: mean over seeds; shade: from the lowest seed to the highest. A detector that drops negatives minimises "
        "another loss, so loss curves show convergence, not quality. A click on a name hides its line."
    ]
    for trial in results.trials:
        finished = {label: runs for label in trial.detectors if (runs := trial.trained(label))}
        histories = {trial.name(label): [run["epochs"] for run in runs] for label, runs in finished.items()}
        looks = {trial.name(label): results.looks[label] for label in finished}
        plots = [plot(title, figure) for title, figure in figures.training(histories, looks).values()]
        parts += [trial.heading, beside(*plots, narrow=True)] if plots else []
    return Section("training", "Learning curves", parts)


def costs(results: Results) -> Section:
    """Time and memory of each detector's training."""
    note = (
        "Medians over seeds, and how much more that is than without a detector. The training of one seed includes the "
        "epochs that detectors share; in the last epoch each is at work. State: thresholds and running means that "
        "detector and objective keep of every sample. Runs that share a machine disturb each other's times."
    )
    return Section("costs", "Costs", [note, beside(*map(_costs, results.trials), narrow=True)])


_COSTS = {
    "training of one seed, s": ",.1f",
    "last epoch, s": ",.2f",
    "state per sample, bytes": ",.0f",
    "peak memory, MiB": ",.0f",
}


def _costs(trial: Trial) -> Markup:
    found = {label: numbers for label in trial.detectors if (numbers := _numbers(trial, label))}
    rows = []
    for label, numbers in found.items():
        cells = [Cell(trial.name(label))]
        for form, value, base in zip(_COSTS.values(), numbers, found.get(trial.reference, numbers), strict=True):
            more = f"{100 * (value / base - 1):+.0f} %" if base not in (0, value) else ""
            text = Markup("{}<small>{}</small>").format(f"{value:{form}}", more)
            cells.append(Cell(NOTHING if math.isnan(value) else text, value))
        rows.append(cells)
    return table(f"{trial.experiment}, {trial.objective}", ["detector", *_COSTS], rows)


def _numbers(trial: Trial, label: str) -> list[float]:
    """The costs of one detector, in the order of `_COSTS`; none before a training has ended."""
    if not (finished := trial.trained(label)):
        return []
    seconds = [[float(epoch.get("seconds", math.nan)) for epoch in run["epochs"]] for run in finished]
    memory = [float((run.get("provenance") or {}).get("peak_memory_mb") or math.nan) for run in finished]
    state = [float(run["training"].get("state_bytes_per_sample", math.nan)) for run in finished]
    return [median(map(sum, seconds)), median(each[-1] for each in seconds), median(state), median(memory)]
