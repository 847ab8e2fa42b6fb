"""Sections of numbers: learning curves, discovery, costs, and every value with its tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import fmean, median, stdev
from typing import Any

from markupsafe import Markup

from workflow.report import figures
from workflow.report.parts import Beside, Cell, Fold, Part, Plot, Section, Table
from workflow.report.read import Results, Trial
from workflow.report.verdict import looks_of
from workflow.report.wording import NOTHING, duration, interval, p_text, percent, points

__all__ = ["costs", "discovery", "every_number", "training"]


def _heading(trial: Trial, more: str = "") -> Markup:
    return Markup("<h3>{}{} <small>{}</small></h3>").format(trial.experiment, more, trial.objective)


def training(results: Results) -> Section:
    """Learning curves of each trial."""
    parts: list[Part] = [
        "Thick lines: mean over seeds; thin lines: single seeds. A detector that drops negatives minimises another "
        "loss, so loss curves show convergence, not quality. A click on a name hides its line."
    ]
    styles = looks_of(results)
    for trial in results.trials:
        histories = {
            trial.name(label): runs
            for label in trial.detectors
            if (runs := [results.histories[run.id] for run in trial.runs(label) if run.id in results.histories])
        }
        drawn = figures.training(histories, {trial.name(label): styles[label] for label in trial.detectors})
        if drawn:
            plots = [Plot(title, figure) for title, figure in drawn.values()]
            parts += [_heading(trial), Beside(plots, narrow=True)]
    return Section("training", "Learning curves", parts)


_DISCOVERY = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "dropped_share": "share dropped",
    "base_rate": "false negatives",
    "threshold_error": "threshold error, cosine",
}


def discovery(results: Results) -> Section:
    """Who the final detectors drop, against the labels: one table and one plot per trial and side."""
    parts: list[Part] = [
        "What the trained detectors drop in the batches of one more epoch, with the weights at rest. Precision, recall "
        "and F1 are pooled over all pairs; what is not defined (a detector that drops nothing has no precision) is "
        "left out, never counted as 1. A baseline drops what lies above each anchor's exact quantile. The threshold "
        "error is the distance of the thresholds from the exact quantile over the whole data set."
    ]
    for trial in results.trials:
        prefixes = [prefix for prefix in ("", "text_") if f"{prefix}f1" in trial.discovered]
        for prefix in prefixes:
            side = f", {'text' if prefix else 'image'} anchors" if len(prefixes) > 1 else ""
            parts += [_heading(trial, side), Beside(list(_discovered(trial, prefix)))]
    return Section("discovery", "Discovery: what was dropped, against the labels", parts)


def _discovered(trial: Trial, prefix: str) -> Iterator[Part]:
    found = {metric: trial.discovered.get(prefix + metric, {}) for metric in _DISCOVERY}
    marks = {}
    for label in trial.detectors:
        recall, precision = found["recall"].get(label, {}), found["precision"].get(label, {})
        if pairs := [(recall[seed], precision[seed]) for seed in recall if seed in precision]:
            marks[trial.name(label)] = pairs
    rates = [rate for seeds in found["base_rate"].values() for rate in seeds.values()]
    if marks and rates:
        styles = looks_of(trial.results)
        looks = {trial.name(label): styles[label] for label in trial.detectors}
        yield Plot("Precision and recall, a mark per seed", figures.discovery(marks, fmean(rates), looks))
    rows = []
    for label in trial.labels:
        means = {m: fmean(seeds[label].values()) if label in seeds else math.nan for m, seeds in found.items()}
        if all(map(math.isnan, means.values())):
            continue
        error = means["threshold_error"]
        texts: dict[str, str | Markup] = {m: percent(value) for m, value in means.items()}
        texts["threshold_error"] = NOTHING if math.isnan(error) else f"{error:.3f}"
        alpha = trial.settings["detectors"].get(label, {}).get("alpha")
        if alpha is not None:
            texts["dropped_share"] = Markup("{}<small>alpha {:g}</small>").format(texts["dropped_share"], 100 * alpha)
        rows.append([Cell(trial.bold(label), trial.name(label)), *(Cell(texts[m], means[m]) for m in means)])
    yield Table("Percent, mean over seeds", ["detector", *_DISCOVERY.values()], rows)


def costs(results: Results) -> Section:
    """Time and memory of each detector's training, over seeds."""
    tables = []
    for trial in results.trials:
        rows = []
        for label in trial.detectors:
            runs = [run.id for run in trial.runs(label) if run.id in results.trained]
            made = [results.trained[run].get("provenance") or {} for run in runs]
            # The last epoch: by then every detector has left the part of the training that they share.
            last = [results.histories[run][-1] for run in runs if results.histories[run]]
            numbers = [
                (_median(last, "seconds"), "{:.2f}".format),
                (_median(last, "images_per_second"), "{:,.0f}".format),
                (_median(made, "wall_seconds"), duration),
                (_median(made, "peak_memory_mb"), "{:,.0f}".format),
            ]
            if runs:
                cells = [Cell(NOTHING if math.isnan(value) else show(value), value) for value, show in numbers]
                rows.append([Cell(trial.bold(label), trial.name(label)), *cells])
        headings = ["detector", "seconds, last epoch", "samples per second", "training of one seed", "peak memory, MiB"]
        tables.append(Table(f"{trial.experiment}, {trial.objective}", headings, rows))
    note = "Medians over seeds. The part of the training that detectors share is not in the time of one seed."
    return Section("costs", "Costs", [note, Beside(tables, narrow=True)])


