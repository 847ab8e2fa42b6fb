"""The rules against their formulas, sample by sample, and what they learn on fixed embeddings."""

import math
from collections import defaultdict
from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from glofnd import GlobalThreshold, GloFND, LocationScale, SogCLR
from glofnd.detectors import DETECTORS, Tile
from glofnd.detectors.detector import Scratch
from tests.glofnd.objectives.common import SAMPLES, draw, make

ALPHA = 0.3


def rows_of(z, index):
    """Per anchor its negatives over both views, [B, 2, 2(B-1)]."""
    both = [normalize(x.detach(), dim=1) for x in z]
    other = ~torch.eye(len(index), dtype=torch.bool)
    rows = [[torch.cat([c[other[i]] @ v[i] for c in both]) for v in both] for i in range(len(index))]
    return torch.stack([torch.stack(views) for views in rows])


def descend(state, g, epoch, learner, lr):
    threshold, m, v = state
    if learner == "sgd":
        return min(1.0, max(-1.0, threshold - lr * g)), m, v
    m, v = 0.9 * m + 0.1 * g, 0.98 * v + 0.02 * g * g
    step = m / (1 - 0.9 ** (epoch + 1)) / (math.sqrt(v / (1 - 0.98 ** (epoch + 1))) + 1e-8)
    return min(1.0, max(-1.0, threshold - lr * step)), m, v


@pytest.mark.parametrize("kind", ["glofnd", "global-threshold"])
@pytest.mark.parametrize(
    "options",
    [
        {"learner": "adam", "init": "one"},
        {"learner": "sgd", "init": "one", "lr": 1.5},
        {"learner": "adam", "init": "quantile", "start_update": 1, "start_filter": 2},
        {"learner": "adam", "init": "one", "normalize_gradient": True, "clip": 2.0},
    ],
)
def test_descent(kind, options):
    """Repeated samples keep the mean of their occurrences, which all start from the state before the batch."""
    objective = make("sogclr", kind, **options)
    shared, lr = kind == "global-threshold", options.get("lr", 0.05)
    state = defaultdict(lambda: (1.0, 0.0, 0.0))
    for epoch in range(4):
        z, index = draw(seed=epoch, repeated=True)
        objective(*z, index, epoch=epoch)
        if epoch < options.get("start_update", 0):
            continue
        keys = [0] * len(index) if shared else index.tolist()
        gradients, new = [], defaultdict(list)
        for key, rows in zip(keys, rows_of(z, index), strict=True):
            g = ALPHA - float((rows > state[key][0]).double().mean())
            g = g / ALPHA if options.get("normalize_gradient") else g
            bound = ALPHA * options.get("clip", math.inf)
            quantile = float(rows.quantile(1 - ALPHA, dim=1).mean())
            gradients.append((min(bound, max(-bound, g)), quantile))
        if shared:
            gradients = [tuple(sum(x) / len(x) for x in zip(*gradients, strict=True))] * len(keys)
        for key, (g, quantile) in zip(keys, gradients, strict=True):
            first = options["init"] == "quantile" and epoch == options["start_update"]
            after = (quantile, 0.0, 0.0) if first else descend(state[key], g, epoch, options["learner"], lr)
            new[key].append(after)
        state.update({key: tuple(sum(x) / len(x) for x in zip(*found, strict=True)) for key, found in new.items()})
        thresholds = objective.detectors["image"].thresholds
        expected = [state[0 if shared else i][0] for i in range(SAMPLES)]
        expected = torch.tensor(expected[0] if shared else expected, dtype=torch.float64)
        torch.testing.assert_close(thresholds, expected, rtol=1e-9, atol=1e-12)


def test_location_scale():
    objective = make("sogclr", "location-scale")
    detector = objective.detectors["image"]
    detector.tail.fill_(NormalDist().inv_cdf(1 - ALPHA))
    tail, state = float(detector.tail), defaultdict(lambda: torch.zeros(4, dtype=torch.float64))

    def threshold(row):
        return float((row[0] + tail * row[1] + row[2]).clamp(-1, 1)) if row[3] > 0 else 1.0

    for epoch in range(4):
        z, index = draw(seed=epoch, repeated=True)
        objective(*z, index, epoch=epoch)
        new, surpluses = defaultdict(list), []
        for sample, rows in zip(index.tolist(), rows_of(z, index), strict=True):
            mean, std, residual, visits = (float(x) for x in state[sample])
            rate = max(1 / (visits + 1), 0.1)
            mean, std = mean + rate * (rows.mean() - mean), std + rate * (rows.std(unbiased=False) - std)
            seen = torch.tensor([mean, std, residual, visits + 1], dtype=torch.float64)
            surpluses.append((float((rows > threshold(seen)).double().mean()) - ALPHA) / ALPHA)
            seen[2] += 0.2 * seen[1] * surpluses[-1] / (1 + 0.2 * (visits + 1))
            new[sample].append(seen)
        state.update({sample: torch.stack(found).mean(0) for sample, found in new.items()})
        tail += 0.005 * sum(surpluses) / len(surpluses)
    expected = torch.tensor([threshold(state[i]) for i in range(SAMPLES)], dtype=torch.float64)
    torch.testing.assert_close(detector.thresholds, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in DETECTORS if n != "none"])
