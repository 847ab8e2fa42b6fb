"""Tiny shards, made on the spot."""

import pytest
from tiny_data import tiny_split, write


@pytest.fixture
def shards(tmp_path):
    """22 samples in 3 shards; picture i is filled with the value i; three captions each."""
    out = tmp_path / "shards"
    write(tiny_split(), out)
    return out
