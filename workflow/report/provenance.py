"""Sections "What this does not show" and "How it was made": limits, settings, seeds, code, machine, data, licences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from glofnd.files import making_sense, read_json
from glofnd.provenance import config_hash
from workflow.report.parts import Cell, Fold, Part, Section, Table
from workflow.report.read import Results
from workflow.report.wording import percent

__all__ = ["limits", "made"]


def limits(results: Results) -> Section:
    """What the numbers above cannot carry."""
    seeds, settings = len(results.config["seeds"]), results.settings
    lines = [
        f"{seeds} seed{'s' if seeds != 1 else ''}: an exact sign-flip test cannot give a p-value below "
        f"{min(1, 2 / 2**seeds):.2g}. The t-test can, but only by assuming that differences over seeds are normal.",
        "Intervals are for each comparison alone. Only p-values of the primary evaluations "
        f"({', '.join(settings['primary']) or 'none'}) are corrected; a small p-value elsewhere is a hint.",
        "Other data, encoders and longer trainings are not covered: this page speaks of the settings listed below.",
        "The paper's own protocols (linear probe and transfer of the paper) choose an epoch or C on the test set: "
        "their numbers are optimistic, and compare with the paper's alone.",
    ]
    if set(results.config.get("tuning_seeds") or []) & set(results.config["seeds"]):
        lines.append("Some seeds shown here were also used to choose options, which biases the results.")
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in lines)
    return Section("limits", "What this does not show", [Markup("<ul>{}</ul>").format(items)])


def made(results: Results) -> Section:
    """Missing results, files, settings, provenance, data."""
    parts: list[Part] = []
    if results.missing:
        lines = Markup("").join(Markup("<li>{}</li>").format(line) for line in results.missing)
        notice = Markup(
            '<div class="notice" id="missing"><h3>Missing results ({})</h3><ul>{}</ul>'
            "<p>Run <code>snakemake</code> again; the logs are in <code>{}/logs</code>.</p></div>"
        )
        parts.append(notice.format(len(results.missing), lines, results.folder))
    links = Markup(", ").join(
        Markup('<a href="{0}">{0}</a>').format(name)
        for name in ("summary.csv", "summary_mean.csv", "significance.csv", "significance_overall.csv")
        if (results.folder / name).is_file()
    )
    parts.append(
        Markup(
            "<p>Tables beside this file: {}. The metrics, history and predictions of each run are below "
            "<code>runs/</code>; all runs with their curves are in MLflow.</p>"
        ).format(links)
    )
    parts += [_facts("Benchmark", _benchmark(results)), *_sources(results)]
    if results.shared:
        headings = [
            "data set",
            "split",
            "test pictures",
            "of these in training",
            "look like one",
            "largest change, points",
        ]
        rows = [
            [*map(Cell, place), *(Cell(f"{count:,}", count) for count in counts), Cell(percent(change, 2), change)]
            for place, (*counts, change) in results.shared.items()
        ]
        note = "All stay in the scores; the last column is the largest difference that leaving them out makes to any."
        parts.append(Table("Pictures on both sides of a split", headings, rows, note))
    parts += [
        Fold(f"Settings of {name}", [_facts("", _settings(settings))])
        for name, settings in results.config["experiments"].items()
    ]
    return Section("made", "How it was made", parts)


def _facts(title: str, pairs: Iterable[tuple[str, str]]) -> Markup:
    rows = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*pair) for pair in pairs)
    head = Markup("<h3>{}</h3>").format(title) if title else ""
    return Markup('{}<dl class="facts">{}</dl>').format(head, rows)


def _flat(value: object) -> str:
    """A config value on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _settings(experiment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("modality", "dataset", "split", "label", "encoder", "views", "training"):
        if experiment.get(key):
            yield key, _flat(experiment[key])
    for key in ("objectives", "detectors"):
        for label, parameters in experiment[key].items():
            yield f"{key.removesuffix('s')} {label}", _flat(parameters)
    for name, tasks in experiment["evaluations"].items():
        for task in tasks:
            yield f"evaluation {name}", _flat(task)


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or "not recorded"


def _benchmark(results: Results) -> Iterator[tuple[str, str]]:
    config = results.config
    yield "config hash", config_hash({key: value for key, value in config.items() if key != "paths"})
    yield "seeds", _flat(config["seeds"])
    yield "seeds that options were chosen on", _flat(config.get("tuning_seeds") or "none")
    yield "trainings finished", f"{len(results.trained)} of {len(results.grid.runs)}"
    if config["significance"]:
        yield "tests", _flat(config["significance"])
    made = [found.get("provenance") or {} for found in results.trained.values()]
    commits = (
        f"{str(m['git_commit'])[:12]}{' with uncommitted changes' if m.get('git_dirty') else ''}"
        for m in made
        if m.get("git_commit")
    )
    yield "code (git commit)", _distinct(commits)
    for key in ("device", "platform", "container", "python"):
        yield key, _distinct(m.get(key) for m in made)
    packages = dict.fromkeys(name for m in made for name in m.get("packages") or {})
    yield (
        "packages",
        ", ".join(f"{name} {_distinct((m.get('packages') or {}).get(name) for m in made)}" for name in packages),
    )


def _sources(results: Results) -> Iterator[Part]:
    """Data sets with their licence and origin, from the manifests of the shards, which need not be there any more."""
    paths = {key: Path(value) for key, value in results.config["paths"].items()}
    training = [(e["dataset"], e["split"]) for e in results.config["experiments"].values()]
    tested = results.summary[["dataset", "split"]].drop_duplicates().itertuples(index=False)
    rows, credit, skipped = [], dict[str, str](), list[str]()
    for dataset, split in dict.fromkeys([*training, *((str(d), str(s)) for d, s in tested)]):
        path = paths["shards"] / dataset / split / "manifest.json"
        if not path.is_file():
            continue
        with making_sense(path):
            manifest = read_json(path)
            source, left_out = manifest.get("source") or {}, manifest.get("skipped") or []
            texts = (
                dataset,
                split,
                f"{manifest['samples']:,}",
                len(left_out),
                _flat(manifest.get("licence") or "not stated"),
                _origin(source),
            )
            skipped += [f"{dataset}/{split}, {entry['where']}: {entry['reason']}" for entry in left_out]
        rows.append([Cell(str(text), text if isinstance(text, int) else str(text)) for text in texts])
        attribution = paths["raw"] / str(source.get("source", dataset)) / "ATTRIBUTION.md"
        if attribution.is_file():
            credit[attribution.read_text(encoding="utf-8").strip()] = dataset
    if rows:
        yield Table("Data and licences", ["data set", "split", "samples", "left out as bad", "licence", "source"], rows)
    if skipped:
        more = [f"and {len(skipped) - 20} more, in the manifests"] if len(skipped) > 20 else []
        yield Fold(f"Bad samples left out ({len(skipped)}): scores are of the others", [*skipped[:20], *more])
    for text, dataset in credit.items():
        yield Fold(f"Credits for {dataset}", [Markup('<p class="credits">{}</p>').format(text)])


def _origin(source: Mapping[str, Any]) -> str:
    parts = [str(source[key]) for key in ("origin", "version", "copyright", "homepage") if source.get(key)]
    parts += [
        f"{package.get('name', name)} {package.get('version', '')}".strip()
        for name, package in (source.get("packages") or {}).items()
    ]
    return ", ".join(parts) or "not stated"
