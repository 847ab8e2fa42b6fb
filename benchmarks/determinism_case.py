"""One case of `determinism.py`, in a process of its own: what it found stands in found.npz of its folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["evaluate", "train"]

BATCH, STEPS = 64, 100
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
TASK = {"dataset": "noise", "fractions": [1, 0.1], "draws": [1, 1]}
Array = NDArray[Any]


def _config(training: dict[str, Any], seed: int) -> dict[str, Any]:
    from glofnd.detectors import LocationScale
    from glofnd.encoders import ResNet18
    from glofnd.objectives import SogCLR
    from glofnd.parameters import parameters
    from glofnd.pretraining import TrainingOptions
    from glofnd.views import TwoViews

    def block(target: Callable[..., Any], **given: Any) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in parameters(target).items()} | given

    small = {"width": 8, "stem": "pooled", "projector_hidden": 64, "projector_dim": 32}
    # 16 steps an epoch; false negatives are dropped from the second on.
    detector = {"alpha": 0.1, "start_filter": 1}
    return {
        "run": f"noise/sogclr/location-scale/seed{seed}",
        "experiment": "noise",
        "modality": "unimodal",
        "seed": seed,
        "dataset": "noise",
        "label": "label",
        "encoder": {"name": "resnet18", **block(ResNet18, **small)},
        "views": block(TwoViews),
        "training": block(TrainingOptions, epochs=7, batch_size=BATCH, device="cpu", **training),
        "objective": {"label": "sogclr", "method": "sogclr", **block(SogCLR)},
        "detector": {"label": "location-scale", "method": "location-scale", **block(LocationScale, **detector)},
    }


def _call(main: Callable[[], object], *arguments: object) -> None:
    sys.argv = ["command", *map(str, arguments)]
    with contextlib.suppress(SystemExit):
        main()


def _scores(folder: Path) -> dict[str, Array]:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    scores = {f"{entry['metric']} of {entry['fraction']}": np.array(entry["value"]) for entry in metrics}
    # How far the solver stopped from the optimum: a number that shows any other rounding.
    gaps = {f"gap of {entry['fraction']}": np.array(entry["gap"]) for entry in metrics if "gap" in entry}
    return scores | gaps


def train(training: dict[str, Any], seed: int, processes: int, shards: Path, out: Path) -> None:
    """Train, extract features, probe; losses of all steps (of all epochs alone where there are several processes)."""
    from evaluation.__main__ import main as evaluation
    from glofnd import checkpoint
    from glofnd.pretraining import pretrain
    from glofnd.pretraining.history import EpochRecord

    losses: list[float] = []
    original = EpochRecord.add_step

    def add_step(record: EpochRecord, loss: float, seconds: float) -> None:
        losses.append(loss)
        original(record, loss, seconds)

    config, split = _config(training, seed), shards / "noise" / "train"
    if processes == 1:
        EpochRecord.add_step = add_step  # type: ignore[method-assign, assignment]
        pretrain(config, split, out)
    else:
        command = [*TORCHRUN, str(processes), __file__, json.dumps(config), str(split), str(out)]
        subprocess.run(command, check=True)
    state = checkpoint.read(out / "checkpoint.pt")
    last = state["history"][-1]
    where = ("--checkpoint", out / "checkpoint.pt", "--shards", shards)
    splits = ("--split", "noise/train", "--split", "noise/test")
    _call(evaluation, "features", *where, *splits, "--out", out / "features")
    _call(evaluation, "linear", "--features", out / "features", "--task", json.dumps(TASK), "--out", out / "linear")
    found = {
        "loss of epochs": np.array([entry["loss"] for entry in state["history"]]),
        "weights": np.concatenate([value.numpy().ravel() for value in state["model"].values()]),
        "median threshold": np.array(last["threshold"]["image"]["q50"]),
        "F1 of false negatives": np.array(last["detection"]["image"]["f1"]),
        **_scores(out / "linear"),
    }
    if losses:
        found["loss"] = np.array(losses[:STEPS])
    np.savez(out / "found.npz", allow_pickle=False, **found)


def evaluate(features: Path, out: Path) -> None:
    """Probe, transfer, neighbours and statistics on stored features, with the threads of the environment."""
    from evaluation.__main__ import main as evaluation
    from evaluation.sample_tests import compare_samples
    from evaluation.significance import compare

    threads, found = os.environ["OMP_NUM_THREADS"], dict[str, Array]()
    for command, task in (("linear", TASK), ("transfer", {"dataset": "noise"})):
        options = ("--features", features, "--task", json.dumps(task), "--out", out / command, "--threads", threads)
        _call(evaluation, command, *options)
        found |= {f"{command}: {name}": value for name, value in _scores(out / command).items()}
        with np.load(out / command / "predictions.npz") as predictions:
            # The share of test samples that are predicted differently.
            found |= {f"{command}: {n}": predictions[n] for n in predictions.files if n.endswith(".prediction")}
    generator = np.random.default_rng(0)
    hits = (generator.random((2, 5, 1000)) < 0.7).astype(np.int64)
    over_seeds = vars(compare(generator.normal(0.01, 0.02, 10)))
    over_samples = vars(compare_samples(*hits))
    for name, part in (("over seeds", over_seeds), ("over samples", over_samples)):
        found |= {f"statistics {name}: {key}": np.array(value, np.float64) for key, value in part.items()}
    np.savez(out / "found.npz", allow_pickle=False, **found)


if __name__ == "__main__":
    # One of several processes, started by `train`.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from glofnd.pretraining import pretrain

    pretrain(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
