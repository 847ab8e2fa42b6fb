"""Runs every case on W ranks (gloo) and in one process, and writes how far they are apart.

    python distributed_worker.py W RESULT.json

One process imports torch and forks the ranks, since the import takes longer than all cases together.
"""

import json
import sys
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn

from glofnd.detectors import build_detector
from glofnd.objectives import OBJECTIVES, build_objective
from glofnd.ranks import Delivery, Ranks
from glofnd.state import SampleState
from tests.glofnd.gloo_ranks import run_ranks

SAMPLES, BATCH, INPUT, DIM, STEPS = 13, 8, 5, 4, 2
DETECTORS = {
    "none": {},
    "glofnd": {"alpha": 0.3, "learner": "adam", "init": "quantile"},
    "location-scale": {"alpha": 0.3},
    "global-threshold": {"alpha": 0.3, "lr": 0.4, "init": "quantile"},
    "batch-quantile": {"alpha": 0.3},
    "fnc": {"top_k": 3, "threshold": None},
    "ifnd": {"clusters": [2, 3, 4], "ramp": 1},
    "memory-quantile": {"alpha": 0.3, "candidates": 10},
    "oracle": {"treatment": "attract"},
}
CASES = [(name, "glofnd" if kind.uses_negatives else "none") for name, kind in OBJECTIVES.items()]
CASES += [(o, d) for o in ("sogclr", "clip") for d in DETECTORS if d != "glofnd"]
LAYOUTS = ["replicated", "sharded"]
RUNS = [(*case, layout) for case in CASES for layout in LAYOUTS if (case[1], layout) != ("ifnd", "sharded")]


def make(objective, detector):
    rule = build_detector(detector, SAMPLES, DIM, **DETECTORS[detector])
    return build_objective(objective, SAMPLES, rule).double()


def batch(step):
    """Repeated samples within and across ranks."""
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(2, BATCH, INPUT, generator=generator, dtype=torch.float64)
    return x, torch.randint(SAMPLES, (BATCH,), generator=generator)


def train(objective, part, ranks):
    """Train a linear encoder as DistributedDataParallel would; returns all numbers that must not depend on ranks."""
    torch.manual_seed(0)
    encoder = nn.Linear(INPUT, DIM).double()
    optimizer = torch.optim.SGD([{"params": encoder.parameters()}, *objective.parameter_groups()], lr=0.1)
    numbers = {}
    for step in range(STEPS):
        x, index = batch(step)
        x, index = x[:, part], index[part]
        loss = objective(encoder(x[0]), encoder(x[1]), index, epoch=step, labels=index % 3)
        optimizer.zero_grad()
        loss.backward()
        if ranks > 1:
            for parameter in encoder.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= ranks
        numbers |= {f"loss {step}": loss.detach(), f"gradient {step}": encoder.weight.grad.clone()}
        for name, parameter in objective.named_parameters():
            numbers[f"{name} {step}"] = parameter.grad.clone()
        optimizer.step()
        objective.after_step()
    return numbers | {f"state {name}": value.clone() for name, value in objective.full_state_dict().items()}


def distance(got, expected):
    assert got.shape == expected.shape
    same = got == expected  # infinities, in particular
    difference = torch.where(same, 0, (got - expected).abs())
    return float((difference / expected.abs().clamp_min(1e-3)).max())


def refusals(rank, ranks):
    """Messages of bad input on one rank alone: (this rank's, with an uneven last batch)."""
    messages = []
    for bad_index, size in ((99, 2), (0, 3)):
        objective = make("sogclr", "glofnd")
        objective.distribute()
        before = objective.full_state_dict()
        before = {name: value.clone() for name, value in before.items()}
        rows = size if rank == ranks - 1 else 2
        index = torch.zeros(rows, dtype=torch.long)
        if rank == ranks - 1:
            index[0] = bad_index
        try:
            objective(torch.randn(rows, DIM), torch.randn(rows, DIM), index, epoch=0)
            messages.append("nothing")
        except ValueError as error:
            messages.append(str(error))
        assert all(torch.equal(value, before[name]) for name, value in objective.full_state_dict().items())
    return messages


def exchanged():
    """A sharded table after one write, beside what one process would hold."""
    ranks = Ranks()
    index = torch.randint(SAMPLES, (BATCH,), generator=torch.Generator().manual_seed(ranks.rank))
    values = {"a": torch.arange(BATCH) + 100.0 * ranks.rank, "b": -torch.arange(BATCH).float()}
    values["c"] = torch.stack([values["a"], values["b"]], dim=1)
    valid = torch.arange(BATCH) % 3 > 0
    columns = {"a": -1.0, "b": -2.0, "c": torch.tensor([3.0, 4.0])}
    whole, sharded = SampleState(SAMPLES, **columns), SampleState(SAMPLES, **columns)
    sharded.distribute(ranks, "sharded")
    for state in (whole, sharded):
        state.fill("b", torch.arange(SAMPLES).float())
    everything = {name: ranks.gather(value) for name, value in values.items()}
    whole.write(ranks.gather(index), everything, ranks.gather(valid.byte()).bool())
    sharded.write(index, values, valid)
    same = [torch.equal(sharded.whole(name), whole.column(name)) for name in whole.columns]
    same += [torch.equal(sharded.read(index)[name], whole.column(name)[index]) for name in whole.columns]
    return {"same": same, "received": sum(Delivery(ranks, torch.arange(BATCH) % ranks.size).received)}


def work(rank, ranks, result):
    part = slice(rank * BATCH // ranks, (rank + 1) * BATCH // ranks)
    found = {}
    for objective, detector, layout in RUNS:
        expected = train(make(objective, detector), slice(0, BATCH), 1) if rank == 0 else None
        distributed = make(objective, detector)
        distributed.distribute(layout=layout)
        got = train(distributed, part, ranks)
        if expected is not None:
            assert got.keys() == expected.keys()
            rows = max([0, *(len(b) for n, b in distributed.named_buffers() if b.ndim and "state" in n)])
            distances = {name: distance(got[name], expected[name]) for name in got}
            found[f"{objective} {detector} {layout}"] = {"distances": distances, "rows": rows}
    found["refusals"] = refusals(rank, ranks)
    found["exchange"] = exchanged()
    Path(f"{result}.{rank}").write_text(json.dumps(found))


if __name__ == "__main__":
    ranks = int(sys.argv[1])
    run_ranks(ranks, lambda rank: work(rank, ranks, sys.argv[2]))
