"""The answer in words, made from the numbers alone: it turns when they turn, and it says what cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workflow.report.appearance import Look
from workflow.report.comparisons import headline
from workflow.report.evidence import Evidence
from workflow.report.forest import Forest, forest
from workflow.report.formats import interval, p_text, points
from workflow.report.inputs import GLOFND, Results
from workflow.report.limits import limits, undetectable
from workflow.report.rivals import Rivalry, rivalries
from workflow.report.table import Effect, Table

__all__ = ["Answer", "OracleShare", "answers"]

SYMBOLS = {"better": "▲", "mixed": "◆", "open": "●", "worse": "▼", "untested": "○"}
"""Signs of the verdicts, best first: the card shows the best one among its detectors."""

WORDS = {"better": ("helps", "help"), "mixed": ("helps here, hurts there",) * 2, "worse": ("hurts", "hurt")}
"""What a verdict says about one detector and about several."""


@dataclass(frozen=True)
class OracleShare:
    """One primary comparison: the oracle's effect, and the part of it each detector gets (`None`: not meaningful)."""

    column: str
    oracle: Effect
    shares: dict[str, float | None]


@dataclass(frozen=True)
class Answer:
    """What is said about one experiment and objective; `verdict` is a key of `SYMBOLS`, `word` says it in words."""

    experiment: str
    objective: str
    verdict: str
    word: str
    sentences: list[str]
    limits: str
    plots: list[Forest]
    oracle: list[OracleShare] = field(default_factory=list)
    detectors: list[str] = field(default_factory=list)

    @property
    def shares_known(self) -> bool:
        """Whether any detector's share of the oracle's gain means something."""
        return any(part is not None for one in self.oracle for part in one.shares.values())

    @property
    def symbol(self) -> str:
        """Sign of the verdict, so that it does not rest on colour."""
        return SYMBOLS[self.verdict]


@dataclass(frozen=True)
class _Comparison:
    name: str
    effect: Effect

    def text(self, confidence: float) -> str:
        e = self.effect
        return (
            f"{points(e.difference)} points ({self.name}; uncorrected {100 * confidence:g} % CI "
            f"{interval(e.low, e.high)}, Holm p {p_text(e.p_holm)})"
        )


Chosen = list[tuple[Table, list[int]]]


def answers(
    results: Results, found: Sequence[Table], looks: dict[str, Look], proofs: Sequence[Evidence]
) -> list[Answer]:
    """One answer per experiment and objective, in the order of the config."""
    chosen = list(headline(results, found))
    pairs = rivalries(results, found)
    given = []
    for experiment, settings in results.config["experiments"].items():
        for objective in settings["objectives"]:
            here = [(t, numbers) for t, numbers in chosen if (t.experiment, t.objective) == (experiment, objective)]
            mine = [proof for proof in proofs if (proof.experiment, proof.objective) == (experiment, objective)]
            given.append(_answer(results, experiment, objective, here, looks, pairs, mine))
    return given


def _answer(
    results: Results,
    experiment: str,
    objective: str,
    here: Chosen,
    looks: dict[str, Look],
    pairs: Sequence[Rivalry],
    proofs: Sequence[Evidence],
) -> Answer:
    detectors = results.detectors(experiment)
    oracle = next((d for d in detectors if results.method(experiment, d) == "oracle"), None)
    names = {label: _said(results, experiment, label) for label in results.judged(experiment)}
    verdicts, sentences = {}, []
    for label, name in names.items():
        text, verdicts[name] = _judgement(results, name, _comparisons(here, label))
        sentences.append(text)
    if "open" in verdicts.values():
        sentences += undetectable(results, experiment, [c.effect for label in names for c in _comparisons(here, label)])
    sentences += _samples(results, names, proofs)
    sentences += _between(results, names, [r for r in pairs if (r.experiment, r.objective) == (experiment, objective)])
    shares = _oracle_shares(here, oracle, list(names)) if oracle else []
    if oracle:
        sentences.append(_oracle_sentence(oracle, names, shares, f"{100 * results.confidence:g} %"))
    sentences += _caution(here, names)
    sentences += _false_negatives(results, experiment, objective)
    verdict, word = _badge(verdicts)
    return Answer(
        experiment,
        objective,
        verdict,
        word,
        sentences,
        limits(results, experiment),
        [plot for table, numbers in here if (plot := forest(table, looks, numbers))],
        shares,
        list(names),
    )


def _badge(verdicts: dict[str, str]) -> tuple[str, str]:
    """The best verdict among the detectors, in words that say whose it is where it is not that of all."""
    found = min(verdicts.values(), key=list(SYMBOLS).index, default="untested")
    if found == "untested":
        return found, "Not tested"
    if found == "open":
        return found, "No gain detected" if "worse" in verdicts.values() else "No difference detected"
    named = [name for name, verdict in verdicts.items() if verdict == found]
    text = WORDS[found][len(named) > 1]
    return found, f"{' and '.join(named)} {text}" if len(verdicts) > 1 else text.capitalize()


def _between(results: Results, names: dict[str, str], pairs: Sequence[Rivalry]) -> list[str]:
    """One sentence for each pair of detectors that were compared with each other."""
    level, found = f"{1 - results.confidence:.2g}".removeprefix("0"), []
    for pair in pairs:
        differences = [effect.difference for _, effect in pair.compared]
        below = sum(effect.p < 1 - results.confidence for _, effect in pair.compared)
        found.append(
            f"{names[pair.first]} \N{MINUS SIGN} {names[pair.second]}: from {points(min(differences))} to "
            f"{points(max(differences))} points over {len(differences)} comparison{'s' if len(differences) > 1 else ''}"
            f", uncorrected p < {level} in {below}."
        )
    return found


