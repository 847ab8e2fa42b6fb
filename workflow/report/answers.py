"""The answer in words, made from the numbers alone: it turns when they turn, and it says what cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluation.significance import sentence
from workflow.report.comparisons import Effect, Table, headline
from workflow.report.formats import column_name, interval, p_text, percent, points
from workflow.report.inputs import Results

__all__ = ["Answer", "OracleShare", "answers", "limits"]

METHOD = "glofnd"

VERDICTS = {
    "better": ("▲", "Helps"),
    "worse": ("▼", "Hurts"),
    "mixed": ("◆", "Helps and hurts"),
    "open": ("●", "No significant difference"),
    "untested": ("○", "Not tested"),
}


@dataclass(frozen=True)
class OracleShare:
    """One headline comparison: the oracle's effect, and the part of it each detector gets (`None`: not meaningful)."""

    column: str
    oracle: Effect
    shares: dict[str, float | None]


@dataclass(frozen=True)
class Answer:
    """What is said about one experiment and objective; `verdict` is a key of `VERDICTS`."""

    experiment: str
    objective: str
    verdict: str
    sentences: list[str]
    oracle: list[OracleShare] = field(default_factory=list)
    detectors: list[str] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        """Sign of the verdict, so that it does not rest on colour."""
        return VERDICTS[self.verdict][0]

    @property
    def word(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict][1]


@dataclass(frozen=True)
class _Comparison:
    name: str
    effect: Effect

    @property
    def text(self) -> str:
        e = self.effect
        return (
            f"{points(e.difference)} points at {self.name} "
            f"(95 % CI {interval(e.low, e.high)}, Holm p {p_text(e.p_holm)})"
        )


def answers(results: Results, found: Sequence[Table]) -> list[Answer]:
    """One answer per experiment and objective, in the order of the config."""
    chosen = list(headline(results, found))
    given = []
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            here = [(t, numbers) for t, numbers in chosen if (t.experiment, t.objective) == (experiment, objective)]
            given.append(_answer(results, experiment, objective, here))
    return given


def _answer(results: Results, experiment: str, objective: str, here: list[tuple[Table, list[int]]]) -> Answer:
    detectors = list(results.config["experiments"][experiment]["detectors"])
    ours = [d for d in detectors if results.method(experiment, d) == METHOD]
    oracle = next((d for d in detectors if results.method(experiment, d) == "oracle"), None)
    sentences, verdicts = [], []
    for label in ours:
        text, verdict = _judgement(label, results.reference, _comparisons(here, label))
        sentences.append(text)
        verdicts.append(verdict)
    rivals = [d for d in detectors if d not in (oracle, results.reference)]
    shares = _oracle_shares(here, oracle, rivals) if oracle else []
    if oracle:
        sentences.append(_oracle_sentence(oracle, ours, shares))
    sentences += _false_negatives(results, experiment, objective)
    verdict = verdicts[0] if verdicts else "untested"
    return Answer(experiment, objective, verdict, sentences, shares, rivals)


def _comparisons(here: list[tuple[Table, list[int]]], label: str) -> list[_Comparison]:
    found = []
    for table, numbers in here:
        row = table.row(label)
        for number in numbers:
            cell = row.cells[number] if row else None
            if cell and cell.effect:
                column = table.columns[number]
                name = column_name(table.evaluation, column.dataset, column.split, column.metric, column.fraction)
                found.append(_Comparison(name, cell.effect))
    return found


