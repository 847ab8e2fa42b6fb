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
from tiny_run import make_config, numbers
from torch import distributed as dist

from glofnd import checkpoint
from glofnd.data.stream import ShardStream
from glofnd.encoders import build_model
from glofnd.objectives import build_objective
from glofnd.pretraining import pretrain, run
from glofnd.pretraining.preemption import Preempted
from glofnd.pretraining.pulse import Pulse
from glofnd.pretraining.team import Team
from glofnd.ranks import Ranks
from tests.glofnd.gloo_ranks import run_ranks

SGD = {"optimizer": "sgd", "lr": 0.05, "precision": "fp32"}
SINGLE = {**SGD, "lr": 0.001, "epochs": 1}
DETECTORS = {
    "none": ("none", {}),
    "adam": ("glofnd", {"alpha": 0.3, "learner": "adam", "init": "quantile", "start_filter": 1}),
    "moments": ("location-scale", {"alpha": 0.3, "start_filter": 1}),
    "global-threshold": ("global-threshold", {"alpha": 0.3, "start_filter": 1}),
    "batch-quantile": ("batch-quantile", {"alpha": 0.3, "start_filter": 1}),
    "oracle": ("oracle", {"start_filter": 1}),
}
CASES = {
    **{f"sogclr {name}": ("unimodal", "sogclr", name, SGD) for name in DETECTORS},
    "isogclr moments": ("unimodal", "isogclr", "moments", SGD),
    "simclr none lars": ("unimodal", "simclr", "none", {**SGD, "optimizer": "lars"}),
    "clip none": ("bimodal", "clip", "none", SGD),
    "fastclip-v3 adam": ("bimodal", "fastclip-v3", "adam", SGD),
    "fastclip-v2 moments": ("bimodal", "fastclip-v2", "moments", SGD),
    # In single precision rounding grows from step to step, so these are short.
    "float32 sogclr moments": ("unimodal", "sogclr", "moments", SINGLE),
    "float32 fastclip-v1 moments": ("bimodal", "fastclip-v1", "moments", SINGLE),
}
# What every change is held against; the others take longer.
QUICK = ("sogclr none", "sogclr moments", "fastclip-v3 adam", "float32 sogclr moments")
LAYOUTS = ("replicated", "sharded")
# Cases that are interrupted and go on with another number of processes.
RESUMED = ("sogclr moments", "fastclip-v3 adam")


def in_precision(case):
    """In double precision a difference is no rounding; the command itself offers single and half."""
    double = not case.startswith("float32")
    run.build_model = (lambda config: build_model(config).double()) if double else build_model
    run.build_objective = (lambda *a, **k: build_objective(*a, **k).double()) if double else build_objective


def train(case, layout, shards, out, team=None):
    in_precision(case)
    pretrain(config(case, layout), shards, out, team=team)


def config(case, layout="replicated"):
    modality, objective, detector, training = CASES[case]
    name, options = DETECTORS[detector]
    training = {"epochs": 2, **training, "state_layout": layout}
    return make_config(objective, name, modality, training=training, **options)


@contextlib.contextmanager
def signal_at(step):
    """This process gets a signal while it works on that step."""
    original, given = ShardStream.epoch, [0]

    def epoch(self, *args, **kwargs):
        for batch in original(self, *args, **kwargs):
            given[0] += 1
            if given[0] == step:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    ShardStream.epoch = epoch
    try:
        yield
    finally:
        ShardStream.epoch = original


def distance(got, expected):
    """Largest difference of two checkpoints, relative for numbers above 1; infinite if something else differs."""
    a, b = numbers(got), numbers(expected)
    if a.keys() != b.keys():
        return {str(sorted(a.keys() ^ b.keys())): float("inf")}
    found = {}
    for key, value in a.items():
        if isinstance(value, float | torch.Tensor):
            left, right = torch.as_tensor(value).double(), torch.as_tensor(b[key]).double()
            same = left == right
            difference = torch.where(same, 0, (left - right).abs() / right.abs().clamp_min(1))
            found[key] = float(difference.max()) if left.shape == right.shape else float("inf")
        elif value != b[key]:
            found[key] = float("inf")
    return found


def interrupted(case, shards, out, team, signalled, step):
    """Train until a process gets a signal at a step; the step that the checkpoint is of."""
    mine = signal_at(step) if signalled else contextlib.nullcontext()
    with mine, contextlib.suppress(Preempted):
        train(case, "sharded", shards, out, team)
    assert not (out / "checkpoint.pt").exists()
    return checkpoint.read(next(out.glob("resume-*.pt")))["step"]


def work(rank, shards, folder, result, cases):
    ranks = Ranks()
    team = Team(ranks, Pulse(dist.FileStore(str(folder / "pulse"), ranks.size), rank, ranks.size))
    first, last = rank == 0, rank == team.size - 1
    found = {}

    def compare(name, out, expected, exact=False):
        team.meet()
        if first:
            far = distance(checkpoint.read(out / "checkpoint.pt"), checkpoint.read(expected / "checkpoint.pt"))
            found[name] = {"distances": far, "files": sorted(path.name for path in out.iterdir())}
        team.meet()

    for case in cases:
        for layout in LAYOUTS:
            out = folder / f"{case} {layout}"
            train(case, layout, shards, out, team)
            compare(f"{case} {layout}", out, folder / case)
    for case in RESUMED:
        alone = folder / f"{case} more"
        if first:
            found[f"{case} alone until"] = interrupted(case, shards, alone, None, True, 4)
        team.meet()
        train(case, "sharded", shards, alone, team)
        compare(f"{case} from one to {team.size}", alone, folder / case)
        fewer, again = folder / f"{case} fewer", folder / f"{case} again"
        for out in (fewer, again):
            found[f"{case} together until"] = interrupted(case, shards, out, team, last, 5)
        if first:
            train(case, "sharded", shards, fewer)
        compare(f"{case} from {team.size} to one", fewer, folder / case)
        train(case, "sharded", shards, again, team)
        compare(f"{case} from {team.size} to {team.size}", again, folder / f"{case} sharded")
    if first:
        Path(result).write_text(json.dumps(found))


def main(ranks, shards, folder, result, cases):
    torch.set_num_threads(1)
    for case in cases:
        train(case, "replicated", shards, folder / case)
    run_ranks(ranks, lambda rank: work(rank, shards, folder, result, cases))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5:])
