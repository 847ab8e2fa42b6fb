"""Our objectives beside their peers: time of forward + backward, share of a training step, and memory, in one run.

    pip install -r requirements/bench.in && pip install --no-deps libauc
    python benchmarks/objectives.py --json objectives.json          about 25 minutes on two idle cores
    python benchmarks/objectives.py --quick                         about 1 minute

The table shows medians and ratios of medians, beside wall time also CPU time: on a shared machine it is the steadier of
the two. The targets and whether they were met come last. The file is written after every race.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.contenders import bimodal, unimodal
from benchmarks.memory import peak_extra_memory
from benchmarks.race import Contender, Timing, race
from benchmarks.targets import judge
from benchmarks.training_step import added_to_a_training_step
from glofnd.files import write_json
from glofnd.products import products
from glofnd.progress import progress


def floors(batch: int, dim: int, columns: int) -> dict[str, Contender]:
    """Three matrix products, columns x columns x dim: what loss and gradient cannot do without.

    By `torch.mm` ("floor", the yardstick of the targets), and by the product our objectives use.
    """
    z, weight = torch.randn(columns, dim), torch.rand(columns, columns)
    similarity, gradient = torch.empty(columns, columns), torch.empty(columns, dim)

    def by_torch() -> None:
        torch.mm(z, z.T, out=similarity)
        torch.mm(weight, z, out=gradient)
        torch.mm(weight.T, z, out=gradient)

    def by_ours() -> None:
        products(z, z)
        products(weight, z.T)
        products(z.T, weight.T)

    return {"floor": by_torch, "floor of our product": by_ours}


def run(arguments: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All races of one invocation; `keep` is given all that is known so far after each."""
    grid = [
        (threads, dim, batch, modality)
        for threads in arguments.threads
        for dim in arguments.dims
        for batch in arguments.batches
        for modality in ("unimodal", "bimodal")
    ]
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "races": rows,
    }
    for threads, dim, batch, modality in progress(grid, len(grid), "races", "races"):
        torch.set_num_threads(threads)
        make = unimodal if modality == "unimodal" else bimodal
        columns = 2 * batch if modality == "unimodal" else batch
        timings = race({**floors(batch, dim, columns), **make(batch, dim)}, arguments.seconds, arguments.repeats)
        load = os.getloadavg()[0]
        rows.append({"threads": threads, "dim": dim, "batch": batch, "modality": modality, "load": load, **timings})
        print_row(rows[-1], timings)
        keep(result)
    torch.set_num_threads(arguments.threads[0])
    step, memory = added_to_a_training_step(), peak_extra_memory(batch=16384, dim=256)
    targets = [target.as_dict() for target in judge(rows, step, memory)]
    result |= {"training_step": step, "memory": memory, "targets": targets}
    keep(result)
    print("\ntraining step:", step, "\nmemory:", memory, "\n")
    for target in judge(rows, step, memory):
        print(target)
    met = sum(bool(target["met"]) for target in targets)
    print(f"\n{met} of {len(targets)} targets met")
    return result


def print_row(row: dict[str, Any], timings: dict[str, Timing]) -> None:
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
    parser.add_argument("--seconds", type=float, default=8.0, help="at least this long per race")
    parser.add_argument("--repeats", type=int, default=7, help="at least this many calls per contender (slow ones: 3)")
    parser.add_argument("--quick", action="store_true", help="B 128 and 512, D 128, one thread, a second per race")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.batches, arguments.dims, arguments.threads = [128, 512], [128], [1]
        arguments.seconds, arguments.repeats = 1.0, 3
    run(arguments, lambda result: write_json(arguments.json, result) if arguments.json else None)


if __name__ == "__main__":
    main()
