"""Our objectives beside their peers: time of forward + backward, and memory.

    pip install -r requirements/bench.in && pip install --no-deps libauc
    python benchmarks/objectives.py --json objectives.json

Contenders take turns within one process, so that a busy machine slows all of them alike; the table shows medians and
ratios of medians. CPU time stands beside wall time: on a shared machine it is the steadier of the two.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from benchmarks.contenders import bimodal, unimodal
from benchmarks.memory import peak_extra_memory
from benchmarks.training_step import added_to_a_training_step
from glofnd.files import write_json
from glofnd.progress import progress

Timing = dict[str, float]


def race(contenders: dict[str, Callable[[], object]], seconds: float, at_least: int) -> dict[str, Timing]:
    """Milliseconds per call: median and smallest wall time, median CPU time; contenders take turns."""
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    begin = time.perf_counter()
    while len(next(iter(wall.values()))) < at_least or time.perf_counter() - begin < seconds:
        for name, call in contenders.items():
            started, started_cpu = time.perf_counter(), time.process_time()
            call()
            wall[name].append((time.perf_counter() - started) * 1e3)
            cpu[name].append((time.process_time() - started_cpu) * 1e3)
    return {
        name: {
            "median_ms": statistics.median(wall[name]),
            "smallest_ms": min(wall[name]),
            "cpu_median_ms": statistics.median(cpu[name]),
            "cpu_smallest_ms": min(cpu[name]),
            "calls": float(len(wall[name])),
        }
        for name in contenders
    }


def floor(batch: int, dim: int, columns: int) -> Callable[[], object]:
    """Three matrix products, columns x columns x dim: what loss and gradient cannot do without."""
    z, weight = torch.randn(columns, dim), torch.rand(columns, columns)
    similarity, gradient = torch.empty(columns, columns), torch.empty(columns, dim)

    def products() -> Tensor:
        torch.mm(z, z.T, out=similarity)
        torch.mm(weight, z, out=gradient)
        return torch.mm(weight.T, z, out=gradient)

    return products


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """All races of one invocation."""
    grid = [
        (threads, dim, batch, modality)
        for threads in arguments.threads
        for dim in arguments.dims
        for batch in arguments.batches
        for modality in ("unimodal", "bimodal")
    ]
    rows = []
    for threads, dim, batch, modality in progress(grid, len(grid), "races", "races"):
        torch.set_num_threads(threads)
        make = unimodal if modality == "unimodal" else bimodal
        columns = 2 * batch if modality == "unimodal" else batch
        floors = {"floor": floor(batch, dim, columns)}
        timings = race({**floors, **make(batch, dim)}, arguments.seconds, arguments.repeats)
        load = os.getloadavg()[0]
        rows.append({"threads": threads, "dim": dim, "batch": batch, "modality": modality, "load": load, **timings})
        print_row(rows[-1], timings)
    torch.set_num_threads(arguments.threads[0])
    return {
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "races": rows,
        "training_step": added_to_a_training_step(),
        "memory": peak_extra_memory(batch=16384, dim=256),
    }


def print_row(row: dict[str, object], timings: dict[str, Timing]) -> None:
    """One race as text: median and its ratio to the floor, by wall and by CPU time."""
    print("\n{modality} B={batch} D={dim} threads={threads} load={load:.1f}".format(**row))
    base = timings["floor"]
    for name, timing in timings.items():
        print(
            f"  {name:24s} {timing['median_ms']:10.2f} ms {timing['median_ms'] / base['median_ms']:6.2f}x   "
            f"cpu {timing['cpu_median_ms']:10.2f} ms {timing['cpu_median_ms'] / base['cpu_median_ms']:6.2f}x",
            flush=True,
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=5.0, help="at least this long per race")
    parser.add_argument("--repeats", type=int, default=5, help="at least this many calls per contender")
    arguments = parser.parse_args()
    result = run(arguments)
    print("\ntraining step:", result["training_step"])
    print("memory:", result["memory"])
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
