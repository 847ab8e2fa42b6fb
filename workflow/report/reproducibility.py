"""Sections "What this does not show" and "How it was made": limits, settings, seeds, code, machine, data, licences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from evaluation.statistics.seeds import smallest_p
from glofnd.files import making_sense, read_json
from glofnd.provenance import config_hash
from workflow.report.names import percent
from workflow.report.parts import Cell, Section, bullets, fold, table
from workflow.report.read import Results, Row

__all__ = ["limits", "made"]


def limits(results: Results) -> Section:
    """What the numbers above cannot carry."""
    seeds = results.config["seeds"]
    lines = [
        f"Seeds: {len(seeds)}. An exact sign-flip test cannot give a p-value below {smallest_p(len(seeds)):.2g}. The "
        "t-test can, but only by assuming that differences over seeds are normal.",
        "Intervals are for each comparison alone. Only p-values of the primary evaluations "
        f"({', '.join(results.settings['primary']) or 'none'}) are corrected; a small p-value elsewhere is a hint.",
        "Other data, encoders and longer trainings are not covered: this page speaks of the settings listed below.",
        "The paper's own protocols (linear probe and transfer of the paper) choose an epoch or C on the test set: "
        "their numbers are optimistic, and compare with the paper's alone.",
    ]
    if set(results.config.get("tuning_seeds") or []) & set(seeds):
        lines.append("Some seeds shown here were also used to choose options, which biases the results.")
    return Section("limits", "What this does not show", [bullets(lines)])


def made(results: Results) -> Section:
    """Missing results, settings, provenance, data."""
    parts: list[str] = []
    if results.missing:
        notice = Markup(
            '<div class="notice" id="missing"><h3>Missing results ({})</h3>{}'
            "<p>Run <code>snakemake</code> again; the logs are in <code>{}/logs</code>.</p></div>"
        )
        parts.append(notice.format(len(results.missing), bullets(results.missing), results.folder))
    parts += [_yaml(dict(_facts(results))), *_sources(results)]
    if results.shared:
        headings = ["data set", "split", "test pictures", "of these in training", "look like one"]
        rows = [
            [Cell(dataset), Cell(split), *(Cell(f"{n:,}", n) for n in counts), Cell(percent(change, 2), change)]
            for (dataset, split), (*counts, change) in results.shared.items()
        ]
        note = "All stay in the scores; the last column is the largest difference that leaving them out makes to any."
        parts.append(table("Pictures on both sides of a split", [*headings, "largest change, points"], rows, note))
    for name, settings in results.config["experiments"].items():
        parts.append(fold(f"Settings of {name}", _yaml(settings)))
    return Section("made", "How it was made", parts)


def _yaml(value: Row) -> Markup:
    return Markup("<pre>{}</pre>").format(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110))


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or "not recorded"


def _facts(results: Results) -> Iterator[tuple[str, Any]]:
    config = results.config
    yield "config hash", config_hash({key: value for key, value in config.items() if key != "paths"})
    yield "seeds", _distinct(config["seeds"])
    yield "seeds that options were chosen on", _distinct(config.get("tuning_seeds") or ["none"])
    yield "trainings finished", f"{len(results.trained)} of {len(results.grid.runs)}"
    yield "tests", config["significance"]
    runs = [found.get("provenance") or {} for found in results.trained.values()]
    for key in ("git_commit", "git_dirty", "device", "platform", "container", "python"):
        yield key, _distinct(run.get(key) for run in runs)
    names = dict.fromkeys(name for run in runs for name in run.get("packages") or {})
    yield "packages", {name: _distinct((run.get("packages") or {}).get(name) for run in runs) for name in names}


def _sources(results: Results) -> Iterator[str]:
    """Data sets with their licence and origin, from the manifests of the shards, which need not be there any more."""
    paths = {key: Path(value) for key, value in results.config["paths"].items()}
    used = [(e["dataset"], e["split"]) for e in results.config["experiments"].values()]
    used += [(row["dataset"], row["split"]) for row in results.values]
    rows, credit = [], dict[str, str]()
    for dataset, split in dict.fromkeys(used):
        path = paths["shards"] / dataset / split / "manifest.json"
        if not path.is_file():
            continue
        with making_sense(path):
            manifest = read_json(path)
            source = manifest.get("source") or {}
            counts = [Cell(f"{n:,}", n) for n in (manifest["samples"], len(manifest.get("skipped") or []))]
            rows.append([dataset, split, *counts, str(manifest.get("licence") or "not stated"), _origin(source)])
        attribution = paths["raw"] / str(source.get("source", dataset)) / "ATTRIBUTION.md"
        if attribution.is_file():
            credit[attribution.read_text(encoding="utf-8").strip()] = dataset
    if rows:
        yield table("Data and licences", ["data set", "split", "samples", "left out as bad", "licence", "source"], rows)
    for text, dataset in credit.items():
        yield fold(f"Credits for {dataset}", Markup("<pre>{}</pre>").format(text))


def _origin(source: Row) -> str:
    parts = [str(source[key]) for key in ("origin", "version", "copyright", "homepage") if source.get(key)]
    for package, about in (source.get("packages") or {}).items():
        parts.append(f"{about.get('name', package)} {about.get('version', '')}".strip())
    return ", ".join(parts) or "not stated"
