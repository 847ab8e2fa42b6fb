"""How far the same config and seed give the same numbers when threads, kernels or processors are others.

    python benchmarks/determinism.py --json determinism.json            about four minutes on two idle cores
    python benchmarks/determinism.py --only threads --json some.json    cases whose name holds "threads", and references

Each case is a process of its own, since what it varies must be set before torch starts: it trains a ResNet-18 of width
8 for 112 steps of 64 pictures with SogCLR and GloFND, extracts features, and fits the linear probe and the neighbours.
It is compared with the reference of its precision: same machine, one thread, channels last. "seed 2" is what another
seed changes, the scale for all others. Then the evaluations on stored features are repeated with other threads and
kernels. docs/determinism.md has the figures and what follows.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.determinism_case import evaluate, train
from glofnd.files import write_json
from glofnd.progress import progress

SAMPLES, CLASSES, SIDE = {"train": 1024, "test": 1000}, 10, 32


@dataclass(frozen=True)
class Case:
    """What is set differently from a reference: keys of `training`, the seed, variables of the environment."""

    reference: str | None
    training: dict[str, Any] = field(default_factory=dict)
    seed: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    processes: int = 1


FP32 = {"precision": "fp32"}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
TRAININGS = {
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
}
EVALUATIONS: dict[str, dict[str, str]] = {
    "reference": {},
    "again": {},
    "threads 2": {"threads": "2"},
    "BLAS for AVX2": {"OPENBLAS_CORETYPE": "Haswell"},
    "BLAS for SSE": {"OPENBLAS_CORETYPE": "Katmai"},
    "all for AVX2": {"OPENBLAS_CORETYPE": "Haswell", **AVX2},
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


def child(*arguments: object, **environment: str) -> None:
    """This script again, for one case."""
    threads = environment.pop("threads", "1")
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    # Threads that wait must not keep others from running, where there are fewer cores than they are.
    variables = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **numbers, **environment}
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)}:\n{done.stderr}")


def processor() -> str:
    """Its name, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def compared(found: Path, reference: Path) -> dict[str, Any]:
    """How far the arrays of two cases are apart, by what they are about; exactly 0 where they are equal bit for bit."""
    with np.load(found) as file, np.load(reference) as other:
        left, right = ({name: archive[name] for name in archive.files} for archive in (file, other))
    distances: dict[str, Any] = {"identical": left.keys() == right.keys()}
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
    parser.add_argument("--train", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--evaluate", nargs=2, metavar=("FEATURES", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        case, folder = TRAININGS[arguments.train[0]], Path(arguments.train[1])
        return train(case.training, case.seed, case.processes, folder.parent.parent / "shards", folder)
    if arguments.evaluate:
        return evaluate(*map(Path, arguments.evaluate))

    asked = {name for name in TRAININGS if arguments.only in name}
    chosen = {name: TRAININGS[name] for name in TRAININGS if name in asked | {"fp32", "bf16"}}
    found: dict[str, Any] = {"training": {}, "evaluation": {}}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_pictures(root / "shards")
        for name, case in progress(chosen.items(), len(chosen), "trainings", "cases"):
            child("--train", name, root / "runs" / name, **case.environment)
            if case.reference:
                where = [root / "runs" / which / "found.npz" for which in (name, case.reference)]
                found["training"][name] = {"reference": case.reference, **compared(*where)}
        features = root / "runs" / "fp32" / "features"
        for name, environment in progress(EVALUATIONS.items(), len(EVALUATIONS), "evaluations", "cases"):
            child("--evaluate", features, root / "evaluations" / name, **environment)
            if name != "reference":
                where = [root / "evaluations" / which / "found.npz" for which in (name, "reference")]
                found["evaluation"][name] = compared(*where)
    found["machine"] = {"processor": processor(), "torch": version("torch"), "numpy": version("numpy")}
    for part in ("training", "evaluation"):
        for name, distances in found[part].items():
            print(f"{name}: {json.dumps({key: value for key, value in distances.items() if value})}")
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
