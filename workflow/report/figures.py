"""The figures, in Plotly: of the report's page and of MLflow's runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from plotly.graph_objects import Figure

from workflow.report.wording import interval, p_text, points

__all__ = ["Look", "differences", "discovery", "looks", "training"]

Look = tuple[str, str]
"""Colour and marker symbol of a detector, the same in every figure."""

# Okabe and Ito's palette (2008), darker; no figure relies on colour alone.
_LOOKS: dict[str, Look] = {
    "none": ("#59636f", "circle"),
    "glofnd": ("#0062ad", "diamond"),
    "location-scale": ("#5b3fb5", "hexagon"),
    "batch-quantile": ("#b34a00", "square"),
    "oracle": ("#00735a", "triangle-up"),
    "global-threshold": ("#9c3d83", "triangle-down"),
}
_FREE: tuple[Look, ...] = (("#7a5c00", "star"), ("#0b7285", "cross"), ("#a61e4d", "x"), ("#5c940d", "pentagon"))

_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1d2329"}
_GRID = "#dfe3e6"


def looks(methods: Mapping[str, str]) -> dict[str, Look]:
    """One look per detector label (`methods`: label -> method); the first label of a known method has its own."""
    found: dict[str, Look] = {}
    free = cycle(_FREE)
    for label, method in methods.items():
        own = _LOOKS.get(method)
        found[label] = own if own and own not in found.values() else next(free)
    return found


def _figure(height: int, x: str, y: str = "") -> Figure:
    figure = Figure()
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        font=_FONT,
        plot_bgcolor="rgba(0,0,0,0)",
        paper_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"bgcolor": "white", "font": _FONT},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title={"text": x, "font": _FONT}, gridcolor=_GRID, zeroline=False, automargin=True)
    figure.update_yaxes(title={"text": y, "font": _FONT}, gridcolor=_GRID, zeroline=False, automargin=True)
    return figure


def differences(
    tests: Sequence[Mapping[str, Any]], names: Mapping[str, str], looks: Mapping[str, Look], reference: str
) -> Figure:
    """Forest plot: mean difference to the reference in points, with its interval, per task and detector.

    Args:
        tests: rows with `task`, `detector`, `n`, `difference`, `ci_low`, `ci_high`, `p_value`, `p_holm`; tasks are
            shown from above in this order.
        names: detector label -> its name, in the order shown.
        looks: detector label -> its look.
        reference: name of the detector all others are compared with.
    """
    tasks = list(dict.fromkeys(row["task"] for row in tests))
    shown = [label for label in names if any(row["detector"] == label for row in tests)]
    group = len(shown) + 1.4
    figure = _figure(int(110 + 17 * group * len(tasks)), f"points above {reference}")
    for place, label in enumerate(shown):
        rows = [row for row in tests if row["detector"] == label]
        colour, symbol = looks[label]
        low, middle, high = (np.array([100 * r[key] for r in rows]) for key in ("ci_low", "difference", "ci_high"))
        figure.add_scatter(
            x=middle,
            y=[-(tasks.index(row["task"]) * group + place + 1) for row in rows],
            error_x={"array": high - middle, "arrayminus": middle - low, "thickness": 1.6, "width": 4},
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=names[label],
            text=[
                f"{r['task']}<br>{points(r['difference'])} {interval(r['ci_low'], r['ci_high'])}, {r['n']} seeds"
                f"<br>p {p_text(r['p_value'])}, Holm {p_text(r['p_holm'])}"
                for r in rows
            ],
            hovertemplate="%{text}<extra>%{fullData.name}</extra>",
        )
    for k, task in enumerate(tasks):
        where = {"x": 0, "xref": "paper", "xanchor": "left", "y": -k * group}
        figure.add_annotation(text=f"<b>{task}</b>", bgcolor="rgba(255,255,255,.8)", showarrow=False, **where)
    figure.add_vline(x=0, line_color="#8a939b", line_width=1.5)
    figure.update_yaxes(visible=False, range=[-group * len(tasks), 0.9])
    figure.update_layout(showlegend=True)
    return figure


Histories = Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
"""Name -> for each seed its epochs."""

_PANELS = (
    ("loss", "Training loss", "loss"),
    ("knn", "Accuracy over epochs (kNN on a fixed subset)", "top-1"),
    ("precision", "Precision of the dropped negatives", "precision"),
    ("recall", "Recall of the false negatives", "recall"),
    ("f1", "F1 of the dropped negatives", "F1"),
    ("threshold", "Thresholds: median, and 5 to 95 %", "cosine similarity"),
)


def training(histories: Histories, looks: Mapping[str, Look]) -> dict[str, tuple[str, Figure]]:
    """Learning curves by name, each with its heading: loss, accuracy, agreement with the labels, thresholds.

    Thick lines are means over seeds, thin ones single seeds. What no history has is left out.
    """
    every = [epoch for runs in histories.values() for epochs in runs for epoch in epochs]
    sides = list(dict.fromkeys(side for epoch in every for side in epoch.get("detection") or {}))
    found = {}
    for key, title, y in _PANELS:
        for side in [""] if key in ("loss", "knn") else sides:
            figure = _figure(300, "epoch", y)
            for name, runs in histories.items():
                path = (key,) if not side else ("threshold", side) if key == "threshold" else ("detection", side, key)
                _add_curve(figure, name, looks[name], runs, path)
            if figure.data:
                more = len(sides) > 1 and side
                found[f"{key}-{side}" if more else key] = (f"{title}, {side} anchors" if more else title, figure)
    return found


def _curves(runs: Sequence[Sequence[Mapping[str, Any]]], path: Sequence[str]) -> list[dict[int, float]]:
    """For each seed epoch -> the value that stands at `path`, where it does."""

    def at(entry: Any) -> Any:
        for key in path:
            entry = (entry or {}).get(key)
        return entry

    curves = [{e["epoch"]: float(value) for e in epochs if (value := at(e)) is not None} for epochs in runs]
    return [curve for curve in curves if curve]


def _mean(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Mean over seeds at the epochs that all of them have."""
    epochs = sorted(set.intersection(*map(set, curves))) if curves else []
    return {epoch: float(np.mean([curve[epoch] for curve in curves])) for epoch in epochs}


