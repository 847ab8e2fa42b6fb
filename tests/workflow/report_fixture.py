"""A small results tree that follows docs/architecture.md, with numbers a test can turn: `write_results(folder)`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from discovery_fixture import predictions
from lxml import html

from workflow.scripts.report import main
from workflow.scripts.significance import comparisons, overall

SEEDS = [1, 2, 3]
DETECTORS = {
    "none": {"method": "none"},
    "batch-quantile": {"method": "batch-quantile", "alpha": 0.1, "start_filter": 4},
    "glofnd": {"method": "glofnd", "alpha": 0.1, "start_update": 2, "start_filter": 4},
    "oracle": {"method": "oracle", "start_filter": 4},
}
GAINS = {"none": 0.0, "batch-quantile": 0.02, "glofnd": 0.04, "oracle": 0.11}
QUALITY = {"batch-quantile": 0.5, "glofnd": 0.56, "oracle": 1.0}
FRACTIONS = [1.0, 0.1, 0.01, 0.002]
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
EMOJI = ["grinning face", "red heart", "dog face", "pizza", "rocket"]


DISCOVERED = (
    *("precision", "recall", "f1", "f1_per_anchor", "f1_per_class", "dropped_share", "base_rate", "f1@parity"),
    *("threshold_error", "exact_f1"),
)


def config(folder: Path) -> dict[str, Any]:
    """A resolved config of one unimodal and one bimodal experiment."""
    training = {"epochs": 12, "batch_size": 256, "precision": "bf16", "optimizer": "adamw", "lr": 0.001}
    probe = {"dataset": "fashion-mnist", "train": "train", "test": "test", "fractions": FRACTIONS}
    return {
        "paths": {"raw": str(folder / "raw"), "shards": str(folder / "shards"), "results": str(folder)},
        "seeds": SEEDS,
        "tuning_seeds": [100, 101],
        "datasets": {"fashion-mnist": {}, "emoji": {}, "digits": {}},
        "experiments": {
            "fashion-mnist": {
                "modality": "unimodal",
                "dataset": "fashion-mnist",
                "split": "train",
                "label": "label",
                "encoder": {"name": "resnet18", "width": 16},
                "views": {"size": 32},
                "training": training,
                "objectives": {"sogclr": {"method": "sogclr", "temperature": 0.1, "gamma": 0.9}},
                "detectors": DETECTORS,
                "baselines": ["raw-pixels", "random-init"],
                "evaluations": {
                    "linear": [probe],
                    "transfer": [{"dataset": "digits", "train": "train", "test": "test"}],
                    "discovery": [{"dataset": "fashion-mnist", "split": "train"}],
                },
            },
            "emoji": {
                "modality": "bimodal",
                "dataset": "emoji",
                "split": "train",
                "label": "concept",
                "encoder": {"name": "open-clip", "model": "tiny"},
                "views": {},
                "training": training,
                "objectives": {"fastclip-v1": {"method": "fastclip-v1", "temperature": 0.03}},
                "detectors": {label: DETECTORS[label] for label in ("none", "glofnd")},
                "baselines": [],
                "evaluations": {
                    "zero-shot": [{"dataset": "emoji", "split": "test-vendor"}],
                    "retrieval": [{"dataset": "emoji", "split": "test-vendor"}],
                    "discovery": [{"dataset": "emoji", "split": "train"}],
                },
            },
        },
        "significance": {
            "baseline": "none",
            "confidence": 0.95,
            "bootstrap": 100,
            "primary": ["linear", "transfer", "zero-shot", "retrieval"],
        },
        "mlflow": {"tracking_uri": None},
    }


Column = tuple[str, str, str, str, float | None, float, bool]
"""evaluation, data set, split, metric, fraction, level of `none`, higher is better."""


def _columns(experiment: str) -> list[Column]:
    if experiment == "fashion-mnist":
        levels = [0.82, 0.784, 0.616, 0.503]
        linear: list[Column] = [
            ("linear", "fashion-mnist", "test", "top1", f, v, True) for f, v in zip(FRACTIONS, levels, strict=True)
        ]
        return [*linear, ("transfer", "digits", "test", "top1", None, 0.93, True)]
    return [
        ("zero-shot", "emoji", "test-vendor", "top1", None, 0.31, True),
        ("zero-shot", "emoji", "test-vendor", "top5", None, 0.55, True),
        ("retrieval", "emoji", "test-vendor", "image-to-text-recall-at-1", None, 0.12, True),
        ("retrieval", "emoji", "test-vendor", "text-to-image-recall-at-1", None, 0.10, True),
    ]


def _rows(settings: dict[str, Any], gains: dict[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for name, experiment in settings["experiments"].items():
        objective = next(iter(experiment["objectives"]))
        columns = _columns(name)
        common = {(column, seed): rng.normal(0, 0.008) for column in columns for seed in settings["seeds"]}

        def add(
            objective: str, detector: str, kind: str, seed: int, column: Column, value: float, name: str = name
        ) -> None:
            evaluation, dataset, split, metric, fraction, _, higher = column
            rows.append(
                {
                    "experiment": name,
                    "objective": objective,
                    "detector": detector,
                    "seed": seed,
                    "kind": kind,
                    "evaluation": evaluation,
                    "protocol": f"{evaluation}-validated",
                    "dataset": dataset,
                    "split": split,
                    "metric": metric,
                    "fraction": fraction,
                    "value": value,
                    "stderr": 0.004,
                    "n": 1000,
                    "higher_is_better": higher,
                    "primary": metric in ("top1", "image-to-text-recall-at-1", "text-to-image-recall-at-1"),
                    "chance": 0.1 if kind != "discovery" and name == "fashion-mnist" else 0.002,
                }
            )

        for (column, seed), shift in common.items():
            scale = 1.0 if column[4] is None else 1 / (1 + 8 * column[4])
            for detector in experiment["detectors"]:
                gain = gains[detector] * scale + rng.normal(0, 0.001)
                add(objective, detector, "method", seed, column, column[5] + shift + gain)
            for number, baseline in enumerate(experiment["baselines"]):
                add("baseline", baseline, "baseline", seed, column, 0.8 * column[5] - 0.1 * number)
        for seed in settings["seeds"]:
            for detector in experiment["detectors"]:
                for metric in DISCOVERED:
                    level = QUALITY.get(detector, 0.0) + rng.normal(0, 0.004) * (detector not in ("none", "oracle"))
                    discovery: Column = (
                        "discovery", experiment["dataset"], "train", metric, None, 0.0, metric != "threshold_error",
                    )  # fmt: skip
                    add(objective, detector, "method", seed, discovery, max(level, 0.0))
            for baseline in experiment["baselines"]:
                for metric in DISCOVERED[:-1]:
                    add(
                        "baseline",
                        baseline,
                        "baseline",
                        seed,
                        ("discovery", name, "train", metric, None, 0.0, True),
                        0.3,
                    )
    for row in rows:
        if row["evaluation"] == "discovery":
            row["chance"] = float("nan")
    return rows


def _history(detector: str, sides: list[str], rng: np.random.Generator) -> dict[str, Any]:
    epochs = []
    for epoch in range(12):
        loss = 3.2 * np.exp(-epoch / 4) + 1.5 - GAINS[detector] * max(epoch - 3, 0) / 4 + rng.normal(0, 0.02)
        entry: dict[str, Any] = {"epoch": epoch, "loss": loss, "lr": 1e-3, "seconds": 3.1, "images_per_second": 1500.0}
        if detector != "none" and epoch >= 4:
            quality = QUALITY[detector] * (1 - 0.4 * np.exp(-(epoch - 4) / 2) * (detector != "oracle"))
            entry["detection"] = {
                side: {
                    "dropped_share": 0.1, "precision": quality, "recall": quality, "f1": quality, "true_share": 0.1
                }
                for side in sides
            }  # fmt: skip
        if detector == "glofnd" and epoch >= 2:
            centre = 0.5 + 0.3 * np.exp(-(epoch - 2) / 3)
            spread = {"q05": -0.18, "q25": -0.07, "q50": 0.0, "q75": 0.06, "q95": 0.14}
            entry["threshold"] = {side: {q: centre + shift for q, shift in spread.items()} for side in sides}
        epochs.append(entry)
    return {"epochs": epochs}


def gallery(path: Path, names: list[str], quality: float, colour: bool, rng: np.random.Generator) -> None:
    """A gallery of simple drawings: one pattern per class; the last find of each anchor is missing."""
    anchors, places, size = 6, 8, 28
    grid = np.indices((size, size)).sum(0)
    patterns = np.stack([(grid // (3 + k) % 2) * 150 + 60 for k in range(len(names))]).astype(np.uint8)

    def draw(label: int) -> np.ndarray:
        image = np.repeat(patterns[label][..., None], 3, axis=-1).astype(float) + rng.normal(0, 12, (size, size, 1))
        return np.clip(image * ([1, 0.7, 0.35] if colour else [1, 1, 1]), 0, 255).astype(np.uint8)

    anchor_label = np.arange(anchors) % len(names)
    correct = rng.random((anchors, places)) < quality
    if quality < 1:
        correct[0, 1] = False
    other = (anchor_label[:, None] + 1 + rng.integers(0, len(names) - 1, (anchors, places))) % len(names)
    label = np.where(correct, anchor_label[:, None], other)
    found = rng.integers(0, 5000, (anchors, places))
    found[:, -1] = -1
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        anchor=np.arange(anchors),
        anchor_image=np.stack([draw(k) for k in anchor_label]),
        anchor_label=anchor_label,
        threshold=np.where(quality < 1, rng.uniform(0.5, 0.6, anchors), np.nan),
        found=found,
        found_image=np.stack([np.stack([draw(k) for k in row]) for row in label]),
        found_label=label,
        similarity=np.sort(rng.uniform(0.6, 0.99, (anchors, places)), axis=1)[:, ::-1],
        correct=correct,
        label_names=np.array(names),
    )


def _samples(table: pd.DataFrame) -> pd.DataFrame:
    """The table as if it had been tested over 1,000 test samples: half a point of error, another hundredth of a p."""
    tested = table["evaluation"] != "discovery"
    made = {"samples": 1000, "p_mcnemar_holm": table["p_holm"] / 100}
    for name, half in (("sample", 0.005), ("both", 0.012)):
        made |= {f"{name}_low": table["difference"] - half, f"{name}_high": table["difference"] + half}
    return table.assign(**{name: pd.Series(value, table.index).where(tested) for name, value in made.items()})


def write_results(folder: Path, gains: dict[str, float] | None = None) -> Path:
    """Write the tree below `folder`; returns its benchmark.json. `gains`: points over `none` by detector."""
    rng = np.random.default_rng(7)
    settings = config(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.json").write_text(json.dumps(settings), encoding="utf-8")
    summary = pd.DataFrame(_rows(settings, gains or GAINS, rng))
    summary.to_parquet(folder / "summary.parquet")
    _samples(comparisons(summary, settings, folder)).to_csv(folder / "significance.csv", index=False)
    overall(summary, settings["significance"]).to_csv(folder / "significance_overall.csv", index=False)
    for row in summary[["experiment", "objective", "detector", "seed", "evaluation"]].drop_duplicates().itertuples():
        path = (
            folder
            / f"runs/{row.experiment}/{row.objective}/{row.detector}/seed{row.seed}/{row.evaluation}/metrics.json"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        shared = {"shared_pictures": 1, "near_duplicates": 14, "value": 0.5, "clean_value": 0.4988, "n": 10_000}
        probed = [{"dataset": "fashion-mnist", "split": "test", **shared}] if row.evaluation == "linear" else []
        path.write_text(json.dumps({"metrics": probed}), encoding="utf-8")
    for name, experiment in settings["experiments"].items():
        objective = next(iter(experiment["objectives"]))
        bimodal = experiment["modality"] == "bimodal"
        for detector in experiment["detectors"]:
            for seed in settings["seeds"]:
                run = folder / f"runs/{name}/{objective}/{detector}/seed{seed}"
                history = _history(detector, ["image", "text"] if bimodal else ["image"], rng)
                (run / "history.json").write_text(json.dumps(history), encoding="utf-8")
                if not bimodal:
                    (run / "linear").mkdir(exist_ok=True)
                    guess = np.where(rng.random((2, 200)) < QUALITY.get(detector, 0.4), np.arange(200) % 10, 0)
                    np.savez(run / "linear/predictions.npz", **{"fashion-mnist.test.label.prediction": guess})
                made = {
                    "git_commit": "0123456789abcdef", "git_dirty": False, "device": "cpu", "python": "3.11.2",
                    "packages": {"torch": "2.14.1"}, "platform": "linux x86_64", "wall_seconds": 71.5,
                    "peak_memory_mb": 900.0,
                }  # fmt: skip
                (run / "metrics.json").write_text(json.dumps({"provenance": made}), encoding="utf-8")
                names = EMOJI if bimodal else FASHION
                sides, quality = ["image", "text"] if bimodal else ["image"], QUALITY.get(detector, 0.3)
                learned = detector not in ("none", "oracle")
                predictions(run, f"{name}.train", sides, experiment["label"], names, quality, learned)
                if detector != "none":
                    gallery(run / "discovery/gallery.npz", names, QUALITY[detector], bimodal, rng)
    for seed in settings["seeds"]:
        run = folder / f"runs/fashion-mnist/baseline/raw-pixels/seed{seed}"
        predictions(run, "fashion-mnist.train", ["image"], "label", FASHION, 0.2, shifted=True)
    source = {"source": "fashion-mnist", "origin": "Debian package dataset-fashion-mnist", "sha256": {"x": "0" * 64}}
    manifest = folder / "shards/fashion-mnist/train/manifest.json"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"samples": 8192, "licence": "MIT", "source": source}), encoding="utf-8")
    credits_file = folder / "raw/fashion-mnist/ATTRIBUTION.md"
    credits_file.parent.mkdir(parents=True, exist_ok=True)
    credits_file.write_text("Pictures: <Zalando> SE, MIT", encoding="utf-8")
    return folder / "benchmark.json"


def make(folder: Path, *more: str) -> str:
    """The report of a tree, made by its command."""
    out = folder / "report.html"
    main(["--benchmark", str(folder / "benchmark.json"), "--out", str(out), *more])
    return out.read_text(encoding="utf-8")


def text(element: html.HtmlElement) -> str:
    """What a reader sees of an element, on one line."""
    return re.sub(r"\s+", " ", element.text_content()).strip()
