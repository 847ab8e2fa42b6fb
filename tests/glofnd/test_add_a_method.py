"""The methods written down in docs/add-a-method.md work as shown."""

import re
from pathlib import Path

import pytest
import torch

from glofnd import KeepAll

PREAMBLE = """
import torch
from torch import Tensor
from glofnd.detectors.base import Batch, Detector, Screening
from glofnd.detectors.tile import Tile
from glofnd.objectives.base import Objective
from glofnd.objectives.contrast import Criterion, Rows, Terms
"""


@pytest.fixture(scope="module")
def methods():
    text = (Path(__file__).parents[2] / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "class " in block]
    names = {}
    exec(PREAMBLE + "\n".join(blocks), names)
    return names


def test_the_detector_and_the_objective_of_the_page(methods):
    z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = torch.nn.functional.normalize(z, dim=2).requires_grad_()
    objective = methods["RowUniformity"](6, detector=methods["CloserThanPositive"](6))
    loss = objective(a, b, torch.arange(6), epoch=0)

    expected = 0.0
    for own, other in ((a, b), (b, a)):
        for i in range(6):
            rest = [j for j in range(6) if j != i]
            positive = own[i] @ other[i]
            s = torch.cat([other[rest], own[rest]]) @ own[i]
            s = s[s <= positive]
            uniformity = 0.1 * (s / 0.1).exp().mean().log() if len(s) else 0.0
            expected = expected + (uniformity - positive) / 6
    torch.testing.assert_close(loss, expected)
    assert not torch.equal(loss, methods["RowUniformity"](6, detector=KeepAll(6))(a, b, torch.arange(6), epoch=0))
