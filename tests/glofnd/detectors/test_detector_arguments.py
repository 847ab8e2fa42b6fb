import math

import pytest
import torch

from glofnd import BatchQuantile, GlobalThreshold, GloFND, KeepAll, LocationScale, Oracle, SogCLR


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
def test_glofnd(arguments, message):
    with pytest.raises(ValueError, match=message):
        GloFND(**{"num_samples": 5, **arguments})


def test_the_oracle_asks_for_labels_once_it_filters():
    objective = SogCLR(5, detector=Oracle(5, start_filter=1))
    z = torch.randn(3, 4)
    objective(z, z, torch.arange(3), epoch=0)
    with pytest.raises(ValueError, match="the oracle needs labels"):
        objective(z, z, torch.arange(3), epoch=1)


def test_kinds_of_thresholds():
    assert GloFND(5).thresholds.shape == (5,)
    assert GlobalThreshold(5).thresholds.shape == ()
    assert KeepAll(5).thresholds is Oracle(5).thresholds is BatchQuantile(5).thresholds is None


@pytest.mark.parametrize("alpha", [1e-30, 0.01, 0.5, 1 - 1e-12])
@pytest.mark.parametrize("kind", [GloFND, LocationScale])
def test_any_share_can_be_asked_for(alpha, kind):
    z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    detector = kind(6, alpha=alpha)
    for epoch in range(3):
        assert SogCLR(6, detector=detector)(*z, torch.arange(6), epoch=epoch).isfinite()
    assert detector.thresholds.abs().max() <= 1
