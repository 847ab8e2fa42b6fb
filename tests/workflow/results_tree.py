"""A tiny finished benchmark on disk: `write_tree(folder)` returns its resolved config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.files import write_json
from workflow.grid import Grid, Run

SEEDS = [1, 2, 3]
GAIN = {"none": 0.0, "glofnd": 0.02, "oracle": 0.1, "raw-pixels": -0.3}
PROVENANCE = {
    "git_commit": "0123abc",
    "git_dirty": False,
    "device": "cpu",
    "wall_seconds": 2.5,
    "packages": {"torch": "2"},
}


def config(folder: Path, **experiment: Any) -> dict[str, Any]:
    """One experiment, three detectors, three seeds, one baseline."""
    return {
        "paths": {"raw": "raw", "shards": "shards", "results": str(folder)},
        "seeds": SEEDS,
        "datasets": {"digits": {"dataset": "digits"}},
        "experiments": {
            "exp": {
                "modality": "unimodal",
                "dataset": "digits",
                "split": "train",
                "label": "label",
                "encoder": {"name": "resnet18"},
                "views": {"flip": 0.5},
                "training": {"epochs": 2, "lr": 0.001},
                "objectives": {"sogclr": {"method": "sogclr", "gamma": 0.9}},
                "rivals": {},
                "detectors": {
                    "none": {"method": "none"},
                    "glofnd": {"method": "glofnd", "alpha": 0.1, "clip": None},
                    "oracle": {"method": "oracle", "start_filter": 1},
                },
                "baselines": ["raw-pixels"],
                "models": {},
                "init_from": None,
                "evaluations": {"linear": [{"dataset": "digits"}], "discovery": [{"dataset": "digits"}]},
                **experiment,
            }
        },
        "significance": {"baseline": "none", "confidence": 0.95, "primary": ["linear"]},
        "mlflow": {"tracking_uri": None, "prefix": ""},
    }


def value(run: Run, fraction: float | None) -> float:
    """What a run scores: its method's gain, and noise that its seed shares with all others."""
    noise = {1: 0.01, 2: -0.02, 3: 0.005}[run.seed]
    own = 0.001 * run.seed if run.detector != "none" else 0.0
    return 0.6 + 0.2 * (fraction or 0) + GAIN[run.detector] + noise + own


def metrics(run: Run, evaluation: str) -> dict[str, Any]:
    """The content of one metrics.json."""
    common = {"dataset": "digits", "higher_is_better": True, "n": 360, "stderr": 0.01}
    if evaluation == "linear":
        rows = [
            {
                **common,
                "split": "test",
                "metric": name,
                "fraction": f,
                "value": value(run, f),
                "primary": name == "top1",
            }
            for name in ("top1", "top5")
            for f in (1, 0.1)
        ]
    else:
        rows = [{**common, "split": "train", "metric": "f1", "fraction": None, "value": value(run, None)}]
        rows.append({**common, "split": "train", "metric": "precision", "fraction": None, "value": None})
    identity = {"id": run.id, "experiment": run.experiment, "objective": run.objective, "detector": run.detector}
    return {
        "format": 1,
        "run": {**identity, "seed": run.seed, "kind": run.kind},
        "evaluation": evaluation,
        "protocol": f"{evaluation}-protocol",
        "metrics": rows,
        "provenance": PROVENANCE,
    }


def write_tree(folder: Path, **experiment: Any) -> dict[str, Any]:
    """Write every metrics.json and history.json of the benchmark; returns its resolved config."""
    made = config(folder, **experiment)
    grid = Grid(made)
    for run in grid.all_runs:
        place = Path(grid.run_folder(run))
        if run.kind == "method":
            detection = {
                "image": {"precision": 0.5, "recall": 0.4, "f1": 0.44, "dropped_share": 0.1, "true_share": 0.1}
            }
            threshold = {"image": {"q05": 0.1, "q25": 0.2, "q50": 0.3, "q75": 0.4, "q95": 0.5}}
            epochs: list[dict[str, Any]] = [{"epoch": 0, "loss": 2.0, "lr": 0.001, "seconds": 1.5}]
            epochs.append({"epoch": 1, "loss": 1.0, "lr": 0.0005, "seconds": 1.5})
            epochs[1] |= {"detection": detection, "threshold": threshold}
            write_json(place / "history.json", {"epochs": epochs})
            write_json(place / "metrics.json", {**metrics(run, "pretraining"), "metrics": []})
            (place / "checkpoint.pt").write_bytes(b"weights")
        for evaluation in grid.evaluations(run):
            write_json(place / evaluation / "metrics.json", metrics(run, evaluation))
    write_json(folder / "benchmark.json", made)
    return made