def _judgement(label: str, reference: str, compared: list[_Comparison]) -> tuple[str, str]:
    """One sentence about a detector with its best and its worst comparison, and the verdict over all of them."""
    if not compared:
        return f"{label} is not compared with {reference}: results or tests are missing (see below).", "untested"
    better = [c for c in compared if c.effect.verdict == "better"]
    worse = [c for c in compared if c.effect.verdict == "worse"]
    total = len(compared)
    if better and worse:
        verdict, claim = "mixed", f"{label} is better than {reference} in {len(better)} and worse in {len(worse)}"
    elif better:
        verdict, claim = "better", f"{label} is better than {reference} in {len(better)}"
    elif worse:
        verdict, claim = "worse", f"{label} is worse than {reference} in {len(worse)}"
    else:
        verdict, claim = "open", f"{label} is not significantly better or worse than {reference} in any"
    claim += f" of {total} headline comparison{'s' if total > 1 else ''} after Holm's correction"
    ordered = sorted(compared, key=lambda c: c.effect.difference)
    if total == 1:
        return f"{claim}: {ordered[0].text}.", verdict
    return f"{claim}: from {ordered[0].text} to {ordered[-1].text}.", verdict


def _oracle_shares(here: list[tuple[Table, list[int]]], oracle: str, rivals: list[str]) -> list[OracleShare]:
    """A share is given only where the oracle's own gain has an interval above zero; a ratio to noise says nothing."""
    other = {label: {c.name: c.effect for c in _comparisons(here, label)} for label in rivals}
    return [
        OracleShare(
            bound.name,
            bound.effect,
            {
                label: effects[bound.name].difference / bound.effect.difference
                if bound.effect.low > 0 and bound.name in effects
                else None
                for label, effects in other.items()
            },
        )
        for bound in _comparisons(here, oracle)
    ]


def _oracle_sentence(oracle: str, ours: list[str], shares: list[OracleShare]) -> str:
    if not shares:
        return "The oracle, which knows the labels, has no result to compare with yet."
    clear = [s for s in shares if s.oracle.low > 0]
    ordered = sorted(shares, key=lambda s: s.oracle.difference)
    low, high = ordered[0], ordered[-1]
    spread = f"{points(low.oracle.difference)} points at {low.column}"
    if len(shares) > 1:
        spread = f"{spread} to {points(high.oracle.difference)} points at {high.column}"
    if not clear:
        return (
            f"Dropping exactly the true false negatives ({oracle}) changes {spread}, but no interval lies above zero: "
            "there is no proven gain to take a share of."
        )
    text = f"Dropping exactly the true false negatives ({oracle}, an upper bound that uses labels) gains {spread}"
    if len(clear) < len(shares):
        text += f" (interval above zero in {len(clear)} of {len(shares)})"
    for label in ours:
        part = [s.shares[label] for s in clear if s.shares.get(label) is not None]
        known = sorted(100 * share for share in part if share is not None)
        if known:
            ends = [f"{value:.0f}".replace("-", "\N{MINUS SIGN}") for value in (known[0], known[-1])]
            text += f"; {label} gets {ends[0]} %" + (f" to {ends[1]} %" if ends[0] != ends[1] else "") + " of that"
    return f"{text}."


def _false_negatives(results: Results, experiment: str, objective: str) -> list[str]:
    """How many negatives are false by the labels, from the training histories (the same for all detectors)."""
    found: dict[str, list[float]] = {}
    for run in results.grid.runs.values():
        if (run.experiment, run.objective) != (experiment, objective):
            continue
        for epoch in results.histories.get(run.id, []):
            for side, values in epoch.get("detection", {}).items():
                if values.get("true_share") is not None:
                    found.setdefault(side, []).append(values["true_share"])
    label = results.config["experiments"][experiment].get("label", "label")
    means = {side: sum(values) / len(values) for side, values in found.items()}
    if not means:
        return []
    if len({round(mean, 4) for mean in means.values()}) == 1:
        return [f"{percent(next(iter(means.values())), 2)} % of all negatives in the data are false (same {label})."]
    sides = ", ".join(f"{percent(mean, 2)} % for {side} anchors" for side, mean in means.items())
    return [f"Of all negatives in the data these are false (same {label}): {sides}."]


def limits(results: Results) -> str:
    """What this number of seeds can show at all, over the whole family of tests."""
    frame = results.significance
    if frame.empty:
        return f"With {len(results.config['seeds'])} seed(s) and no tests, nothing here is a proven difference."
    return sentence(int(frame["n"].max()), len(frame))
