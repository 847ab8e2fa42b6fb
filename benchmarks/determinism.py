"""How far the same config and seed give the same numbers when threads, kernels or processors are others.

    python benchmarks/determinism.py --json determinism.json            about four minutes on two idle cores
    python benchmarks/determinism.py --only threads --json some.json    cases whose name holds "threads", and references

Each case is a process of its own, since what it varies must be set before torch starts: it trains a ResNet-18 of width
8 for 112 steps of 64 pictures with SogCLR and our location-scale detector, extracts features, and fits the linear probe
and the neighbours; some evaluate the reference's checkpoint. It is compared with the reference of its precision: same
machine, one thread. "seed 2" is what another seed changes, the scale for all others (docs/determinism.md).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from glofnd.files import write_json
from glofnd.progress import progress

SAMPLES, CLASSES, SIDE, BATCH = {"train": 1024, "test": 1000}, 10, 32, 64
TASKS = {"linear": [{"dataset": "noise", "fractions": [1, 0.1], "draws": [1, 1]}]}


@dataclass(frozen=True)
class Case:
    """What is set differently from a reference: keys of `training`, the seed, variables of the environment.

    Where `trained` is False, the reference's checkpoint is evaluated anew.
    """

    reference: str | None
    training: dict[str, Any] = field(default_factory=dict)
    seed: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    processes: int = 1
    trained: bool = True


FP32 = {"precision": "fp32"}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
TWO = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
CASES = {
    "fp32": Case(None, FP32),
    "bf16": Case("fp32"),
    "again, fp32": Case("fp32", FP32),
    "again, bf16": Case("bf16"),
    "workers 2, fp32": Case("fp32", {**FP32, "workers": 2}),
    "threads 2, fp32": Case("fp32", {**FP32, "threads": 2}),
    "threads 2, bf16": Case("bf16", {"threads": 2}),
    "processes 2, fp32": Case("fp32", FP32, processes=2),
    "AVX2 instead of the best, fp32": Case("fp32", FP32, environment=AVX2),
    "oneDNN without bf16 instructions, bf16": Case("bf16", environment={"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    "seed 2, fp32": Case("fp32", FP32, seed=2),
    "evaluation, again": Case("fp32", FP32, trained=False),
    "evaluation, threads 2": Case("fp32", FP32, environment=TWO, trained=False),
    "evaluation, BLAS for AVX2": Case("fp32", FP32, environment={"OPENBLAS_CORETYPE": "Haswell"}, trained=False),
    "evaluation, BLAS for SSE": Case("fp32", FP32, environment={"OPENBLAS_CORETYPE": "Katmai"}, trained=False),
}


def write_pictures(out: Path) -> None:
    """Two splits of noisy pictures of ten classes."""
    from PIL import Image

    from glofnd.data.split import Split
    from glofnd.data.writer import write_shards

    generator = np.random.default_rng(0)
    means = generator.uniform(60, 190, (CLASSES, 4, 4, 3)).repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    for split, samples in SAMPLES.items():
        labels, payloads = [i % CLASSES for i in range(samples)], []
        for label in labels:
            buffer = io.BytesIO()
            noisy = np.clip(generator.normal(means[label], 70), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(buffer, "PNG")
            payloads.append(buffer.getvalue())
        content = Split(
            payloads=payloads,
            encode=bytes,
            labels={"label": labels},
            classes={"label": [str(k) for k in range(CLASSES)]},
            captions=None,
            channels=3,
        )
        head = {"dataset": "noise", "split": split, "image_size": SIDE}
        tail: dict[str, Any] = {"licence": "CC0", "source": {}, "config": {}}
        write_shards(content, out / "noise" / split, shards=2, head=head, tail=tail)


def config_of(case: Case) -> dict[str, Any]:
    """The run config of a case."""
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
        "run": f"noise/sogclr/location-scale/seed{case.seed}",
        "experiment": "noise",
        "modality": "unimodal",
        "seed": case.seed,
        "dataset": "noise",
        "label": "label",
        "encoder": {"name": "resnet18", **block(ResNet18, **small)},
        "views": block(TwoViews),
        "training": block(TrainingOptions, epochs=7, batch_size=BATCH, device="cpu", **case.training),
        "objective": {"label": "sogclr", "method": "sogclr", **block(SogCLR)},
        "detector": {"label": "location-scale", "method": "location-scale", **block(LocationScale, **detector)},
    }


def carry_out(case: Case, shards: Path, out: Path) -> None:
    """Train and evaluate; what is compared stands in `out/found.npz`."""
    from evaluation import evaluate
    from glofnd import checkpoint
    from glofnd.pretraining import pretrain
    from glofnd.pretraining.trainer import Trainer

    losses: list[float] = []
    train_step = Trainer.train_step

    def recorded(trainer: Trainer, batch: Any) -> Any:
        losses.append(float(loss := train_step(trainer, batch)))
        return loss

    Trainer.train_step = recorded  # type: ignore[method-assign, assignment]
    config, path = config_of(case), out / "checkpoint.pt"
    if case.trained:
        pretrain(config, shards / "noise" / "train", out)
    else:
        path = out.parent / str(case.reference) / "checkpoint.pt"
    if int(os.environ.get("RANK", 0)):
        return
    state = checkpoint.read(path)
    evaluate(config, TASKS, path, shards, out)
    last = state["history"][-1]
    metrics = json.loads((out / "linear" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    found = {
        "loss of epochs": np.array([entry["loss"] for entry in state["history"]]),
        "weights": np.concatenate([value.numpy().ravel() for value in state["model"].values()]),
        "median threshold": np.array(last["threshold"]["image"]["q50"]),
        "F1 of false negatives": np.array(last["detection"]["image"]["f1"]),
        **{f"{entry['metric']} of {entry.get('fraction')}": np.array(entry["value"]) for entry in metrics},
    }
    with np.load(out / "linear" / "predictions.npz") as predictions:
        found |= {name: predictions[name] for name in predictions.files if name.endswith(".prediction")}
    if case.trained:
        found["loss"] = np.array(losses)
    np.savez(out / "found.npz", allow_pickle=False, **found)


def start(name: str, root: Path) -> None:
    """This script again, for one case."""
    case = CASES[name]
    # Threads that wait must not keep others from running, where there are fewer cores than they are.
    variables = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **dict.fromkeys(TWO, "1"), **case.environment}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(case.processes)]
    command = [sys.executable, *(launcher if case.processes > 1 else []), __file__, "--case", name, str(root)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}:\n{done.stderr}")


def compared(found: Path, reference: Path) -> dict[str, Any]:
    """How far the arrays of two cases are apart, by what they are about; exactly 0 where they are equal bit for bit."""
    with np.load(found) as file, np.load(reference) as other:
        left, right = ({name: archive[name] for name in archive.files} for archive in (file, other))
    distances: dict[str, Any] = {"identical": left.keys() <= right.keys()}
    for name in left.keys() & right.keys():
        same = bool(np.array_equal(left[name], right[name]))
        distances["identical"] &= same
        gap = np.abs(left[name].astype(np.float64) - right[name].astype(np.float64))
        distances[name] = 0.0 if same else float(gap.max())
        if name == "loss":
            distances |= {f"loss at step {step}": float(gap[step - 1]) for step in (1, 10, 100) if step <= len(gap)}
        if name == "weights":
            distances[name] = float(np.sqrt((gap**2).sum() / (right[name].astype(np.float64) ** 2).sum()))
    return distances


def main() -> None:
    """Run all cases, or one of them as their child."""
    parser = argparse.ArgumentParser(description="Determinism, measured.")
    parser.add_argument("--json", type=Path, help="file for the findings")
    parser.add_argument("--only", default="", help="cases whose name holds this text, and their references")
    parser.add_argument("--case", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        name, root = arguments.case[0], Path(arguments.case[1])
        return carry_out(CASES[name], root / "shards", root / name)
    chosen = {name: case for name, case in CASES.items() if arguments.only in name or name in ("fp32", "bf16")}
    machine = {"processor": platform.processor() or platform.machine(), "torch": version("torch")}
    found: dict[str, Any] = {"machine": machine, "cases": {}}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_pictures(root / "shards")
        for name, case in progress(chosen.items(), len(chosen), "determinism", "cases"):
            start(name, root)
            if case.reference:
                distances = compared(root / name / "found.npz", root / case.reference / "found.npz")
                found["cases"][name] = {"reference": case.reference, **distances}
                print(f"{name}: {json.dumps({key: value for key, value in distances.items() if value})}", flush=True)
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
