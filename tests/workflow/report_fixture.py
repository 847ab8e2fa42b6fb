"""A small finished benchmark with numbers that a test can turn: `write_results(folder, gains)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from glofnd.files import write_json
from tests.workflow import results_tree
from workflow.grid import Grid, Run
from workflow.tables import write_tables

DETECTORS = {
    "none": {"method": "none"},
    "batch-quantile": {"method": "batch-quantile", "alpha": 0.1},
    "glofnd": {"method": "glofnd", "alpha": 0.1, "learner": "adam"},
    "location-scale": {"method": "location-scale", "alpha": 0.1},
    "oracle": {"method": "oracle"},
}
GAINS = {"none": 0.0, "batch-quantile": 0.02, "glofnd": 0.04, "location-scale": 0.03, "oracle": 0.08}
FRACTIONS = {1.0: 8192, 0.1: 819, 0.01: 82, 0.001: 10}
CLASSES = ["T-shirt/top", "Trouser", "<b>Bag</b>", "Dress", "Coat"]


def config(folder: Path) -> dict[str, Any]:
    """A resolved config of one unimodal and one bimodal experiment."""
    made = results_tree.config(folder)
    one = made["experiments"].pop("exp")
    one |= {"detectors": DETECTORS, "dataset": "fashion", "label": "label", "rivals": {"dcl": {"method": "dcl"}}}
    one["training"] = {"epochs": 12, "lr": 0.001}
    one["evaluations"] = {"linear": [{"dataset": "fashion"}], "discovery": [{"dataset": "fashion"}]}
    two = {**one, "modality": "bimodal", "dataset": "emoji", "label": "concept", "baselines": [], "rivals": {}}
    two["objectives"] = {"fastclip-v1": {"method": "fastclip-v1"}}
    two["detectors"] = {name: DETECTORS[name] for name in ("none", "glofnd", "oracle")}
    two["evaluations"] = {"retrieval": [{"dataset": "emoji"}], "discovery": [{"dataset": "emoji"}]}
    made["experiments"] = {"fashion": one, "emoji": two}
    made["significance"]["primary"] = ["linear", "retrieval"]
    made["tuning_seeds"] = [101, 102]
    return made


def _result(run: Run, evaluation: str, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    about = {key: getattr(run, key) for key in ("id", "experiment", "objective", "detector", "seed", "kind")}
    made = {**results_tree.PROVENANCE, "peak_memory_mb": 900.0}
    head = {"format": 1, "run": about, "evaluation": evaluation, "protocol": f"{evaluation}-1"}
    return {**head, "metrics": metrics, "provenance": made}


def _metrics(run: Run, evaluation: str, dataset: str, gains: dict[str, float]) -> list[dict[str, Any]]:
    def row(metric: str, value: float | None, **more: Any) -> dict[str, Any]:
        kept = {"dataset": dataset, "split": "test", "fraction": None, "chance": 0.1, "n": 1000, "stderr": 0.01}
        return {**kept, "metric": metric, "value": value, "higher_is_better": True, "primary": False, **more}

    rng = np.random.default_rng([run.seed, len(run.detector), len(dataset)])
    shared = np.random.default_rng(run.seed).normal(0, 0.01)
    gain = gains.get(run.detector, -0.15)
    if evaluation == "discovery":
        quality = min(1.0, 0.3 + 3 * gain + rng.normal(0, 0.01)) if gain > 0 else None
        metrics = [row(name, quality) for name in ("precision", "recall", "f1")]
        metrics += [row("dropped_share", 0.1), row("base_rate", 0.0999)]
        return [*metrics, row("threshold_error", 0.034, higher_is_better=False)]
    if evaluation == "retrieval":
        names = ("image-to-text-recall-at-10", "text-to-image-recall-at-10")
        return [row(name, 0.4 + shared + gain + rng.normal(0, 0.002), primary=True) for name in names]
    metrics, seen = [], {"shared_pictures": 1, "near_duplicates": 14}
    for fraction, count in FRACTIONS.items():
        share = min(1.0, -0.4 * np.log10(fraction))
        value = 0.83 - 0.1 * share + shared + gain * share + rng.normal(0, 0.002)
        more = {"fraction": fraction, "labels_used": count, "clean_value": value - 0.0012, **seen}
        metrics.append(row("top1", value, primary=True, **more))
        metrics.append(row("top5", min(1.0, value + 0.15), fraction=fraction, labels_used=count))
    return metrics


def _history(run: Run, quality: float) -> list[dict[str, Any]]:
    epochs = []
    for epoch in range(12):
        loss = 1.5 + 3 * float(np.exp(-epoch / 4)) - quality + 0.01 * run.seed
        entry: dict[str, Any] = {"epoch": epoch, "loss": loss, "seconds": 3.1, "images_per_second": 1500.0}
        if run.detector == "none":
            nothing = {"precision": None, "recall": 0.0, "f1": 0.0, "dropped_share": 0.0, "true_share": 0.1}
            entry["detection"] = {"image": nothing}
        elif epoch >= 4:
            found = {name: quality * (1 - float(np.exp(2 - epoch))) for name in ("precision", "recall", "f1")}
            entry["detection"] = {"image": {**found, "dropped_share": 0.1, "true_share": 0.1}}
            if run.detector != "oracle":
                middle = 0.5 + 0.3 * float(np.exp(-epoch / 3))
                entry["threshold"] = {"image": {"q05": middle - 0.2, "q50": middle, "q95": middle + 0.1}}
        epochs.append(entry)
    return epochs


def write_gallery(path: Path, seed: int) -> None:
    """Four anchors with three finds each, of which some are wrong; the last place of each is empty."""
    rng = np.random.default_rng(seed)
    label, found = rng.integers(0, 5, (4, 4)), rng.integers(0, 5000, (4, 4))
    found[:, -1] = -1
    images = rng.integers(0, 255, (4, 5, 16, 16, 1), dtype=np.uint8).repeat(3, axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        anchor=np.arange(4),
        anchor_image=images[:, 0],
        anchor_label=label[:, 0],
        threshold=np.full(4, 0.7),
        found=found,
        found_image=images[:, 1:],
        found_label=label,
        similarity=np.sort(rng.uniform(0.7, 1, (4, 4)))[:, ::-1],
        correct=label == label[:, :1],
        label_names=np.array(CLASSES),
    )


def write_results(folder: Path, gains: dict[str, float] | None = None) -> dict[str, Any]:
    """Write a results folder; returns its resolved config. `gains`: by detector, above `none`, as shares."""
    gains, made = gains or GAINS, config(folder)
    grid = Grid(made)
    write_json(folder / "benchmark.json", made)
    for run in grid.all_runs:
        place, dataset = Path(grid.run_folder(run)), made["experiments"][run.experiment]["dataset"]
        for evaluation in grid.evaluations(run):
            found = _result(run, evaluation, _metrics(run, evaluation, dataset, gains))
            write_json(place / evaluation / "metrics.json", found)
        if run.kind == "method":
            write_json(place / "history.json", {"epochs": _history(run, 0.5 + gains[run.detector])})
            training = {"state_bytes_per_sample": 4 if run.detector == "none" else 16}
            write_json(place / "metrics.json", _result(run, "pretraining", []) | {"training": training})
        if run.kind == "method" and run.detector != "none":
            write_gallery(place / "discovery/gallery.npz", run.seed)
    manifest = {"samples": 8192, "licence": "MIT", "source": {"source": "fashion", "origin": "a package"}}
    write_json(folder / "shards/fashion/train/manifest.json", manifest)
    made["paths"] |= {"shards": str(folder / "shards"), "raw": str(folder / "raw")}
    write_json(folder / "benchmark.json", made)
    write_tables(made, folder)
    return made