def _samples(results: Results, names: dict[str, str], proofs: Sequence[Evidence]) -> list[str]:
    """Where only the trained models are shown to differ: more training runs could decide, more test samples not."""
    found = [
        f"{names[proof.detector]} in {proof.only_these_models} of {len(proof.lines)}"
        for proof in proofs
        if proof.detector in names and proof.only_these_models
    ]
    if not found:
        return []
    return [
        f"Where training runs leave it open, the trained models at hand do differ from those of {results.reference} on "
        f"other test samples too ({', '.join(found)} primary comparisons; McNemar's test, Holm's correction): there "
        "more training runs are what is missing, not more test samples."
    ]


def _comparisons(here: Chosen, label: str) -> list[_Comparison]:
    found = []
    for table, numbers in here:
        row = table.row(label)
        for number in numbers:
            cell = row.cells[number] if row else None
            if cell and cell.effect:
                found.append(_Comparison(table.name(number), cell.effect))
    return found


def _said(results: Results, experiment: str, label: str) -> str:
    """A detector in a sentence: its label; GloFND by its name, and by its label too where that is another."""
    if results.method(experiment, label) != GLOFND:
        return label
    return "GloFND" if label == GLOFND else f"GloFND ({label})"


def _judgement(results: Results, name: str, compared: list[_Comparison]) -> tuple[str, str]:
    """One sentence about a detector with its best and its worst comparison, and the verdict over all of them."""
    reference = results.reference
    if not compared:
        return f"{name} is not compared with {reference}: results or tests are missing.", "untested"
    better = sum(c.effect.verdict == "better" for c in compared)
    worse = sum(c.effect.verdict == "worse" for c in compared)
    total = f"{len(compared)} primary comparison{'s' if len(compared) > 1 else ''}"
    if better and worse:
        verdict, claim = "mixed", f"{name} is better than {reference} in {better} and worse in {worse} of {total}"
    elif better:
        verdict, claim = "better", f"{name} is better than {reference} in {better} of {total} and worse in none"
    elif worse:
        verdict, claim = "worse", f"{name} is worse than {reference} in {worse} of {total} and better in none"
    else:
        verdict, claim = "open", f"{name} is not significantly better or worse than {reference} in any of {total}"
    claim += " (paired t-test, Holm's correction)"
    ordered = sorted(compared, key=lambda c: c.effect.difference)
    least, most = (c.text(results.confidence) for c in (ordered[0], ordered[-1]))
    ends = least if len(ordered) == 1 else f"from {least} to {most}"
    return f"{claim}: {ends}.", verdict


def _oracle_shares(here: Chosen, oracle: str, rivals: list[str]) -> list[OracleShare]:
    """A share of the gain, only where the oracle's own uncorrected interval lies above zero, not to noise."""
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


def _oracle_sentence(oracle: str, names: dict[str, str], shares: list[OracleShare], level: str) -> str:
    if not shares:
        return f"The detector {oracle}, which drops by the labels, has no tested result yet."
    ordered = sorted(shares, key=lambda s: s.oracle.difference)
    spread = f"{points(ordered[0].oracle.difference)} points ({ordered[0].column})"
    if len(shares) > 1:
        spread += f" to {points(ordered[-1].oracle.difference)} points ({ordered[-1].column})"
    clear = [s for s in shares if s.oracle.low > 0]
    proven = [s for s in shares if s.oracle.verdict == "better"]
    text = (
        f"The upper bound ({oracle}: drops exactly the false negatives, by their labels) changes the score by {spread}"
        f"; better in {len(proven)} of {len(shares)} comparisons after Holm's correction over its own family, and its "
        f"uncorrected {level} interval lies above zero in {len(clear)}"
    )
    if not any(s.oracle.verdict != "open" for s in shares):
        return (
            f"{text}. Not even the oracle moves anything beyond noise after correction, so this experiment cannot "
            "separate detectors."
        )
    if not proven:
        return f"{text}; there is no proven gain to take a share of."
    if len(proven) < 2:
        return f"{text}; a single proven gain is too few to say what part of it a detector gets."
    for label, name in names.items():
        known = sorted(100 * share for s in proven if (share := s.shares.get(label)) is not None)
        if len(known) > 1:
            ends = dict.fromkeys(f"{value:.0f}".replace("-", "\N{MINUS SIGN}") for value in (known[0], known[-1]))
            text += f"; where the oracle's gain is proven, {name} gets {' to '.join(ends)} % of it"
    return f"{text}."


def _caution(here: Chosen, names: dict[str, str]) -> list[str]:
    """A warning where something that was never trained scores at least as high as a detector."""
    found = []
    for label, name in names.items():
        beaten: dict[str, int] = {}
        total = 0
        for table, numbers in here:
            row = table.row(label)
            for number in numbers:
                cell = row.cells[number] if row else None
                if cell is None:
                    continue
                total += 1
                for other in table.rows:
                    trivial = other.cells[number]
                    if other.role == "baseline" and trivial is not None and trivial.mean >= cell.mean:
                        beaten[other.label] = beaten.get(other.label, 0) + 1
        if beaten:
            listed = ", ".join(f"{other} in {count}" for other, count in beaten.items())
            found.append(
                f"Caution: what was never trained scores at least as high as {name} ({listed} of {total} "
                "primary columns), so read the differences there with care."
            )
    return found


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
    means = {side: f"{100 * sum(values) / len(values):.3g} %" for side, values in found.items()}
    if not means:
        return []
    if len(set(means.values())) == 1:
        return [f"{next(iter(means.values()))} of all negatives in training are false (same {label} as the anchor)."]
    sides = ", ".join(f"{mean} for {side} anchors" for side, mean in means.items())
    return [f"Negatives that are false in training (same {label} as the anchor): {sides}."]
