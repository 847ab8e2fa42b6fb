"""How the results were made: settings, seeds, protocols, code, machine, time, and what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glofnd.files import read_json
from workflow.report.formats import bytes_text, duration
from workflow.report.inputs import Results

__all__ = ["Making", "Source", "making"]


@dataclass(frozen=True)
class Source:
    """A data set with its licence and origin, from its shard manifest, and the credits its licence asks for.

    `skipped` are the samples left out as bad, each with where it is and why.
    """

    dataset: str
    split: str
    samples: int
    skipped: list[str]
    licence: str
    origin: str
    credits: str


@dataclass(frozen=True)
class Making:
    """What stands in the last section; every list is (name, value)."""

    settings: dict[str, list[tuple[str, str]]]
    benchmark: list[tuple[str, str]]
    provenance: list[tuple[str, str]]
    sources: list[Source]
    trained: int
    expected: int
    mlflow: str


def making(results: Results) -> Making:
    """Collect the facts of the last section."""
    config = results.config
    return Making(
        {name: list(_settings(experiment)) for name, experiment in config["experiments"].items()},
        list(_benchmark(results)),
        list(_provenance(results.provenance.values())),
        _sources(results),
        len(results.histories),
        len(results.grid.runs),
        _mlflow(config),
    )


def _flat(value: object) -> str:
    """A config value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _settings(experiment: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key in ("modality", "dataset", "split", "label", "encoder", "views", "training"):
        if experiment.get(key):
            yield key, _flat(experiment[key])
    for key in ("objectives", "detectors"):
        for label, parameters in experiment[key].items():
            yield f"{key.removesuffix('s')} {label}", _flat(parameters) or "defaults"
    if experiment.get("baselines"):
        yield "baselines", _flat(experiment["baselines"])
    for name, tasks in experiment.get("evaluations", {}).items():
        for task in tasks if isinstance(tasks, list) else [tasks]:
            yield f"evaluation {name}", _flat(task) or "defaults"


def _benchmark(results: Results) -> Iterable[tuple[str, str]]:
    config = results.config
    yield "seeds reported", _flat(config["seeds"])
    tuned = config.get("tuning_seeds")
    if tuned:
        apart = not set(tuned) & set(config["seeds"])
        yield (
            "seeds used for tuning",
            _flat(tuned)
            + (" (none of them is reported here)" if apart else " (some of them are reported here: biased)"),
        )
    if config.get("significance"):
        yield "significance", _flat(config["significance"])


def _distinct(values: Iterable[object]) -> str:
    found = list(dict.fromkeys(str(value) for value in values if value is not None))
    return ", ".join(found) if found else "not recorded"


def _provenance(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    every = list(records)
    if not every:
        return
    commits = (
        f"{str(r['git_commit'])[:12]}{' with uncommitted changes' if r.get('git_dirty') else ''}"
        for r in every
        if r.get("git_commit")
    )
    yield "code (git commit)", _distinct(commits)
    yield "device", _distinct(r.get("device") for r in every)
    yield "platform", _distinct(r.get("platform") for r in every)
    yield "container image", _distinct(r.get("container") or "none" for r in every)
    yield "Python", _distinct(r.get("python") for r in every)
    names = dict.fromkeys(name for r in every for name in r.get("packages") or {})
    for name in names:
        yield name, _distinct((r.get("packages") or {}).get(name) for r in every)
    times = [float(r["wall_seconds"]) for r in every if r.get("wall_seconds") is not None]
    if times:
        yield "training time, all runs (without shared trunks)", duration(sum(times))
        yield "training time, longest run", duration(max(times))
    memory = [float(r["peak_memory_mb"]) for r in every if r.get("peak_memory_mb") is not None]
    if memory:
        yield "peak memory of a training", bytes_text(max(memory))


def _sources(results: Results) -> list[Source]:
    """Data sets named in the results whose shard manifest is there; the report can be made without the shards."""
    found = []
    paths = {key: Path(value) for key, value in results.config["paths"].items()}
    pairs = results.summary[["dataset", "split"]].drop_duplicates().itertuples(index=False)
    training = [(e["dataset"], e.get("split", "train")) for e in results.config["experiments"].values()]
    for dataset, split in dict.fromkeys([*training, *((str(d), str(s)) for d, s in pairs)]):
        path = paths["shards"] / dataset / split / "manifest.json"
        if path.is_file():
            manifest = read_json(path)
            source = manifest.get("source") or {}
            credits_file = paths["raw"] / str(source.get("source", dataset)) / "ATTRIBUTION.md"
            found.append(
                Source(
                    dataset,
                    split,
                    int(manifest["samples"]),
                    [f"{entry['where']}: {entry['reason']}" for entry in manifest.get("skipped", [])],
                    _flat(manifest.get("licence") or "not stated"),
                    _origin(source),
                    credits_file.read_text(encoding="utf-8").strip() if credits_file.is_file() else "",
                )
            )
    return found


def _origin(source: Mapping[str, Any]) -> str:
    """Where a data set comes from, with versions; checksums stay in the manifest."""
    parts = [str(source[key]) for key in ("origin", "version", "copyright", "homepage") if source.get(key)]
    packages = source.get("packages") or {}
    parts += [f"{package.get('name', name)} {package.get('version', '')}".strip() for name, package in packages.items()]
    return ", ".join(parts) or "not stated"


def _mlflow(config: Mapping[str, Any]) -> str:
    uri = (config.get("mlflow") or {}).get("tracking_uri")
    store = uri or f"sqlite:///{config['paths']['results']}/mlflow.db"
    return f"mlflow server --host 127.0.0.1 --backend-store-uri {shlex.quote(store)}"
