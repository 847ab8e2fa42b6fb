"""Our objectives beside their peers, in one run: time of forward + backward, share of a training step, memory.

    pip install lightly open_clip_torch
    python benchmarks/objectives.py --json objectives.json          about 10 minutes, one thread
    python benchmarks/objectives.py --old ../before                 beside an earlier checkout of this repository

Contenders take turns within one process, so that a busy machine slows all of them alike; the table shows medians of
wall and CPU time, and how many times as long as ours with GloFND each takes. On a busy machine CPU time is steadier.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import glofnd
from benchmarks.contenders import Contender, bimodal, checkout, missing, unimodal

OURS = {"unimodal": "SogCLR + GloFND", "bimodal": "FastCLIP v1 + GloFND"}

K = TypeVar("K")


def race(contenders: Mapping[K, Contender], seconds: float, at_least: int) -> dict[K, dict[str, float]]:
    """Median milliseconds of each contender, wall (`ms`) and CPU (`cpu_ms`), in rounds for at least `seconds`."""
    for call in contenders.values():
        call()
    times: dict[K, list[tuple[float, float]]] = {name: [] for name in contenders}
    begin = time.perf_counter()
    while len(next(iter(times.values()))) < at_least or time.perf_counter() - begin < seconds:
        for name, call in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            times[name].append(((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3))
    medians = {name: [statistics.median(kind) for kind in zip(*found, strict=True)] for name, found in times.items()}
    return {name: {"ms": wall, "cpu_ms": cpu} for name, (wall, cpu) in medians.items()}


def training_step() -> dict[str, float]:
    """CPU time of a step of torchvision's ResNet-18 (128 pictures of 32 x 32, two views), and GloFND's share of it."""
    from torchvision.models import resnet18

    model, views, index = resnet18(num_classes=128), torch.randn(256, 3, 32, 32), torch.arange(128)

    def encoder() -> None:
        model.zero_grad()
        model(views).square().sum().backward()

    def loss(detector: Any) -> Contender:
        objective = glofnd.SogCLR(128, detector=detector)
        z = [torch.randn(128, 128, requires_grad=True) for _ in range(2)]
        return lambda: objective(*z, index, epoch=0).backward()

    step = race({"encoder": encoder}, 0, 3)["encoder"]["cpu_ms"]
    times = race({"plain": loss(None), "with": loss(glofnd.GloFND(128))}, 0, 100)
    plain, added = times["plain"]["cpu_ms"], times["with"]["cpu_ms"]
    return {"encoder_ms": step, "objective_ms": plain, "with_glofnd_ms": added, "share": (added - plain) / step}


def peak_memory(batch: int = 16384, dim: int = 256) -> float:
    """Peak MB of a SogCLR + GloFND step beyond what is held before it, in a process of its own (Linux)."""
    code = f"""
import torch, glofnd
from pathlib import Path
def held(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))
def step(*z):
    glofnd.SogCLR(len(z[0]), detector=glofnd.GloFND(len(z[0])))(*z, torch.arange(len(z[0])), epoch=0).backward()
torch.set_num_threads(1)
step(*(torch.randn(8, {dim}, requires_grad=True) for _ in range(2)))
z = [torch.randn({batch}, {dim}, requires_grad=True) for _ in range(2)]
before = held("VmRSS")
step(*z)
print(held("VmHWM") - before)"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _shown(found: dict[str, float], ours: dict[str, float], key: str) -> str:
    return f"{key.removesuffix('ms'):4s} {found[key]:9.2f} ms {found[key] / ours[key]:6.2f}   "


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--old", type=Path, help="an earlier checkout of this repository, to race against")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 1024, 2048])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="at least this long per race")
    parser.add_argument("--rounds", type=int, default=7, help="at least so many rounds per race")
    parser.add_argument("--races-only", action="store_true", help="leave out memory and training step")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(*missing(), sep="\n", end="\n" if missing() else "")
    packages: dict[str, Any] = {"": glofnd}
    if arguments.old:
        packages[" (old)"] = checkout(arguments.old)
    result: dict[str, Any] = {"torch": torch.__version__, "threads": arguments.threads, "races": []}
    for dim in arguments.dims:
        for batch in arguments.batches:
            for kind, contenders in (("unimodal", unimodal), ("bimodal", bimodal)):
                times = race(contenders(batch, dim, packages), arguments.seconds, arguments.rounds)
                result["races"].append({"kind": kind, "batch": batch, "dim": dim, "times": times})
                print(f"\n{kind}, B = {batch}, D = {dim} (load {os.getloadavg()[0]:.1f})")
                for name, found in times.items():
                    print(f"  {name:36s}", *(_shown(found, times[OURS[kind]], key) for key in found), flush=True)
    if not arguments.races_only:
        result["training_step"] = training_step()
        result["peak_extra_mb"] = peak_memory()
        print("\n", json.dumps({key: value for key, value in result.items() if key != "races"}, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
