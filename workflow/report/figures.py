"""The figures, in Plotly: of the report's page and of MLflow's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure

from workflow.report.names import interval, p_text, points

__all__ = ["Look", "differences", "looks", "training"]

Look = tuple[str, str]
"""Colour and marker symbol of a detector, the same in every figure."""

# Okabe and Ito's palette (2008), darker; no figure relies on colour alone.
_LOOKS: tuple[Look, ...] = (
    *(("#59636f", "circle"), ("#0062ad", "diamond"), ("#b34a00", "square"), ("#5b3fb5", "hexagon")),
    *(("#00735a", "triangle-up"), ("#9c3d83", "triangle-down"), ("#7a5c00", "star"), ("#0b7285", "cross")),
)

_FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1d2329"}
_GREY, _GRID = "#8a939b", "#dfe3e6"


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """One look per detector label."""
    return dict(zip(dict.fromkeys(labels), cycle(_LOOKS), strict=False))


def _figure(height: int, x: str, y: str = "") -> Figure:
    figure = Figure()
    figure.update_layout(
        height=height,
        template="none",
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        font=_FONT,
        paper_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"bgcolor": "white", "font": _FONT},
        showlegend=True,
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
    )
    for update, title in ((figure.update_xaxes, x), (figure.update_yaxes, y)):
        update(title={"text": title, "font": _FONT}, gridcolor=_GRID, zeroline=False, automargin=True)
    return figure


def differences(
    tests: Sequence[Mapping[str, Any]], names: Mapping[str, str], looks: Mapping[str, Look], reference: str
) -> Figure:
    """Forest plot: mean difference to the reference in points, with its interval, per task and detector.

    Args:
        tests: rows of significance.csv with `task`; tasks are shown from above in this order.
        names: detector label -> its name, in the order shown.
        looks: detector label -> its look.
        reference: name of the detector all others are compared with.
    """
    tasks = list(dict.fromkeys(row["task"] for row in tests))
    figure = _figure(100 + 15 * len(tests) + 15 * len(tasks), f"points above {reference}")
    for label in names:
        rows = [row for row in tests if row["detector"] == label]
        if not rows:
            continue
        colour, symbol = looks[label]
        figure.add_scatter(
            x=[100 * row["difference"] for row in rows],
            y=[row["task"].replace(", ", ",<br>") for row in rows],
            error_x={
                "array": [100 * (row["ci_high"] - row["difference"]) for row in rows],
                "arrayminus": [100 * (row["difference"] - row["ci_low"]) for row in rows],
            },
            orientation="h",
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=names[label],
            offsetgroup=label,
            text=[
                f"{points(row['difference'])} {interval(row['ci_low'], row['ci_high'])}, {row['n']} seeds"
                f"<br>p {p_text(row['p_value'])}, Holm {p_text(row['p_holm'])}"
                for row in rows
            ],
            hovertemplate="%{y}<br>%{text}<extra>%{fullData.name}</extra>",
        )
    figure.add_vline(x=0, line_color=_GREY, line_width=1.5)
    figure.update_layout(scattermode="group")
    figure.update_yaxes(autorange="reversed")
    return figure


_PANELS = {
    "knn": ("knn", "kNN accuracy on training pictures", "share"),
    "loss": ("loss", "Training loss", "loss"),
    "precision": ("precision", "Precision of what is dropped", "precision"),
    "recall": ("recall", "Recall of false negatives", "recall"),
    "q50": ("threshold", "Thresholds, 5, 50, 95 %", "cosine similarity"),
}
"""Last part of a column of history.json -> name, heading and axis of its figure."""


def training(
    histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], looks: Mapping[str, Look]
) -> dict[str, tuple[str, Figure]]:
    """Curves over epochs by name, each with its heading; what no history has is left out.

    Lines are means over seeds; the shade is from the lowest seed to the highest, or what the heading says.

    Args:
        histories: detector name -> for each seed its epochs, as in history.json.
        looks: detector name -> its look.
    """
    frames = {name: pd.json_normalize([{**e} for run in runs for e in run]) for name, runs in histories.items()}
    columns = [str(name).split(".") for name in dict.fromkeys(name for frame in frames.values() for name in frame)]
    several = len({path[1] for path in columns if len(path) == 3}) > 1
    found = {}
    for path in columns:
        if path[-1] in _PANELS:
            key, title, y = _PANELS[path[-1]]
            figure, column, side = _figure(300, "epoch", y), ".".join(path), path[1] if several and path[1:] else ""
            for name, frame in frames.items():
                if column in frame and frame[column].notna().any():
                    _add_curve(figure, frame, column, name, looks[name])
            if figure.data:
                found[f"{key}-{side}" if side else key] = (f"{title}, {side} anchors" if side else title, figure)
    return found


def _add_curve(figure: Figure, frame: pd.DataFrame, column: str, name: str, look: Look) -> None:
    epochs = frame.dropna(subset=[column]).groupby("epoch")
    if column.endswith(".q50"):
        low, high = (epochs[column.replace("q50", end)].mean() for end in ("q05", "q95"))
    else:
        low, high = epochs[column].min(), epochs[column].max()
    middle = epochs[column].mean()
    if (high > low).any():
        figure.add_scatter(
            x=[*low.index, *reversed(high.index)],
            y=[*low, *reversed([*high])],
            fill="toself",
            fillcolor=look[0],
            opacity=0.18,
            **{"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "legendgroup": name},
        )
    figure.add_scatter(
        x=[*middle.index],
        y=[*middle],
        name=name,
        legendgroup=name,
        mode="lines" if len(middle) > 1 else "markers",
        line={"color": look[0], "width": 2.5},
        marker={"symbol": look[1], "size": 9},
        hovertemplate="epoch %{x}: %{y:.3f}",
    )
