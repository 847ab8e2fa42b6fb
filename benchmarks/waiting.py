"""What share of a training step goes by with reading pictures and with making their views, per experiment of a config.

    python benchmarks/waiting.py                                    the default config, whose shards must be there
    python benchmarks/waiting.py --config FILE --json waiting.json  with FILE laid over it

Trains the first run of every experiment from its start for a number of steps, as `python -m glofnd.pretraining` does,
on the CPU, where views are made between the steps and nothing hides them. Pictures are decoded before, as there, where
they fit the memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml
from snakemake.utils import update_config
from torch import Tensor

from glofnd.files import write_json
from glofnd.pretraining import TrainingOptions
from glofnd.pretraining.processes import Processes
from glofnd.pretraining.trainer import Trainer
from glofnd.views import TwoViews
from workflow.config import resolve
from workflow.grid import Grid

ROOT = Path(__file__).resolve().parent.parent


class TimedViews:
    """Views that add up how long they take, in seconds."""

    def __init__(self, views: TwoViews) -> None:
        self.views, self.seconds = views, 0.0

    def __call__(self, images: Tensor, index: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Both views."""
        started = time.perf_counter()
        found = self.views(images, index, epoch)
        self.seconds += time.perf_counter() - started
        return found

    def one(self, images: Tensor, index: Tensor, epoch: int, view: int) -> Tensor:
        """One view."""
        started = time.perf_counter()
        found = self.views.one(images, index, epoch, view)
        self.seconds += time.perf_counter() - started
        return found


def measure(config: dict[str, Any], shards: Path, steps: int) -> dict[str, float]:
    """Median milliseconds of a step and of its parts, and their shares of it; the first two steps do not count."""
    options = TrainingOptions(**{**config["training"], "device": "cpu"})
    run = Trainer(config, options, shards, Processes())
    run.views = timed = TimedViews(run.views)  # type: ignore[assignment]
    run.start()
    rows: list[tuple[float, float, float]] = []
    started = time.perf_counter()
    for batch in islice(run.stream.epoch(0), steps + 2):
        read, timed.seconds = time.perf_counter() - started, 0.0
        run.train_step(batch)
        run.batch += 1
        rows.append((time.perf_counter() - started, read, timed.seconds))
        started = time.perf_counter()
    step, reading, views = (statistics.median(column) * 1e3 for column in zip(*rows[2:], strict=True))
    return {
        "step_ms": step,
        "reading_ms": reading,
        "views_ms": views,
        "reading_share": reading / step,
        "views_share": views / step,
        "threads": options.threads,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="laid over config.yaml")
    parser.add_argument("--steps", type=int, default=60, help="at most an epoch")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    arguments = parser.parse_args()
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    if arguments.config:
        update_config(config, yaml.safe_load(arguments.config.read_text(encoding="utf-8")))
    grid = Grid(resolve(config))
    found = {}
    for name in grid.config["experiments"]:
        run = next(run for run in grid.runs.values() if run.experiment == name)
        found[name] = measure(grid.run_config(run), ROOT / grid.training_shards(run.id), arguments.steps)
        print(
            "{name}: step {step_ms:.1f} ms, reading {reading_ms:.2f} ms ({reading_share:.2%}), "
            "views {views_ms:.1f} ms ({views_share:.1%})".format(name=name, **found[name]),
            flush=True,
        )
    if arguments.json:
        write_json(arguments.json, found)


if __name__ == "__main__":
    main()
