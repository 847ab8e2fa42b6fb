"""Trains cases in one process and on W gloo ranks, and writes how far their checkpoints are apart.

python ranks_worker.py W SHARDS FOLDER RESULT.json CASE ...
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import distributed as dist

from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders.frozen import first_model
from glofnd.objectives import build_objective
from glofnd.pretraining import Preempted, pretrain, trainer
from tests.glofnd.gloo_ranks import run_ranks
from tests.glofnd.pretraining.tiny_run import make_config, numbers

SGD = {"optimizer": "sgd", "lr": 0.05, "epochs": 2}
DETECTORS = ("none", "glofnd", "location-scale", "global-threshold", "batch-quantile", "oracle")
CASES = {
    **{f"sogclr {name}": ("sogclr", name, SGD) for name in DETECTORS},
    "isogclr location-scale": ("isogclr", "location-scale", SGD),
    "simclr none lars": ("simclr", "none", {**SGD, "optimizer": "lars"}),
    "clip none": ("clip", "none", SGD),
    "fastclip-v3 glofnd": ("fastclip-v3", "glofnd", SGD),
    "fastclip-v2 location-scale": ("fastclip-v2", "location-scale", SGD),
    # In single precision rounding grows from step to step, so this is short.
    "float32 sogclr location-scale": ("sogclr", "location-scale", {**SGD, "lr": 0.001, "epochs": 1}),
}
QUICK = ("sogclr none", "sogclr location-scale", "fastclip-v3 glofnd", "float32 sogclr location-scale")
LAYOUTS = ("replicated", "sharded")
# Cases that are interrupted and go on with another number of processes.
RESUMED = ("sogclr location-scale", "fastclip-v3 glofnd")


def train(case, layout, shards, out):
    # In double precision a difference is no rounding; the command itself offers single and half.
    double = not case.startswith("float32")
    trainer.first_model = (lambda config: first_model(config).double()) if double else first_model
    trainer.build_objective = (lambda *a, **k: build_objective(*a, **k).double()) if double else build_objective
    objective, detector, training = CASES[case]
    # Not where texts are equal: their similarities are, and so is a threshold, which rounding would decide on.
    options = {"init": "quantile"} if case == "sogclr glofnd" else {}
    encoder = "open-clip" if "clip" in objective else "resnet18"
    training = {**training, "state_layout": layout}
    config = make_config(objective, detector, encoder=encoder, training=training, start_filter=1, **options)
    pretrain(config, shards, out)


def interrupted(case, shards, out, signalled, step):
    """Train until this process gets a signal at a step (or another does); the step that the checkpoint is of."""
    original, given = ShardStream.epoch, [0]

    def epoch(self, *args, **kwargs):
        for batch in original(self, *args, **kwargs):
            given[0] += 1
            if signalled and given[0] == step:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    ShardStream.epoch = epoch
    with contextlib.suppress(Preempted):
        train(case, "sharded", shards, out)
    ShardStream.epoch = original
    assert not (out / "checkpoint.pt").exists()
    return checkpoint.read(next(out.glob("resume-*.pt")))["step"]


def distance(got, expected):
    """Largest difference of two checkpoints, relative for numbers above 1; infinite if something else differs."""
    a, b = numbers(got), numbers(expected)
    if a.keys() != b.keys():
        return {str(sorted(a.keys() ^ b.keys())): float("inf")}
    found = {}
    for key, value in a.items():
        if isinstance(value, float | torch.Tensor):
            left, right = torch.as_tensor(value).double(), torch.as_tensor(b[key]).double()
            difference = torch.where(left == right, 0, (left - right).abs() / right.abs().clamp_min(1))
            found[key] = float(difference.max()) if left.shape == right.shape else float("inf")
        elif value != b[key]:
            found[key] = float("inf")
    return found


def work(rank, ranks, shards, folder, result, cases):
    first, last, found = rank == 0, rank == ranks - 1, {}

    def compare(name, out, expected):
        dist.barrier()
        if first:
            far = distance(checkpoint.read(out / "checkpoint.pt"), checkpoint.read(expected / "checkpoint.pt"))
            found[name] = {"distances": far, "files": sorted(path.name for path in out.iterdir())}
        dist.barrier()

    for case in cases:
        for layout in LAYOUTS:
            out = folder / f"{case} {layout}"
            train(case, layout, shards, out)
            compare(f"{case} {layout}", out, folder / case)
    for case in RESUMED:
        # From one process, which was interrupted before, to all.
        train(case, "sharded", shards, folder / f"{case} more")
        compare(f"{case} from one to {ranks}", folder / f"{case} more", folder / case)
        for name in ("fewer", "again"):
            found[f"{case} together until"] = interrupted(case, shards, folder / f"{case} {name}", last, 5)
        train(case, "sharded", shards, folder / f"{case} again")
        compare(f"{case} from {ranks} to {ranks}", folder / f"{case} again", folder / f"{case} sharded")
    if first:
        Path(result).write_text(json.dumps(found))


def main(ranks, shards, folder, result, cases):
    torch.set_num_threads(1)
    for case in cases:
        train(case, "replicated", shards, folder / case)
    for case in RESUMED:
        interrupted(case, shards, folder / f"{case} more", True, 4)
    run_ranks(ranks, lambda rank: work(rank, ranks, shards, folder, result, cases))
    found = json.loads(Path(result).read_text())
    for case in RESUMED:
        out = folder / f"{case} fewer"
        train(case, "sharded", shards, out)
        far = distance(checkpoint.read(out / "checkpoint.pt"), checkpoint.read(folder / case / "checkpoint.pt"))
        found[f"{case} from {ranks} to one"] = {"distances": far, "files": sorted(path.name for path in out.iterdir())}
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5:])
