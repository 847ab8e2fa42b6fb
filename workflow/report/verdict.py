"""Section "The answer": what the tests allow to say, in words, with one plot and one table per trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from markupsafe import Markup, escape

from workflow.report.figures import Look, differences, looks
from workflow.report.parts import Beside, Cell, Part, Plot, Section, Table
from workflow.report.read import Results, Trial
from workflow.report.wording import DETECTORS, TERMS, p_text, percent, points

__all__ = ["Verdict", "answer", "headline", "looks_of", "verdicts"]


def looks_of(results: Results) -> dict[str, Look]:
    """Look of every detector label in the benchmark."""
    return looks({label: trial.method(label) for trial in results.trials for label in trial.detectors})


@dataclass(frozen=True)
class Verdict:
    """Primary comparisons of one detector with the reference: how many there are, and are significant after Holm."""

    name: str
    better: int
    worse: int
    total: int

    @property
    def word(self) -> str:
        """One of helps, hurts, helps in part, hurts in part, mixed, open; `helps` takes more than half of them."""
        if self.better and self.worse:
            return "mixed"
        if not self.better and not self.worse:
            return "open"
        word = "helps" if self.better else "hurts"
        return word if self.better + self.worse > self.total / 2 else f"{word} in part"

    def __str__(self) -> str:
        worse = f", worse in {self.worse}" if self.worse else ""
        return f"{self.name} better in {self.better}{worse} of {self.total}"


@dataclass(frozen=True)
class _Compared:
    """One primary comparison with the reference; `gain` is the difference, positive where the detector is better."""

    task: str
    row: dict[str, Any]
    gain: float
    shown: bool


def _compared(trial: Trial, label: str) -> list[_Compared]:
    """The primary comparisons of one detector with the reference, from the largest loss to the largest gain."""
    found, tests = [], trial.tests()
    for task in trial.primary:
        row = tests.get((task, label))
        if row is not None and not math.isnan(row["p_holm"]):
            gain = row["difference"] if trial.about[task]["higher_is_better"] else -row["difference"]
            found.append(_Compared(task, row, gain, row["p_holm"] < trial.results.level))
    return sorted(found, key=lambda one: one.gain)


def verdicts(trial: Trial, labels: Sequence[str]) -> list[Verdict]:
    """One for each label that was compared."""
    found = []
    for label in labels:
        compared = _compared(trial, label)
        shown = [one.gain > 0 for one in compared if one.shown]
        if compared:
            found.append(Verdict(trial.name(label), sum(shown), len(shown) - sum(shown), len(compared)))
    return found


def headline(trial: Trial) -> str:
    """The answer of one trial, no stronger than its tests."""
    judged, bound = verdicts(trial, trial.judged), verdicts(trial, trial.oracles)
    reference = trial.name(trial.reference)
    if not judged:
        return "Not tested: results or tests are missing."
    for start, words in (
        ("Yes", {"helps"}),
        ("In part", {"helps in part", "mixed"}),
        ("No gain shown", {"hurts", "hurts in part"}),
    ):
        if chosen := [verdict for verdict in judged if verdict.word in words]:
            return f"{start}: {'; '.join(map(str, chosen))} primary comparisons with {reference}."
    if bound and not any(verdict.better for verdict in bound):
        return f"Undecided: no detector is told from {reference}, and not even the oracle is."
    return f"Not shown: no detector is told from {reference}{', though the oracle gains' if bound else ''}."


def answer(results: Results) -> Section:
    """The verdict of every trial, and for each its plot, its table and at most three short paragraphs."""
    head = Markup('<div class="verdict"><h3>{} <small>{}</small></h3><p>{}</p></div>')
    heads = [head.format(trial.experiment, trial.objective, headline(trial)) for trial in results.trials]
    parts: list[Part] = [Markup('<p class="lead">{}</p>').format(TERMS), Beside(heads, narrow=True)]
    for trial in results.trials:
        parts.append(Markup("<h3>{} <small>{}</small></h3>").format(trial.experiment, trial.objective))
        tests = trial.tests()
        rows = [tests[task, label] for task in trial.primary for label in trial.detectors if (task, label) in tests]
        reference = trial.name(trial.reference)
        names = {label: trial.name(label) for label in trial.detectors}
        title = f"Paired differences to {reference}, with {results.confidence} intervals"
        plots = [Plot(title, differences(rows, names, looks_of(results), reference))] if rows else []
        parts.append(Beside([*plots, primary_table(trial)]))
        parts += [text for text in (_oracle(trial), _rivals(trial), _limits(trial)) if text]
    return Section("answer", "The answer", [*parts, _who_is_who(results)])


def _who_is_who(results: Results) -> Markup:
    """One sentence about every method in the benchmark."""
    methods = dict.fromkeys(trial.method(label) for trial in results.trials for label in trial.labels)
    items = [Markup("<div><dt>{}</dt>: <dd>{}</dd></div>").format(*DETECTORS[m]) for m in methods if m in DETECTORS]
    return Markup('<dl class="who">{}</dl>').format(Markup("").join(items))


def primary_table(trial: Trial) -> Table:
    """Detectors and baselines against the primary tasks: mean, spread over seeds, difference to the reference."""
    tests = {(one.task, label): one for label in trial.detectors for one in _compared(trial, label)}
    rows = []
    for label in trial.labels:
        cells = [_cell(trial, task, label, tests.get((task, label))) for task in trial.primary]
        if any(cell.sort == cell.sort for cell in cells):
            rows.append([Cell(trial.bold(label), trial.name(label)), *cells])
    chances = [float(trial.about[task]["chance"]) for task in trial.primary]
    rows.append([Cell("chance", "chance"), *(Cell(percent(chance), chance) for chance in chances)])
    seeds = max((len(values) for task in trial.primary for values in trial.scores[task].values()), default=0)
    note = (
        f"Percent, mean ± standard deviation of {seeds} seeds; below it the difference to "
        f"{trial.name(trial.reference)} in points, ▲ ▼ where significant after Holm's correction. The best without "
        "labels is bold. A click on a heading sorts."
    )
    return Table("Primary tasks", ["detector", *trial.primary], rows, note)


def _cell(trial: Trial, task: str, label: str, compared: _Compared | None) -> Cell:
    scores = trial.scores[task]
    if label not in scores:
        return Cell("\N{EN DASH}", math.nan)
    means = {name: fmean(values.values()) for name, values in scores.items()}
    values = list(scores[label].values())
    text = escape(percent(means[label]) + (f" ± {percent(stdev(values))}" if len(values) > 1 else ""))
    if compared:
        mark = ("▲" if compared.gain > 0 else "▼") if compared.shown else ""
        more = Markup('<small title="Holm p {}">{} {}</small>')
        text += more.format(p_text(compared.row["p_holm"]), mark, points(compared.row["difference"]))
    sign = 1 if trial.about[task]["higher_is_better"] else -1
    rivals = [sign * mean for name, mean in means.items() if name not in trial.oracles]
    return Cell(text, means[label], label not in trial.oracles and sign * means[label] >= max(rivals) - 1e-9)


def _rivals(trial: Trial) -> str:
    """The first judged detector against each of the others, which no correction covers."""
    said = []
    for other in trial.judged[1:]:
        first = trial.judged[0]
        pair = [row for (_, label), row in trial.tests(other).items() if label == first]
        if pair:
            below = sum(row["p_value"] < trial.results.level for row in pair)
            said.append(f"{trial.name(other)} {_range([row['difference'] for row in pair])} ({below} of {len(pair)})")
    if not said:
        return ""
    return (
        f"{trial.name(trial.judged[0])} against the others, in points, and in how many comparisons p < "
        f"{trial.results.level:.2g} without correction: {', '.join(said)}."
    )


def _range(differences: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(points(pick(differences)) for pick in (min, max)))


def _oracle(trial: Trial) -> str:
    """What could be gained, and which part of it detectors get where the gain itself is significant."""
    said = []
    for label in trial.oracles:
        compared = _compared(trial, label)
        if not compared:
            continue
        gains = {one.task: one.gain for one in compared if one.shown and one.gain > 0}
        said.append(
            f"The {trial.name(label)} changes scores by {_range([one.row['difference'] for one in compared])} points "
            f"and gains significantly in {len(gains)} of {len(compared)} comparisons."
        )
        parts = []
        for judged in trial.judged:
            shares = sorted(one.gain / gains[one.task] for one in _compared(trial, judged) if one.task in gains)
            if shares:
                ends = dict.fromkeys(percent(share, 0) for share in (shares[0], shares[-1]))
                parts.append(f"{trial.name(judged)} gets {' to '.join(ends)} %")
        said += [f"Of these gains {', '.join(parts)}."] if parts else []
        if not gains:
            said.append("Its gain is not told from zero, so no share of it is stated.")
    return " ".join(said)


def _limits(trial: Trial) -> str:
    """False negatives in the data, what so few seeds cannot show, and untrained baselines that are as good."""
    said = []
    if rates := [rate for seeds in trial.discovered.get("base_rate", {}).values() for rate in seeds.values()]:
        said.append(f"{percent(fmean(rates), 2)} % of all negatives are false (same {trial.settings['label']}).")
    rows = [one.row for label in trial.judged for one in _compared(trial, label)]
    widths = [(row["ci_high"] - row["ci_low"]) / 2 for row in rows if row["ci_high"] > row["ci_low"]]
    if widths:
        said.append(
            f"{max(row['n'] for row in rows)} seeds cannot detect differences below {100 * median(widths):.1f} points "
            "even in a single uncorrected test (median over the comparisons): what is not shown may still be there."
        )
    for label in trial.settings["baselines"]:
        pairs = [
            (s[label], s[trial.reference])
            for t in trial.primary
            if {label, trial.reference} <= (s := trial.scores[t]).keys()
        ]
        beaten = sum(fmean(own.values()) >= fmean(trained.values()) for own, trained in pairs)
        if beaten:
            said.append(
                f"Caution: {trial.name(label)}, never trained, is at least as good as {trial.name(trial.reference)} in "
                f"{beaten} of {len(pairs)} tasks."
            )
    return " ".join(said)
