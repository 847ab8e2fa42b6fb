"""What the number of seeds and their spread can show at all, in words."""

from __future__ import annotations

from statistics import median

import pandas as pd

from evaluation.significance import correction_factor, sentence
from workflow.report.inputs import Results
from workflow.report.table import Effect

__all__ = ["limits", "undetectable"]


def undetectable(results: Results, experiment: str, compared: list[Effect]) -> list[str]:
    """What the t-test cannot detect at this number of seeds and their spread: no difference found is not no effect."""
    widths: dict[int, list[float]] = {effect.n: [] for effect in compared}
    for effect in compared:
        if effect.high > effect.low:
            widths[effect.n].append((effect.high - effect.low) / 2)
    n, family = max(widths, default=0), len(_family(results, experiment))
    if n < 2 or not widths[n] or not family:
        return []
    alone = 100 * median(widths[n])
    corrected = alone * correction_factor(n, family, 1 - results.confidence)
    return [
        f"That is not evidence of no effect: {n} seeds cannot detect a mean difference below {alone:.1f} points even "
        f"in a single uncorrected t-test (median over the comparisons), or below {corrected:.1f} points at the first "
        f"step of Holm's correction over {family}."
    ]


def _family(results: Results, experiment: str) -> pd.DataFrame:
    """The tests that Holm's correction takes together, without the oracle's."""
    frame = results.significance
    judged = frame["detector"].isin(results.judged(experiment))
    return frame[(frame["experiment"] == experiment) & judged & frame["p_holm"].notna()]


def limits(results: Results, experiment: str) -> str:
    """What this number of seeds can show at all in the experiment's family of tests."""
    family = _family(results, experiment)
    if family.empty:
        return "Nothing here is tested, so no difference here is shown to be real."
    return sentence(int(family["n"].max()), len(family), 1 - results.confidence)
