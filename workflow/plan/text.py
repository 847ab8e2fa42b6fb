"""The plan as a page of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["as_text"]

Plan = dict[str, Any]

_UNKNOWN = "?"


def _number(value: float | None, form: str = ",.0f") -> str:
    return _UNKNOWN if value is None else format(value, form)


def _hours(value: float | None) -> str:
    return _number(value, ",.1f" if value is None or value < 100 else ",.0f")


def _size(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """First column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return [
        "  " + "  ".join(cell.ljust(width) if not at else cell.rjust(width) for at, (cell, width) in enumerate(line))
        for line in (list(zip(row, widths, strict=True)) for row in (heads, *rows))
    ]


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _training(rows: Sequence[Plan]) -> list[str]:
    lines = _table(
        ("training", "runs", "samples", "epochs", "without trunks", "images/s", "hours", "GPU-hours"),
        [
            (
                row["experiment"],
                str(row["runs"]),
                _number(row["samples"]),
                _number(row["epochs"]),
                _number(row["epochs_without_trunks"]),
                f"{_number(row['images_per_second'])} {row['images_per_second_source']}",
                _hours(row["hours"]),
                _hours(row["gpu_hours"]),
            )
            for row in rows
        ],
    )
    together, apart = sum(row["epochs"] for row in rows), sum(row["epochs_without_trunks"] for row in rows)
    lines.append(f"  Shared trunks save {1 - together / apart:.0%} of all epochs.")
    for row in rows:
        if row["images_per_second"] is None:
            lines.append(
                f"  No throughput of {row['experiment']} is known: finish one run, or state it as "
                f"plan.images_per_second.{row['experiment']}."
            )
    return lines


def _evaluation(rows: Sequence[Plan]) -> list[str]:
    lines = _table(
        ("after training", "jobs", "minutes each", "hours"),
        [
            (
                f"{row['experiment']} {row['kind']}",
                str(row["jobs"]),
                f"{_number(row['minutes'], '.2g')} {row['source']}",
                _hours(row["hours"]),
            )
            for row in rows
        ],
    )
    unknown = sorted({row["kind"] for row in rows if row["minutes"] is None})
    if unknown:
        lines.append(f"  No time known for {', '.join(unknown)}: finish one run, or state it as plan.minutes.NAME.")
    return lines


def _storage(plan: Plan) -> list[str]:
    made = [entry for entry in plan["data"] if entry["sharded"]]
    shards = sum(entry["bytes"] for entry in made)
    lines = _table(
        ("storage and memory", "parameters", "state/sample", "checkpoints", "features", "memory of a training*"),
        [
            (
                row["experiment"],
                _number(row["parameters"]),
                f"{row['state_bytes_per_sample']} B",
                _size(row["checkpoint_bytes"]),
                _size(row["feature_bytes"]),
                _size(row["memory_bytes"]),
            )
            for row in plan["training"]
        ],
    )
    lines.append("  * weights, gradients, optimiser and per-sample state; activations come on top.")
    lines.append(
        f"  Data as published: {_size(plan['download_bytes'])}. "
        f"Shards made so far: {_size(shards)} in {len(made)} of {len(plan['data'])} splits."
    )
    return lines


def as_text(plan: Plan) -> str:
    """The plan of `workflow.plan.estimate` for people."""
    jobs = plan["jobs"]
    training, evaluation = plan["training"], plan["evaluation"]
    gpu, after = (_total([row["gpu_hours"] for row in rows]) for rows in (training, evaluation))
    hours = _total([row["hours"] for row in (*training, *evaluation)])
    lines = [f"{sum(jobs.values()):,} jobs: " + ", ".join(f"{count:,} {rule}" for rule, count in jobs.items()), ""]
    lines += [*_training(training), "", *_evaluation(evaluation), "", *_storage(plan), ""]
    lines.append(
        f"Together {_hours(hours)} hours of jobs one after the other; training takes {_hours(gpu)} GPU-hours, "
        f"what comes after it {_hours(after)}."
    )
    return "\n".join(lines) + "\n"
