"""The one check of a benchmark's config, done before any job starts, and the config with all defaults filled in.

    resolved = resolve(config)          raises ConfigError, which lists every problem at once

The schema is `workflow/schemas/config.schema.yaml` plus the parameters that the registries give for each method,
encoder, data set and evaluation the config names; what a schema cannot say (one key against another) is in
`workflow.checks`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from glofnd.failures import BAD_INPUT
from workflow.checks import contradictions
from workflow.config_file import unreadable
from workflow.schema import filled, problems, typed, without
from workflow.values import one_line, shown, unmanageable
from workflow.vocabulary import PAPER, PROTOCOLS, schema_for

__all__ = ["ConfigError", "resolve", "resolve_or_exit"]

Config = dict[str, Any]


_PRINTED = 50


class ConfigError(ValueError):
    """A config with problems; `problems` holds one line for each, of which the message repeats the first fifty."""

    def __init__(self, found: list[str]) -> None:
        self.problems = list(dict.fromkeys(map(one_line, found)))
        number = len(self.problems)
        lines = [f"error: {number} problem{'s' * (number > 1)} in the config; nothing was started"]
        lines += [f"  {line}" for line in self.problems[:_PRINTED]]
        lines += [f"  and {number - _PRINTED} more"] * (number > _PRINTED)
        super().__init__("\n".join(lines))


def resolve(config: Config, files: bool = True) -> Config:
    """Check a merged config and fill in every default.

    An entry of `datasets`, `experiments`, `objectives`, `detectors` or `evaluations` that is `false` is left out (so
    that a preset can switch off what the default config has); one that is empty takes its defaults.

    Args:
        config: as read.
        files: whether the user's own files must be there already.

    Raises:
        ConfigError: naming every problem.
    """
    if not isinstance(config, dict):
        raise ConfigError([f"config: must be a mapping, not {shown(config)}"])
    if trouble := unmanageable(config):
        raise ConfigError([f"config: {trouble}"])
    chosen = _chosen(config)
    schema, unknown = schema_for(chosen)
    chosen = typed(chosen, schema)
    broken = problems(chosen, schema)
    complete = filled(chosen, schema)
    found = [*unknown, *(problem.line for problem in broken)]
    usable = without(complete, (problem.place for problem in broken)) if broken else complete
    found += contradictions(usable, bool(found), files)
    if found:
        raise ConfigError(found)
    resolved: Config = complete
    return resolved


def resolve_or_exit(config: Config, files: bool = True, sources: Iterable[str | Path] = ()) -> Config:
    """`resolve`, with the problems as plain lines on stderr and no traceback and exit code 2: for the Snakefile.

    Args:
        config: as read.
        files: whether the user's own files must be there already.
        sources: the files that the config was read from. Snakemake takes the last of two equal keys in one of them.
    """
    found, resolved = unreadable(sources), {}
    try:
        resolved = resolve(config, files)
    except ConfigError as error:
        found += error.problems
    if found:
        print(ConfigError(found), file=sys.stderr)
        raise SystemExit(BAD_INPUT)
    return resolved


def _off(value: object) -> bool:
    """Whether an entry is switched off (`--config` hands `false` over as text)."""
    return value is False or (isinstance(value, str) and value.lower() == "false")


def _switched(entries: object, empty: object) -> object:
    """A mapping without the entries that are switched off; one without a value is `empty`."""
    if not isinstance(entries, dict):
        return entries
    return {key: deepcopy(empty) if value is None else value for key, value in entries.items() if not _off(value)}


def _chosen(config: Config) -> Config:
    chosen = deepcopy(dict(config))
    for key in ("datasets", "experiments"):
        if key in chosen:
            chosen[key] = _switched(chosen[key], {})
    experiments = chosen.get("experiments")
    for experiment in experiments.values() if isinstance(experiments, dict) else ():
        if not isinstance(experiment, dict):
            continue
        for key in ("objectives", "detectors"):
            if key in experiment:
                experiment[key] = _switched(experiment[key], {})
        if isinstance(experiment.get("evaluations"), dict):
            experiment["evaluations"] = _by_protocol(_switched(experiment["evaluations"], []))
    return chosen


def _by_protocol(evaluations: Any) -> Config:
    """Tasks with `protocol: paper` as tasks of the evaluation that follows the paper, whose results stand apart.

    `discovery` has no task that must be given, so without a value it has the one that takes all defaults.
    """
    found: Config = {}
    for name, tasks in evaluations.items():
        if name == "discovery" and tasks == []:
            tasks = [{}]
        if not isinstance(tasks, list) or not isinstance(found.get(name, []), list):
            found[name] = tasks
            continue
        places = {name: [*found.get(name, [])]}
        for task in tasks:
            asked = task.get("protocol") if isinstance(task, dict) and name in PAPER else None
            plain = {k: v for k, v in task.items() if k != "protocol"} if asked in PROTOCOLS else task
            places.setdefault(PAPER[name] if asked == "paper" else name, []).append(plain)
        for place, given in places.items():
            if (given or not tasks) and isinstance(found.setdefault(place, []), list):
                found[place] = given if place == name else found[place] + given
    return found
