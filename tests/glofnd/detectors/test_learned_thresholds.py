"""Do learned thresholds find the exact quantile over the whole data set, on fixed embeddings?"""

import pytest
import torch

from glofnd import BatchQuantile, GlobalThreshold, GloFND, LocationScale, SogCLR

SAMPLES, BATCH, ALPHA = 320, 64, 0.1


def bank():
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 16, generator=generator)
    spread = 0.5 + torch.rand(SAMPLES, 1, generator=generator)
    z = centres[torch.arange(SAMPLES) % 8] + spread * torch.randn(SAMPLES, 16, generator=generator)
    return torch.nn.functional.normalize(z, dim=1)


def exact(z):
    similarity = z @ z.T
    rows = similarity[~torch.eye(SAMPLES, dtype=torch.bool)].view(SAMPLES, SAMPLES - 1)
    return rows.quantile(1 - ALPHA, dim=1)


def learn(detector, z, epochs, seed=0):
    objective = SogCLR(SAMPLES, detector=detector)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        for index in torch.randperm(SAMPLES, generator=generator).split(BATCH):
            objective(z[index], z[index], index, epoch=epoch)
    return detector.thresholds


@pytest.mark.parametrize(
    ("kind", "options", "epochs", "bound"),
    [
        (GloFND, {"learner": "adam", "lr": 0.02}, 90, 0.07),
        (GloFND, {"learner": "sgd", "lr": 0.1}, 80, 0.07),
        (LocationScale, {}, 40, 0.04),
    ],
)
def test_converges_to_the_exact_quantile(kind, options, epochs, bound):
    z = bank()
    error = (learn(kind(SAMPLES, alpha=ALPHA, **options), z, epochs) - exact(z)).abs()
    assert error.mean() < bound and error.quantile(0.95) < 3.5 * bound


def test_location_scale_is_faster_than_the_paper_and_better_than_the_batch():
    z = bank()
    errors = {}
    for kind in (GloFND, LocationScale):
        errors[kind] = (learn(kind(SAMPLES, alpha=ALPHA), z, 5) - exact(z)).abs().mean()
    objective = SogCLR(SAMPLES, detector=BatchQuantile(SAMPLES, alpha=ALPHA))
    index = torch.arange(BATCH)
    seen = objective.inspect(z[index], z[index], index)["image"]
    errors["batch"] = (seen.threshold - exact(z)[seen.anchor]).abs().mean()
    assert errors[LocationScale] < 0.8 * errors["batch"] < errors[GloFND]


def test_global_threshold_is_the_quantile_of_all_pairs():
    z = bank()
    threshold = learn(GlobalThreshold(SAMPLES, alpha=ALPHA, lr=0.02), z, 100)
    pairs = (z @ z.T)[~torch.eye(SAMPLES, dtype=torch.bool)]
    assert threshold.ndim == 0
    assert abs(float((pairs > threshold).float().mean()) - ALPHA) < 0.02


def test_dropped_share_is_alpha_once_learned():
    z = bank()
    detector = LocationScale(SAMPLES, alpha=ALPHA)
    learn(detector, z, 40)
    index = torch.arange(SAMPLES)
    seen = SogCLR(SAMPLES, detector=detector).inspect(z, z, index)["image"]
    assert abs(float(seen.dropped.sum() / seen.negative.sum()) - ALPHA) < 0.01


def test_unseen_samples_drop_nothing():
    for detector in (GloFND(4), LocationScale(4)):
        assert detector.thresholds.tolist() == [1.0] * 4
