"""Batch norm over W gloo ranks beside torch's own in one process, in float64; writes the largest differences.

python batch_norm_worker.py W RESULT.json
"""

import copy
import json
import sys
from pathlib import Path

import torch
from torch import nn

from glofnd.encoders.batch_norm import SyncedBatchNorm, synchronise
from glofnd.ranks import Ranks
from tests.glofnd.gloo_ranks import run_ranks

BATCH, CHANNELS = 8, 3
CASES = {
    "rows": (nn.BatchNorm1d, {}, ()),
    "sequences": (nn.BatchNorm1d, {}, (5,)),
    "pictures": (nn.BatchNorm2d, {}, (4, 5)),
    "volumes": (nn.BatchNorm3d, {}, (2, 2, 3)),
    "not affine": (nn.BatchNorm1d, {"affine": False}, ()),
    "mean of all batches": (nn.BatchNorm2d, {"momentum": None}, (2, 2)),
    "no running statistics": (nn.BatchNorm2d, {"track_running_stats": False}, (2, 2)),
}


def plain(name):
    kind, options, _ = CASES[name]
    torch.manual_seed(1)
    norm = kind(CHANNELS, **options).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


def batch(name, step):
    """Channels last where there are pictures; far from zero mean, so that a sloppy variance shows."""
    generator = torch.Generator().manual_seed(step)
    x = 100 + torch.randn(BATCH, CHANNELS, *CASES[name][2], generator=generator, dtype=torch.float64)
    weights = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return (x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x), weights


def train(norm, name, part):
    """Outputs and gradients of two batches, running statistics, and the output in eval mode."""
    numbers = {}
    for step in range(2):
        x, weights = batch(name, step)
        x = x[part].detach().requires_grad_()
        y = norm(x)
        norm.zero_grad()
        (y * y * weights[part]).sum().backward()
        numbers |= {f"y {step}": y.detach(), f"dx {step}": x.grad}
        numbers |= {f"d {key} {step}": parameter.grad.clone() for key, parameter in norm.named_parameters()}
    numbers |= {f"buffer {key}": value.double() for key, value in norm.named_buffers()}
    if norm.track_running_stats:
        numbers["eval"] = norm.eval()(batch(name, 2)[0][part]).detach()
    return numbers


def differences(name, ranks):
    expected = train(plain(name), name, slice(None))
    model = nn.Sequential(plain(name))
    keys = list(model.state_dict())
    synchronise(model, ranks)
    assert isinstance(model[0], SyncedBatchNorm) and list(model.state_dict()) == keys
    got = train(model[0], name, ranks.part(BATCH // ranks.size))
    assert got.keys() == expected.keys()
    found = {}
    for key, value in got.items():
        whole = ranks.sum(value) if key.startswith("d ") else value
        if key.startswith(("y", "dx", "eval")):
            whole = ranks.gather(value)
        found[key] = float((whole - expected[key]).abs().max())
    return found


def finite_differences(ranks):
    """Largest error of the gradient of a loss over all ranks, each entry of each rank moved in turn."""
    norm = SyncedBatchNorm(plain("pictures"), ranks)
    x, weights = batch("pictures", 0)
    part = ranks.part(BATCH // ranks.size)
    x, weights = x[part, :, :2, :2].clone().requires_grad_(), weights[part, :, :2, :2]

    def loss(at):
        return (copy.deepcopy(norm)(at).pow(3) * weights).sum()

    loss(x).backward()
    step, worst = 1e-5, 0.0
    for rank in range(ranks.size):
        for entry in range(0, x.numel(), 5):
            moved = torch.zeros(x.numel(), dtype=x.dtype)
            moved[entry] = step if rank == ranks.rank else 0
            moved = moved.view(x.shape)
            rise = ranks.sum(loss(x + moved).detach() - loss(x - moved).detach()) / (2 * step)
            if rank == ranks.rank:
                worst = max(worst, float((rise - x.grad.flatten()[entry]).abs()))
    return worst


def half_precision(ranks):
    """Largest difference to torch's batch norm of bfloat16 pictures: output, and gradient of the pictures."""
    x, weights = (value.bfloat16() for value in batch("pictures", 0))
    found = []
    for norm, part in ((plain("pictures"), slice(None)), (plain("pictures"), ranks.part(BATCH // ranks.size))):
        norm = norm.float()
        norm = norm if part == slice(None) else SyncedBatchNorm(norm, ranks)
        entry = x[part].detach().requires_grad_()
        y = norm(entry)
        (y * weights[part]).sum().backward()
        assert y.dtype == entry.grad.dtype == torch.bfloat16
        found.append([y.detach().float(), entry.grad.float()])
    part = ranks.part(BATCH // ranks.size)
    return [float((ours - theirs[part]).abs().max()) for theirs, ours in zip(*found, strict=True)]


def work(rank, result):
    ranks = Ranks()
    found = {name: differences(name, ranks) for name in CASES}
    found["finite differences"] = finite_differences(ranks)
    found["half precision"] = half_precision(ranks)
    Path(f"{result}.{rank}").write_text(json.dumps(found))


if __name__ == "__main__":
    run_ranks(int(sys.argv[1]), lambda rank: work(rank, sys.argv[2]))
