"""How far thresholds are from the quantile that they are to be."""

import pytest
import torch

from glofnd import registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective

SIZE = 7


@pytest.mark.parametrize("objective", ["sogclr", "clip"])
@pytest.mark.parametrize("detector", registry.DETECTORS)
def test_quantile_error(objective, detector):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, SIZE, 4, generator=generator, dtype=torch.float64)
    parameters = {"alpha": 0.3} if "alpha" in registry.DETECTORS[detector].parameters else {}
    loss = build_objective(objective, SIZE, build_detector(detector, SIZE, **parameters)).double()
    index = torch.arange(SIZE)
    loss(*z, index, epoch=0, labels=index % 2)
    for seen in loss.inspect(*z, index, index % 2).values():
        error = seen.quantile_error(0.3)
        if detector in ("none", "oracle"):
            assert error is None
            continue
        expected = [
            abs(seen.threshold[row] - torch.quantile(seen.similarity[row][seen.negative[row]], 0.7))
            for row in range(len(seen.similarity))
        ]
        torch.testing.assert_close(error, torch.stack(expected))
        if detector == "batch-quantile":
            assert error.max() < 1e-12


def test_no_negatives_no_quantile():
    loss = build_objective("sogclr", 3, build_detector("glofnd", 3))
    seen = loss.inspect(torch.ones(1, 2), torch.ones(1, 2), torch.tensor([0]))["image"]
    assert seen.quantile_error(0.1).isnan().all()
