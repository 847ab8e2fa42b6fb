"""Batches and objectives that the tests of this folder share."""

import torch

from glofnd.detectors import DETECTORS, build_detector
from glofnd.objectives import OBJECTIVES, Pairs, Rows, build_objective
from glofnd.parameters import parameters

SAMPLES, DIM = 9, 4
CONTRASTIVE = [name for name, kind in OBJECTIVES.items() if kind.uses_negatives]
WITHOUT_NEGATIVES = [name for name in OBJECTIVES if name not in CONTRASTIVE]
EVERY = [(name, detector) for name in CONTRASTIVE for detector in DETECTORS] + [(n, "none") for n in WITHOUT_NEGATIVES]


def draw(size=6, dim=DIM, seed=0, dtype=torch.float64, repeated=False):
    """Clustered embeddings, so that thresholds matter, and the samples' indices."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(SAMPLES, generator=generator)[:size]
    if repeated:
        index = torch.randint(SAMPLES, (size,), generator=generator)
    centres = torch.randn(3, dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, size, dim, generator=generator, dtype=torch.float64)
    return [(centres[index % 3] + 0.7 * x).to(dtype).requires_grad_() for x in noise], index


def make(objective, detector="none", treatment="eliminate", options=None, **given):
    """The objective, with the detector: a large share, a quick learner, and those of the options that it has."""
    given = {"alpha": 0.3, "init": "quantile", "clusters": 2, "ramp": 1, "treatment": treatment, **given}
    given = {key: value for key, value in given.items() if key in parameters(DETECTORS[detector])}
    rule = build_detector(detector, SAMPLES, DIM, **given)
    return build_objective(objective, SAMPLES, rule, **(options or {})).double()


def same_state(module, before):
    return all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def snapshot(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def by_pairs(objective):
    """The same objective computed from all similarities of a tile by autograd, instead of from its rows."""
    formula = objective.values

    def values(pairs: Pairs):
        tau = pairs.temperature.unsqueeze(-1)
        kept = pairs.keep > 0
        log_sum = torch.where(kept, pairs.similarity / tau, -1e9).logsumexp(-1)
        weight = torch.where(kept, torch.softmax(torch.where(kept, pairs.similarity / tau, -1e9), -1), 0)
        found = pairs.found.sum(-1)
        gain = (pairs.positive + (pairs.found * pairs.similarity).sum(-1)) / (1 + found) - pairs.positive
        rows = Rows(
            positive=pairs.positive,
            negatives=pairs.negatives,
            kept=pairs.kept,
            shared=pairs.shared,
            state=pairs.state,
            epoch=pairs.epoch,
            new=pairs.new,
            log_sum=torch.where(pairs.empty, -torch.inf, log_sum),
            gain=gain,
            weighted_mean=lambda: (weight * pairs.similarity).sum(-1).detach(),
        )
        return formula(rows)

    objective.by_pairs, objective.values = True, values
    return objective
