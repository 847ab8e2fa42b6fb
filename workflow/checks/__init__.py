"""What a schema cannot say about a config: one key against another, and against what the data sets have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from workflow.checks import data, methods, places, whole
from workflow.checks.tasks import tasks

__all__ = ["contradictions"]

Config = dict[str, Any]
Check = Callable[[], Iterator[str]]

_WHOLE = (
    *(places.where, places.store, places.prefix, places.container),
    *(whole.seeds, whole.tuning, whole.primary, whole.plan, whole.resources, whole.evaluated, whole.size, data.shards),
)
_EXPERIMENT = (
    *(data.training_data, methods.encoder, methods.schedule, methods.ranks, methods.views, methods.labels),
    whole.baseline,
)


def contradictions(config: Config, already_broken: bool, files: bool = True) -> list[str]:
    """Every problem between keys, one line each.

    Args:
        config: with defaults filled in, and None for values that break the schema.
        already_broken: there are such; then a part may not be what a check needs, and that check is left out (its
            part is named by the schema's message already).
        files: also look whether the user's own files are there.
    """
    checks: list[Check] = [partial(check, config) for check in _WHOLE]
    checks += [partial(places.unusable, config)] if files else []
    for label in _keys(config.get("datasets")):
        checks += [partial(check, config, label) for check in (data.block, *((data.files,) if files else ()))]
    for name in _keys(config.get("experiments")):
        experiment = config["experiments"][name]
        if not isinstance(experiment, dict):
            continue
        checks += [partial(check, config, name) for check in _EXPERIMENT]
        for label in _keys(experiment.get("objectives")):
            checks.append(partial(methods.objective, config, name, label))
        for label in _keys(experiment.get("detectors")):
            checks += [partial(check, config, name, label) for check in (methods.detector,)]
        checks += [partial(tasks, config, name, label) for label in _keys(experiment.get("evaluations"))]
    found: list[str] = []
    for check in checks:
        try:
            found += check()
        except (LookupError, TypeError, AttributeError, ValueError):
            if not already_broken:
                raise
    return found


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []
