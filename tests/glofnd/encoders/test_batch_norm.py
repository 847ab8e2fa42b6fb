"""Batch norm over several ranks equals torch's in one process: outputs, gradients, running statistics."""

from pathlib import Path

import pytest

from tests.glofnd.encoders.batch_norm_worker import CASES
from tests.glofnd.gloo_ranks import results_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_equals_one_process(ranks, tmp_path):
    for found in results_of(Path(__file__).with_name("batch_norm_worker.py"), ranks, tmp_path):
        for name in CASES:
            assert {"y 0", "dx 0", "y 1", "dx 1"} <= found[name].keys()
            assert max(found[name].values()) < 1e-9, found[name]
        assert max(found["half precision"]) < 0.05
