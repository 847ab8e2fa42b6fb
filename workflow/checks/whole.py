"""Checks of a benchmark as a whole: seeds, comparisons, plan and resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from evaluation.registry import EVALUATIONS
from workflow.schema import nearest
from workflow.vocabulary import PAPER

__all__ = ["baseline", "evaluated", "plan", "primary", "resources", "seeds", "size", "tuning"]

Config = dict[str, Any]

# Linux takes 128 KiB for one argument of a command; rule `resolve` hands the whole config over in one, quoted.
_LARGEST = 120_000


def seeds(config: Config) -> Iterator[str]:
    """Tests over seeds need two."""
    if config["significance"] is not None and len(config["seeds"]) < 2:
        yield "seeds: significance needs at least 2 seeds, there is 1; add a seed or set significance: null"


def tuning(config: Config) -> Iterator[str]:
    """No seed that options were chosen on is reported."""
    both = [str(seed) for seed in config["seeds"] if seed in config["tuning_seeds"]]
    if both:
        yield f"tuning_seeds: {', '.join(both)} would be reported too; report seeds that nothing was chosen on"


def primary(config: Config) -> Iterator[str]:
    """Means over all main metrics would mix two protocols of one evaluation."""
    named = [] if config["significance"] is None else config["significance"]["primary"]
    for ours, theirs in PAPER.items():
        if {ours, theirs} <= set(named):
            yield (
                f"significance.primary: {ours} and {theirs} are one question under two protocols, whose results must "
                "not be averaged; name one"
            )


def plan(config: Config) -> Iterator[str]:
    """What is stated for the plan is about something that there is."""
    known = {"images_per_second": list(config["experiments"]), "minutes": ["features", *EVALUATIONS]}
    for key, names in known.items():
        for name in config["plan"][key]:
            if name not in names:
                yield f"plan.{key}.{name}: unknown; {nearest(name, names)}"


def resources(config: Config) -> Iterator[str]:
    """No upper bound is below where it starts."""
    for rule, asked in config["resources"].items():
        for key in ("mem_mb", "runtime"):
            most = asked[f"{key}_max"]
            if most is not None and most < asked[key]:
                yield f"resources.{rule}.{key}_max: {most} is less than {key}, {asked[key]} of the first attempt"


def baseline(config: Config, name: str) -> Iterator[str]:
    """An experiment has the detector that the others are compared with, and others."""
    detectors = list(config["experiments"][name]["detectors"])
    asked = config["significance"]
    if asked is None:
        return
    if not set(detectors) - {asked["baseline"]}:
        yield (
            f"experiments.{name}.detectors: nothing to compare with {asked['baseline']!r}; "
            "add a detector or set significance: null"
        )
    elif asked["baseline"] not in detectors:
        yield (
            f"significance.baseline: experiment {name} has no detector {asked['baseline']!r}; "
            f"{nearest(asked['baseline'], detectors)}"
        )


def evaluated(config: Config) -> Iterator[str]:
    """Without any evaluation there is nothing to compare."""
    asked = config["significance"] is not None
    if asked and not any(experiment["evaluations"] for experiment in config["experiments"].values()):
        yield "experiments: none has evaluations, so there is nothing to compare; add some or set significance: null"


def size(config: Config) -> Iterator[str]:
    """The config fits on a command line."""
    found = len(json.dumps(config, ensure_ascii=False).encode())
    if found > _LARGEST:
        yield f"config: has {found} bytes with all defaults, {_LARGEST} is the most; spread it over several benchmarks"
