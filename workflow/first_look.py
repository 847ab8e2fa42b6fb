"""What the user sees after a minute or two: the first detector against the baseline, on one seed."""

from __future__ import annotations

from pathlib import Path

from workflow.grid import Grid
from workflow.report.names import percent, task_name
from workflow.tables import KEY, summary

__all__ = ["first_look"]


def first_look(grid: Grid) -> str:
    """The main metrics of the two runs of `Grid.first_look`, side by side; nothing before both are there and fit."""
    baseline, other = grid.first_look
    experiment = grid.config["experiments"][other.experiment]
    two = {label: experiment["detectors"][label] for label in (baseline.detector, other.detector)}
    alone = {"objectives": {other.objective: {}}, "detectors": two, "rivals": {}, "baselines": [], "models": {}}
    config = {**grid.config, "seeds": [other.seed], "experiments": {other.experiment: experiment | alone}}
    try:
        table = summary(config, Path(grid.results), allow_missing=True)
    except ValueError:
        return ""
    table = table[table["primary"] & (table["evaluation"] != "discovery")]
    table = table.sort_values("fraction", ascending=False, kind="stable")
    lines = [f"First look at {other.experiment}, one seed and so no result yet, in percent:"]
    home = experiment["dataset"]
    for _, rows in table.groupby(KEY, dropna=False, sort=False):
        values = dict(zip(rows["detector"], rows["value"], strict=True))
        if {baseline.detector, other.detector} <= values.keys():
            about = {str(name): value for name, value in rows.iloc[0].items()}
            pair = (f"{label} {percent(values[label])}" for label in (baseline.detector, other.detector))
            lines.append(f"  {task_name(about, home, None)}: {', '.join(pair)}")
    return "\n".join(lines) if len(lines) > 1 else ""
