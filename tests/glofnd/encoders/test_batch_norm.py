"""Batch norm over several ranks equals torch's in one process: outputs, gradients, running statistics."""

from pathlib import Path

import pytest

from tests.glofnd.encoders.batch_norm_worker import CASES
from tests.glofnd.gloo_ranks import results_of


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def found(request, tmp_path_factory):
    worker = Path(__file__).with_name("batch_norm_worker.py")
    return results_of(worker, request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", CASES)
def test_equals_one_process(found, name):
    for rank in found:
        assert {"y 0", "dx 0", "y 1", "dx 1"} <= rank[name].keys()
        assert max(rank[name].values()) < 1e-9, rank[name]


def test_gradient_equals_finite_differences(found):
    assert max(rank["finite differences"] for rank in found) < 1e-5


def test_half_precision_is_as_exact_as_torchs(found):
    for rank in found:
        output, gradient = rank["half precision"]
        assert output < 0.05 and gradient < 0.05
