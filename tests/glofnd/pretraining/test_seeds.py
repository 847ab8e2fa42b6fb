"""Seeds are independent from before the first step on, and the methods at one seed share everything they can."""

import numpy as np
import pytest
import torch
from tiny_run import make_config

from glofnd.pretraining.run import Run
from glofnd.pretraining.team import Team
from glofnd.registry import EXECUTION, TRAINING

INDEX = torch.arange(8)


class Start:
    """What a run begins with: weights, order of the first epoch, views of the same pictures, loss of the first step."""

    def __init__(self, shards, *method, **options):
        config = make_config(*method, **options)
        execution = {key: config["training"].get(key, TRAINING[key]["default"]) for key in EXECUTION}
        config["training"] = {key: value for key, value in config["training"].items() if key not in EXECUTION}
        run = Run(config, execution, shards, Team())
        run.start()
        self.weights = torch.cat([p.detach().flatten() for p in run.model.parameters() if p.dim() > 1])
        batches = list(run.stream.epoch(0))
        self.order = torch.cat([batch.index for batch in batches])
        pictures = torch.full((len(INDEX), 3, 16, 16), 128, dtype=torch.uint8)
        pictures[:, :, :8] = torch.arange(0, 256, 16, dtype=torch.uint8)
        self.views = torch.stack(list(run.views(pictures, INDEX, 0)))
        self.loss = run.train_step(batches[0])


@pytest.fixture(scope="module")
def first(shards):
    return Start(shards)


def test_two_seeds_share_neither_weights_nor_order_nor_views(shards, first):
    other = Start(shards, seed=2)
    # Weights drawn independently are uncorrelated, up to their number.
    correlation = torch.corrcoef(torch.stack([first.weights, other.weights]))[0, 1]
    assert abs(correlation) < 4 / len(first.weights) ** 0.5
    assert not torch.equal(first.order, other.order)
    assert sorted(first.order.tolist()) == sorted(other.order.tolist())
    same = [torch.equal(a, b) for a, b in zip(first.views.flatten(0, 1), other.views.flatten(0, 1), strict=True)]
    assert not any(same)
    assert first.loss != other.loss


def test_the_same_seed_begins_identically_whatever_was_drawn_before(shards, first):
    torch.manual_seed(99)
    torch.rand(5)
    np.random.seed(99)
    again = Start(shards)
    for part in ("weights", "order", "views"):
        assert torch.equal(getattr(first, part), getattr(again, part)), part
    assert first.loss == again.loss


@pytest.mark.parametrize(
    ("detector", "options"),
    [("location-scale", {"start_filter": 1}), ("batch-quantile", {"start_filter": 1}), ("oracle", {})],
)
def test_methods_at_one_seed_are_paired(shards, first, detector, options):
    paired = Start(shards, "sogclr", detector, **options)
    for part in ("weights", "order", "views"):
        assert torch.equal(getattr(first, part), getattr(paired, part)), part
    # Until a detector drops something, its first step is that of the run without one.
    if options:
        assert first.loss == paired.loss