def _median(records: list[dict[str, Any]], key: str) -> float:
    return median([float(record[key]) for record in records if record.get(key) is not None] or [math.nan])


def every_number(results: Results) -> Section:
    """All values outside discovery with their tests, and all primary tasks of a trial together."""
    rows = []
    for trial in results.trials:
        tests = trial.tests()
        for task, scores in trial.scores.items():
            for label in trial.labels:
                if label in scores:
                    head = [Cell(trial.experiment), Cell(task), Cell(trial.bold(label), trial.name(label))]
                    rows.append([*head, *_numbers(list(scores[label].values()), tests.get((task, label), {}))])
    level = f"{results.confidence} interval"
    headings = ["experiment", "task", "detector", "mean ± sd, %", "seeds", "difference, points", f"{level} over seeds"]
    headings += ["p", "Holm p", f"{level} over test samples", "McNemar, Holm p"]
    note = (
        "Difference, interval and p over seeds (paired t-test) ask whether other training runs would show it: the main "
        "test. Interval over test samples and McNemar's test ask whether other test samples would, for the models "
        "trained here. Holm's correction takes the primary comparisons of an experiment together."
    )
    parts: list[Part] = [note, Table("Every value", headings, rows, searchable=True)]
    if results.overall:
        parts.append(Fold("All primary tasks together", [_overall(results)]))
    return Section("numbers", "Every number", parts)


def _numbers(values: list[float], test: Mapping[str, Any]) -> list[Cell]:
    mean = fmean(values)
    cells = [Cell(percent(mean) + (f" ± {percent(stdev(values))}" if len(values) > 1 else ""), mean)]
    cells.append(Cell(str(len(values)), len(values)))

    def cell(show: Any, *keys: str) -> Cell:
        found = [float(test.get(key, math.nan)) for key in keys]
        return Cell(show(*found), found[0])

    return [
        *cells,
        cell(points, "difference"),
        cell(interval, "ci_low", "ci_high"),
        cell(p_text, "p_value"),
        cell(p_text, "p_holm"),
        cell(interval, "sample_low", "sample_high"),
        cell(p_text, "p_mcnemar_holm"),
    ]


def _overall(results: Results) -> Table:
    rows = []
    for trial in results.trials:
        for row in results.overall:
            if (row["experiment"], row["objective"]) != (trial.experiment, trial.objective):
                continue
            cells = [Cell(trial.experiment), Cell(trial.bold(row["detector"]), trial.name(row["detector"]))]
            for name in ("interquartile_mean", "probability_of_improvement"):
                value, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
                text = NOTHING if math.isnan(value) else f"{percent(value)} [{percent(low)}, {percent(high)}]"
                cells.append(Cell(text, value))
            rows.append(cells)
    note = (
        "Mean of the middle half of all scores, and how often a run beats one of the reference (50: no difference), in "
        "percent, with bootstrap intervals over whole runs. Few seeds make these too narrow: no verdict rests on them."
    )
    headings = ["experiment", "detector", "interquartile mean", "probability of improvement"]
    return Table("", headings, rows, note)