def _add_curve(
    figure: Figure, name: str, look: Look, runs: Sequence[Sequence[Mapping[str, Any]]], path: Sequence[str]
) -> None:
    colour, symbol = look
    quiet = {"mode": "lines", "hoverinfo": "skip", "showlegend": False, "legendgroup": name}
    if path[0] == "threshold":
        low, curves, high = (_curves(runs, (*path, quantile)) for quantile in ("q05", "q50", "q95"))
        bottom, top = _mean(low), _mean(high)
        x, y = [*bottom, *reversed(top)], [*bottom.values(), *reversed(top.values())]
        if x:
            figure.add_scatter(x=x, y=y, fill="toself", fillcolor=colour, opacity=0.18, line={"width": 0}, **quiet)
    else:
        curves = _curves(runs, path)
        for curve in curves if len(curves) > 1 else []:
            line = {"color": colour, "width": 0.8}
            figure.add_scatter(x=list(curve), y=list(curve.values()), line=line, opacity=0.4, **quiet)
    if mean := _mean(curves):
        figure.add_scatter(
            x=list(mean),
            y=list(mean.values()),
            name=name,
            legendgroup=name,
            mode="lines" if len(mean) > 1 else "markers",
            line={"color": colour, "width": 2.5},
            marker={"symbol": symbol, "size": 9},
            hovertemplate="epoch %{x}: %{y:.3f}",
        )


def discovery(
    scores: Mapping[str, Sequence[tuple[float, float]]], base_rate: float, looks: Mapping[str, Look]
) -> Figure:
    """Recall and precision of what each detector drops, one mark per seed, over lines of equal F1.

    Args:
        scores: detector name -> (recall, precision) of each seed.
        base_rate: precision of a random choice.
        looks: detector name -> its look.
    """
    figure = _figure(330, "recall, %", "precision, %")
    quiet, grey = {"showarrow": False, "font": {"size": 10, "color": "#8a939b"}}, "#8a939b"
    for f1 in range(10, 100, 10):
        x = np.linspace(f1 / (200 - f1), 1, 100) * 100
        line = {"color": _GRID, "width": 1}
        figure.add_scatter(x=x, y=f1 * x / (2 * x - f1), mode="lines", line=line, hoverinfo="skip", showlegend=False)
        figure.add_annotation(x=100, y=100 * f1 / (200 - f1), text=f"F1 {f1}", xanchor="right", **quiet)
    for name, marks in scores.items():
        colour, symbol = looks[name]
        figure.add_scatter(
            x=[100 * recall for recall, _ in marks],
            y=[100 * precision for _, precision in marks],
            name=name,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"color": "white", "width": 1}},
            hovertemplate="recall %{x:.1f} %, precision %{y:.1f} %<extra>%{fullData.name}</extra>",
        )
    figure.add_hline(y=100 * base_rate, line_dash="dot", line_color=grey)
    figure.add_annotation(x=0, y=100 * base_rate, text="random choice", xanchor="left", yanchor="bottom", **quiet)
    figure.update_xaxes(range=[0, 101], showgrid=False)
    figure.update_yaxes(range=[0, 102], showgrid=False)
    return figure
