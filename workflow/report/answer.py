"""Section "The answer": what the tests allow to say, in words, with one plot and one table per trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, median, stdev
from typing import NamedTuple

from markupsafe import Markup

from workflow.report.figures import differences
from workflow.report.names import METHODS, NOTHING, p_text, percent, points
from workflow.report.parts import Cell, Section, beside, plot, table
from workflow.report.read import Results, Row, Trial

__all__ = ["answer", "headline"]

TERMS = (
    ("anchor", "the sample whose turn it is: contrastive learning pushes it away from all others, its negatives"),
    ("false negative", "a negative that means the same as the anchor, which here is to have the same label"),
    ("alpha", "the share of all negatives that a detector drops as false, set beforehand"),
)


class Compared(NamedTuple):
    """One primary comparison with the reference, as in `row` of significance.csv.

    `gain` is the difference, positive where the detector is better, and `low` the lower end of its interval; `told`:
    from zero, after Holm's correction.
    """

    task: str
    row: Row
    gain: float
    low: float
    told: bool


def compared(trial: Trial, label: str) -> list[Compared]:
    """The primary comparisons of one detector with the reference that have a corrected p-value."""
    found, tests = [], trial.tests()
    for task in trial.primary:
        row = tests.get((task, label))
        if row is not None and not math.isnan(row["p_holm"]):
            up = trial.about[task]["higher_is_better"]
            gain, low = (row["difference"], row["ci_low"]) if up else (-row["difference"], -row["ci_high"])
            found.append(Compared(task, row, gain, low, row["p_holm"] < trial.results.level))
    return found


def headline(trial: Trial) -> str:
    """The answer of one trial, no stronger than its corrected tests."""
    said, tested, helped = list[str](), False, False
    for label in (*trial.judged, *trial.oracles):
        if tests := compared(trial, label):
            better = sum(one.told and one.gain > 0 for one in tests)
            worse = sum(one.told and one.gain < 0 for one in tests)
            hurts = f" (hurts in {worse})" if worse else ""
            said.append(f"{trial.name(label)}{'' if said else ' helps'} in {better} of {len(tests)}{hurts}")
            tested |= label in trial.judged
            helped |= label in trial.judged and better > 0
    if not tested:
        return "Not tested: every difference is zero, or results are missing."
    return f"{'' if helped else 'No help shown: '}{', '.join(said)} comparisons."


def answer(results: Results) -> Section:
    """The verdict of every trial, the terms, and for each trial its plot, its table and at most three paragraphs."""
    box = Markup('<div class="verdict"><h3>{} <small>{}</small></h3><p>{}</p></div>')
    boxes = [box.format(trial.experiment, trial.objective, headline(trial)) for trial in results.trials]
    methods = dict.fromkeys(trial.method(label) for trial in results.trials for label in trial.labels)
    terms = [*TERMS, *(METHODS[method] for method in methods if method in METHODS)]
    items = Markup("").join(Markup("<div><dt>{}</dt>: <dd>{}.</dd></div>").format(*term) for term in terms)
    note = (
        f"A comparison is one primary task against training with all negatives, over {len(results.config['seeds'])} "
        f"seeds; it counts where p < {results.level:.2g} after Holm's correction over all detectors of an experiment. "
        "The oracle's are corrected by themselves."
    )
    parts: list[str] = [beside(*boxes, narrow=True), note, Markup("<dl>{}</dl>").format(items)]
    for trial in results.trials:
        tests, reference = trial.tests(), trial.name(trial.reference)
        rows = [tests[task, label] for task in trial.primary for label in trial.detectors if (task, label) in tests]
        names = {label: trial.name(label) for label in trial.detectors}
        title = f"Differences to {reference}, with {100 * results.settings['confidence']:g} % intervals"
        shown = [plot(title, differences(rows, names, results.looks, reference))] if rows else []
        shown.append(_table(trial))
        # A table of many tasks needs the whole width.
        parts += [trial.heading, *([beside(*shown)] if len(trial.primary) < 5 else shown)]
        parts += [text for text in (_oracle(trial), _rivals(trial), _caution(trial)) if text]
    return Section("answer", "The answer", parts)


def _table(trial: Trial) -> Markup:
    """Detectors and baselines against the primary tasks: mean, spread over seeds, difference to the reference."""
    tests = {(label, one.task): one for label in trial.detectors for one in compared(trial, label)}
    rows = []
    for label in trial.labels:
        cells = [_cell(trial, task, label, tests.get((label, task))) for task in trial.primary]
        if any(cell.text != NOTHING for cell in cells):
            rows.append([Cell(trial.name(label)), *cells])
    chances = [float(trial.about[task]["chance"]) for task in trial.primary]
    rows.append([Cell("chance"), *(Cell(percent(chance), chance) for chance in chances)])
    note = (
        f"Percent, mean ± standard deviation over seeds; below it the difference to {trial.name(trial.reference)} in "
        "points, ▲ ▼ where it counts. The best without labels is bold. A click on a heading sorts."
    )
    return table("Primary tasks", ["detector", *trial.primary], rows, note)


def _cell(trial: Trial, task: str, label: str, one: Compared | None) -> Cell:
    sign = 1 if trial.about[task]["higher_is_better"] else -1
    means = {name: fmean(values.values()) for name, values in trial.scores[task].items()}
    if label not in means:
        return Cell(NOTHING, math.nan)
    values = trial.scores[task][label].values()
    text = percent(means[label]) + (f" ± {percent(stdev(values))}" if len(values) > 1 else "")
    if one:
        mark = ("▲" if one.gain > 0 else "▼") if one.told else ""
        more = Markup('{}<small title="Holm p {}">{} {}</small>')
        text = more.format(text, p_text(one.row["p_holm"]), mark, points(one.row["difference"]))
    best = max((name for name in means if name not in trial.oracles), key=lambda name: sign * means[name])
    return Cell(text, means[label], label == best)


def _oracle(trial: Trial) -> str:
    """What could be gained, and the share of it that detectors get where the interval of that gain is above zero."""
    said = []
    for label in trial.oracles:
        if tests := compared(trial, label):
            gains = {one.task: one.gain for one in tests if one.low > 0}
            said.append(
                f"The {trial.name(label)} gains {_span(points, [one.gain for one in tests])} points; the interval is "
                f"above zero in {len(gains)} of {len(tests)} comparisons."
            )
            parts = []
            for judged in trial.judged:
                if shares := [one.gain / gains[one.task] for one in compared(trial, judged) if one.task in gains]:
                    parts.append(f"{trial.name(judged)} gets {_span(lambda share: percent(share, 0), shares)} %")
            said.append(
                f"Of these gains {', '.join(parts)}." if parts else "" if gains else "No share of it is stated."
            )
    return " ".join(said)


def _span(show: Callable[[float], str], values: list[float]) -> str:
    return " to ".join(dict.fromkeys(show(pick(values)) for pick in (min, max)))


def _rivals(trial: Trial) -> str:
    """The first judged detector against each of the others, which no correction covers."""
    said = []
    for other in trial.judged[1:]:
        rows = [row for (_, label), row in trial.tests(other).items() if label == trial.judged[0]]
        if rows:
            below = sum(row["p_value"] < trial.results.level for row in rows)
            span = _span(points, [row["difference"] for row in rows])
            said.append(f"{trial.name(other)} {span} (p < {trial.results.level:.2g} in {below} of {len(rows)})")
    return f"{trial.name(trial.judged[0])} minus others, in points, uncorrected: {', '.join(said)}." if said else ""


def _caution(trial: Trial) -> str:
    """False negatives in the data, what so few seeds cannot show, and untrained baselines that are as good."""
    said = []
    if rates := [rate for seeds in trial.discovered.get("base_rate", {}).values() for rate in seeds.values()]:
        said.append(f"{percent(fmean(rates), 2)} % of all negatives are false (same {trial.settings['label']}).")
    if trial.unlabelled:
        said.append("The pictures are unlabelled: which negatives are false is not known.")
    rows = [one.row for label in trial.judged for one in compared(trial, label)]
    if widths := [(row["ci_high"] - row["ci_low"]) / 2 for row in rows if row["ci_high"] > row["ci_low"]]:
        said.append(
            f"{max(row['n'] for row in rows)} seeds cannot detect differences below {100 * median(widths):.1f} points "
            "even in a single uncorrected test (median over the comparisons): what is not shown may still be there."
        )
    for label in trial.settings["baselines"]:
        scores = [s for task in trial.primary if {label, trial.reference} <= (s := trial.scores[task]).keys()]
        # A baseline has one seed.
        if as_good := sum(all(value >= s[trial.reference][seed] for seed, value in s[label].items()) for s in scores):
            said.append(
                f"Caution: {trial.name(label)}, never trained, is at least as good as {trial.name(trial.reference)} in "
                f"{as_good} of {len(scores)} tasks."
            )
    return " ".join(said)
