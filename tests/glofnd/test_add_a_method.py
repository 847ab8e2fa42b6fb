"""The methods written down in docs/add-a-method.md work as shown."""

import re
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from glofnd.detectors import DETECTORS, build_detector
from glofnd.objectives import OBJECTIVES, build_objective
from tests.glofnd.objectives.common import by_pairs


@pytest.fixture(scope="module", autouse=True)
def registered():
    text = (Path(__file__).parents[2] / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    names, before = {"DETECTORS": DETECTORS, "OBJECTIVES": OBJECTIVES}, (dict(DETECTORS), dict(OBJECTIVES))
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(block, names)
    OBJECTIVES["hinge"] = names["Hinge"]
    yield
    for table, old in zip((DETECTORS, OBJECTIVES), before, strict=True):
        table.clear()
        table.update(old)


def rows(own, other):
    """Positive and negatives of every anchor in one view; negatives closer than .9 times the positive are left out."""
    for i in range(6):
        s = torch.cat([x @ own[i] for x in other])[torch.arange(6 * len(other)) % 6 != i]
        yield own[i] @ other[0][i], s[s <= 0.9 * (own[i] @ other[0][i])]


@pytest.mark.parametrize("name", ["row-uniformity", "hinge"])
def test_the_methods_of_the_page(name):
    z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = z[0].requires_grad_(), (z[0] + 2 * z[1]).detach().requires_grad_()
    objective = build_objective(name, 6, build_detector("closer-than-positive", 6, margin=0.9))
    loss = objective(*z, range(6), epoch=0)
    a, b = (normalize(x, dim=1) for x in z)
    if name == "row-uniformity":
        every = [*rows(a, [b, a]), *rows(b, [a, b])]
        values = [(0.1 * (s / 0.1).exp().mean().log() if len(s) else 0) - p for p, s in every]
    else:
        values = [(0.2 - p + s).relu().sum() / 2 for p, s in (*rows(a, [b]), *rows(b, [a]))]
    expected = sum(values) / 6
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
    got, want = torch.autograd.grad(loss, z), torch.autograd.grad(expected, z)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-9)
    assert not torch.equal(loss, build_objective(name, 6)(*z, range(6), epoch=0))
    if name == "row-uniformity":
        again = by_pairs(build_objective(name, 6, build_detector("closer-than-positive", 6, margin=0.9)))
        torch.testing.assert_close(again(*z, range(6), epoch=0), loss)
