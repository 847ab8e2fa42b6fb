"""What a job asks of its machine or its cluster, from the rule's block of `resources` in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Asked", "resources_of"]

Asked = dict[str, int | str | Callable[[object, int], int]]


def _growing(least: int, most: int | None) -> Callable[[object, int], int]:
    """The k-th attempt of a job gets k times as much, within what the cluster has."""

    def of_attempt(wildcards: object, attempt: int) -> int:
        return min(attempt * least, most or attempt * least)

    return of_attempt


def resources_of(given: Mapping[str, Any]) -> Asked:
    """A rule's `resources:` for Snakemake.

    Memory and time grow with each attempt, since a job that ran out of either ends like any other failure. A partition
    or account that the config does not name is left to the profile's `default-resources`.

    A job on several nodes starts its own processes there (`mpi`, in the words of Snakemake's SLURM executor), with that
    many GPUs on each.

    Args:
        given: the rule's block of the resolved config.
    """
    asked: Asked = {key: _growing(given[key], given[f"{key}_max"]) for key in ("mem_mb", "runtime")}
    nodes = given.get("nodes", 1)
    if nodes == 1:
        asked["gpu"] = given["gpu"]
    else:
        asked |= {"nodes": nodes, "tasks": nodes, "mpi": "srun"}
        # The executor would otherwise ask for as many tasks per GPU.
        asked |= {"gres": f"gpu:{given['gpu']}", "tasks_per_gpu": 0} if given["gpu"] else {}
    named = {f"slurm_{key}": given[key] for key in ("partition", "account") if given[key] is not None}
    return {**asked, **named}
