import pytest
import torch

from glofnd import products as module
from glofnd.products import products


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("library", ["as found", "without oneDNN"])
def test_equals_the_sum_of_products(dtype, library, monkeypatch):
    if library == "without oneDNN":
        monkeypatch.setattr(module, "_onednn", lambda: False)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(rows, 300, generator=generator, dtype=dtype) for rows in (7, 65))
    expected = (a.double()[:, None] * b.double()).sum(-1)
    for left, right in ((a, b), (a.T.contiguous().T, b), (a, b.T.contiguous().T)):
        found = products(left, right)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-12)


def test_an_operator_that_is_missing_or_wrong_is_not_used(monkeypatch):
    module._onednn.cache_clear()
    monkeypatch.setattr(module.torch.ops, "mkldnn", object())
    assert not module._onednn()
    module._onednn.cache_clear()
