"""Batch norm over W gloo ranks beside torch's own in one process; writes the largest differences.

python batch_norm_worker.py W RESULT.json
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn

from glofnd.encoders.batch_norm import SyncBatchNormCPU, synchronise_batch_norm
from glofnd.ranks import Ranks
from tests.glofnd.gloo_ranks import run_ranks

BATCH, CHANNELS = 8, 3
CASES = {
    "rows": (nn.BatchNorm1d, {}, ()),
    "sequences": (nn.BatchNorm1d, {}, (5,)),
    "pictures": (nn.BatchNorm2d, {}, (4, 5)),
    "not affine": (nn.BatchNorm1d, {"affine": False}, ()),
}


def plain(name, dtype=torch.float64):
    kind, options, _ = CASES[name]
    torch.manual_seed(1)
    norm = nn.Sequential(nn.Linear(1, 1), kind(CHANNELS, **options)).to(dtype)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm


def batch(name, step):
    """Channels last where there are pictures; far from zero mean, so that a sloppy variance shows."""
    generator = torch.Generator().manual_seed(step)
    x = 100 + torch.randn(BATCH, CHANNELS, *CASES[name][2], generator=generator, dtype=torch.float64)
    weights = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return (x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x), weights


def train(model, name, part):
    """Outputs and gradients of two batches, running statistics, and the output in eval mode."""
    norm, numbers = model[1], {}
    for step in range(2):
        x, weights = batch(name, step)
        x = x[part].detach().requires_grad_()
        y = norm(x)
        norm.zero_grad()
        (y * y * weights[part]).sum().backward()
        numbers |= {f"y {step}": y.detach(), f"dx {step}": x.grad}
        numbers |= {f"d {key} {step}": parameter.grad.clone() for key, parameter in norm.named_parameters()}
    numbers |= {f"buffer {key}": value.double() for key, value in norm.named_buffers()}
    numbers["eval"] = norm.eval()(batch(name, 2)[0][part]).detach()
    return numbers


def differences(name, ranks):
    expected = train(plain(name), name, slice(None))
    model = plain(name)
    keys, parameters = list(model.state_dict()), list(model.parameters())
    model = synchronise_batch_norm(model)
    assert isinstance(model[1], SyncBatchNormCPU) and list(model.state_dict()) == keys
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    got = train(model, name, ranks.part(BATCH // ranks.size))
    assert got.keys() == expected.keys()
    found = {}
    for key, value in got.items():
        whole = ranks.sum(value) if key.startswith("d ") else value
        whole = ranks.gather(value) if key.startswith(("y", "dx", "eval")) else whole
        found[key] = float((whole - expected[key]).abs().max())
    return found


def half_precision(ranks):
    """Largest difference to torch's batch norm of bfloat16 pictures: output, and gradient of the pictures."""
    x, weights = (value.bfloat16() for value in batch("pictures", 0))
    found = []
    part = ranks.part(BATCH // ranks.size)
    for model, rows in ((plain("pictures"), slice(None)), (synchronise_batch_norm(plain("pictures")), part)):
        entry = x[rows].detach().requires_grad_()
        y = model.float()[1](entry)
        (y * weights[rows]).sum().backward()
        assert y.dtype == entry.grad.dtype == torch.bfloat16
        found.append([y.detach().float(), entry.grad.float()])
    return [float((ours - theirs[part]).abs().max()) for theirs, ours in zip(*found, strict=True)]


def work(rank, result):
    ranks = Ranks()
    found = {name: differences(name, ranks) for name in CASES}
    found["half precision"] = half_precision(ranks)
    Path(f"{result}.{rank}").write_text(json.dumps(found))


if __name__ == "__main__":
    run_ranks(int(sys.argv[1]), lambda rank: work(rank, sys.argv[2]))
