"""The one check of a benchmark's config, done before any job starts, and the config with all defaults filled in.

    resolved = resolve(config)          raises ConfigError, which lists every problem at once

The schema is `workflow/schemas/config.schema.yaml` plus the parameters that the registries give for each method,
encoder, data set and evaluation the config names; what a schema cannot say (one key against another) is in
`workflow.checks`.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from workflow.checks import contradictions
from workflow.schema import filled, problems, typed
from workflow.vocabulary import PAPER, PROTOCOLS, schema_for

__all__ = ["ConfigError", "resolve", "resolve_or_exit"]

Config = dict[str, Any]


class ConfigError(ValueError):
    """A config with problems; `problems` holds one line for each."""

    def __init__(self, found: list[str]) -> None:
        self.problems = found
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        super().__init__("\n".join([f"error: {count} in the config; nothing was started", *(f"  {p}" for p in found)]))


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
    chosen = _chosen(config)
    schema, unknown = schema_for(chosen)
    chosen = typed(chosen, schema)
    found = [*unknown, *problems(chosen, schema)]
    complete = filled(chosen, schema)
    found += contradictions(complete, bool(found), files)
    if found:
        raise ConfigError([line.replace("\n", "\\n") for line in dict.fromkeys(found)])
    resolved: Config = complete
    return resolved


def resolve_or_exit(config: Config, files: bool = True) -> Config:
    """`resolve`, with the problems as plain lines on stderr and no traceback: what the Snakefile calls."""
    try:
        return resolve(config, files)
    except ConfigError as error:
        raise SystemExit(str(error)) from None


def _switched(entries: object) -> object:
    """A mapping without the entries that are switched off (`--config` hands `false` over as text)."""
    if not isinstance(entries, dict):
        return entries
    return {key: {} if value is None else value for key, value in entries.items() if value not in (False, "false")}


def _chosen(config: Config) -> Config:
    chosen = deepcopy(dict(config))
    for key in ("datasets", "experiments"):
        if key in chosen:
            chosen[key] = _switched(chosen[key])
    experiments = chosen.get("experiments")
    for experiment in experiments.values() if isinstance(experiments, dict) else ():
        if not isinstance(experiment, dict):
            continue
        for key in ("objectives", "detectors", "evaluations"):
            if key in experiment:
                experiment[key] = _switched(experiment[key])
        if isinstance(experiment.get("evaluations"), dict):
            experiment["evaluations"] = _by_protocol(experiment["evaluations"])
    return chosen


def _by_protocol(evaluations: Config) -> Config:
    """Tasks with `protocol: paper` as tasks of the evaluation that follows the paper, whose results stand apart."""
    found: Config = {}
    for name, tasks in evaluations.items():
        if name not in PAPER or not isinstance(tasks, list):
            found.setdefault(name, tasks)
            continue
        for task in tasks:
            asked = task.get("protocol") if isinstance(task, dict) else None
            plain = {k: v for k, v in task.items() if k != "protocol"} if asked in PROTOCOLS else task
            found.setdefault(PAPER[name] if asked == "paper" else name, []).append(plain)
        if not tasks:
            found[name] = tasks
    return found