def test_what_is_dropped(name):
    objective = make("sogclr", name)
    z, index = draw()
    for epoch in range(2):
        objective(*z, index, epoch=epoch, labels=index % 3)
    seen = objective.inspect(*z, index, index % 3)["image"]
    assert 0 < seen.dropped.sum() < seen.negative.sum()
    if name == "oracle":
        assert torch.equal(seen.dropped, seen.negative & (seen.anchor[:, None] % 3 == seen.candidate % 3))
    if name == "batch-quantile":
        rows = seen.similarity[seen.negative].view(12, -1)
        torch.testing.assert_close(seen.threshold, rows.quantile(1 - ALPHA, dim=1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n=st.integers(1, 60), alpha=st.floats(0.001, 0.999), seed=st.integers(0, 1000), ties=st.booleans())
def test_upper_quantile_is_torch_quantile(n, alpha, seed, ties):
    values = torch.rand(1, 3, n + 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    values = values.round(decimals=1) if ties else values
    negatives = values[0][torch.arange(n + 3)[None] != torch.arange(3)[:, None]].view(3, -1)
    tile = Tile(slice(0, 3), values.clone(), 0, Scratch())
    torch.testing.assert_close(tile.upper_quantile(alpha)[0], negatives.quantile(1 - alpha, dim=1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("name", ["glofnd", "location-scale", "global-threshold"])
def test_thresholds_can_be_set_and_read(name, modality):
    objective = make("clip", name)
    detector = objective.detectors[modality]
    assert detector.thresholds.tolist() == ([1.0] * SAMPLES if name != "global-threshold" else 1.0)
    wanted = torch.linspace(-0.5, 0.9, SAMPLES, dtype=torch.float64)
    wanted = wanted[3] if name == "global-threshold" else wanted
    detector.thresholds = wanted
    torch.testing.assert_close(detector.thresholds, wanted)
    z, index = draw()
    seen = objective.inspect(*z, index)[modality]
    torch.testing.assert_close(seen.threshold, wanted[index] if wanted.ndim else wanted.expand(6))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha must be > 0 and < 1"),
        ({"lr": math.nan}, "lr must be > 0"),
        ({"learner": "moments"}, "learner must be one of adam, sgd"),
        ({"start_update": 3, "start_filter": 2}, r"start_filter \(2\) must not come before start_update \(3\)"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        GloFND(**{"num_samples": 5, **arguments})


# Do learned thresholds find the exact quantile over the whole data set, on fixed embeddings?
BANK, BATCH, SHARE = 320, 64, 0.1


@pytest.fixture(scope="module")
def bank():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 16, generator=generator)
    spread = 0.5 + torch.rand(BANK, 1, generator=generator)
    z = normalize(centres[torch.arange(BANK) % 8] + spread * torch.randn(BANK, 16, generator=generator), dim=1)
    pairs = (z @ z.T)[~torch.eye(BANK, dtype=torch.bool)].view(BANK, -1)
    return z, pairs


def learn(detector, z, epochs):
    objective, generator = SogCLR(BANK, detector=detector), torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        for index in torch.randperm(BANK, generator=generator).split(BATCH):
            objective(z[index], z[index], index, epoch=epoch)
    return objective


@pytest.mark.parametrize(
    ("kind", "options", "epochs", "bound"),
    [
        (GloFND, {"learner": "adam", "lr": 0.02}, 90, 0.07),
        (GloFND, {"learner": "sgd", "lr": 0.1}, 80, 0.07),
        (LocationScale, {}, 40, 0.04),
    ],
)
def test_converges_to_the_exact_quantile(bank, kind, options, epochs, bound):
    z, pairs = bank
    detector = kind(BANK, alpha=SHARE, **options)
    objective = learn(detector, z, epochs)
    error = (detector.thresholds - pairs.quantile(1 - SHARE, dim=1)).abs()
    assert error.mean() < bound and error.quantile(0.95) < 3.5 * bound
    seen = objective.inspect(z, z, range(BANK))["image"]
    assert abs(float(seen.dropped.sum() / seen.negative.sum()) - SHARE) < 0.02


def test_global_threshold_is_the_quantile_of_all_pairs(bank):
    z, pairs = bank
    detector = GlobalThreshold(BANK, alpha=SHARE, lr=0.02)
    learn(detector, z, 100)
    assert detector.thresholds.ndim == 0
    assert abs(float((pairs > detector.thresholds).float().mean()) - SHARE) < 0.02
