"""Time to read and write the per-sample state of one batch, for data sets of 100 thousand to 100 million samples.

python benchmarks/state.py --json state.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from glofnd import GloFND, SogCLR
from glofnd.files import write_json
from glofnd.state import SampleState

BATCH = 1024


def tables(num_samples: int) -> tuple[list[SampleState], int]:
    """State of SogCLR with GloFND (Adam learner), and its bytes per sample."""
    objective = SogCLR(num_samples, detector=GloFND(num_samples, learner="adam"))
    return [m for m in objective.modules() if isinstance(m, SampleState)], objective.bytes_per_sample


def measure(num_samples: int, repeats: int) -> dict[str, float]:
    """Median and smallest microseconds of one batch's reads and writes."""
    states, size = tables(num_samples)
    generator = torch.Generator().manual_seed(0)
    microseconds = []
    for _ in range(repeats):
        index = torch.randint(num_samples, (BATCH,), generator=generator)
        started = time.perf_counter()
        for state in states:
            state.write(index, state.read(index))
        microseconds.append((time.perf_counter() - started) * 1e6)
    return {
        "num_samples": num_samples,
        "bytes_per_sample": size,
        "state_mb": num_samples * size / 1e6,
        "median_us": statistics.median(microseconds),
        "smallest_us": min(microseconds),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--samples", type=int, nargs="+", default=[10**5, 10**6, 10**7, 10**8])
    parser.add_argument("--repeats", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for num_samples in arguments.samples:
        rows.append(measure(num_samples, arguments.repeats))
        print("N = {num_samples:>11,}: {state_mb:8.1f} MB, {median_us:7.1f} us a batch of 1024".format(**rows[-1]))
    if arguments.json:
        write_json(arguments.json, {"batch": BATCH, "rows": rows})


if __name__ == "__main__":
    main()
