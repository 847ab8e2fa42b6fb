import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glofnd.detectors.quantile import upper_quantile
from glofnd.detectors.tile import FILL


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 60), alpha=st.floats(0.001, 0.999), seed=st.integers(0, 1000), ties=st.booleans())
def test_equals_torch_quantile(n, alpha, seed, ties):
    values = torch.rand(3, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    if ties:
        values = values.round(decimals=1)
    padded = torch.cat([values, torch.full((3, 2), FILL, dtype=torch.float64)], dim=1)
    expected = torch.quantile(values, 1 - alpha, dim=1)
    torch.testing.assert_close(upper_quantile(padded, alpha, n), expected, rtol=0, atol=1e-9)


def test_whole_positions_take_an_entry_itself():
    """0.1 * 30 is a little more than 3 in floating point."""
    values = torch.arange(31, dtype=torch.float64)[None] / 31
    assert upper_quantile(values, 0.1, 31).item() == 27 / 31
