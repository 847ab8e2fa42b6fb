"""Training curves of one run as pictures for MLflow."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["figures"]


def figures(epochs: list[dict[str, Any]]) -> dict[str, Figure]:
    """File name -> figure of loss, detection and thresholds over epochs; nothing for a run without history."""
    return {"figures/training.png": _training(epochs)} if epochs else {}


def _training(epochs: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(12, 3.5))
    loss, detection, threshold = figure.subplots(1, 3)
    # Fixed margins: matplotlib's own layout takes longer than all the drawing.
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.15, top=0.9, wspace=0.15)
    loss.plot([e["epoch"] for e in epochs], [e["loss"] for e in epochs], ".-", color="black")
    loss.set_title("loss")
    _sides(detection, epochs, "detection", ("precision", "recall", "f1", "dropped_share"))
    detection.set_title("false negatives found")
    detection.set_ylim(0, 1)
    _sides(threshold, epochs, "threshold", ("q05", "q25", "q50", "q75", "q95"))
    threshold.set_title("thresholds (quantiles over samples)")
    for axes in (loss, detection, threshold):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    return figure


def _sides(axes: Any, epochs: list[dict[str, Any]], key: str, names: tuple[str, ...]) -> None:
    """A line for each name and side (image, text); epochs without that entry are left out."""
    sides = {side: None for entry in epochs for side in entry.get(key) or {}}
    for side, style in zip(sides, ("-", "--"), strict=False):
        for number, name in enumerate(names):
            points = [(e["epoch"], e[key][side].get(name)) for e in epochs if side in (e.get(key) or {})]
            known = [(epoch, value) for epoch, value in points if value is not None]
            if known:
                axes.plot(*zip(*known, strict=True), f".{style}", color=f"C{number}", label=f"{name} ({side})")
    if axes.lines:
        axes.legend(fontsize="x-small")
