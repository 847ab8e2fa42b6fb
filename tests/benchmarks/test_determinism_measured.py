"""The comparison of two cases: nothing is called equal that is not, bit for bit."""

import numpy as np
import pytest

from benchmarks.determinism import compared


def written(path, **arrays):
    np.savez(path, allow_pickle=False, **arrays)
    return path


def test_equal_cases_are_identical(tmp_path):
    arrays = {"loss": np.linspace(2, 1, 112), "weights": np.ones(5, np.float32), "top1 of 1": np.array(0.5)}
    found = compared(written(tmp_path / "a.npz", **arrays), written(tmp_path / "b.npz", **arrays))
    assert found["identical"] is True
    assert not any(value for key, value in found.items() if key != "identical")


def test_distances(tmp_path):
    weights, loss = np.array([3.0, 4.0], np.float32), np.zeros(100)
    near, far = weights.copy(), loss.copy()
    near[1] = np.nextafter(near[1], np.float32(9))
    far[9], far[99] = 0.25, -0.5
    left = written(tmp_path / "a.npz", weights=near, loss=far)
    found = compared(left, written(tmp_path / "b.npz", weights=weights, loss=loss))
    assert found["identical"] is False
    assert 0 < found["weights"] == pytest.approx(4.8e-7 / 5, rel=0.01)
    assert (found["loss"], found["loss at step 1"], found["loss at step 10"], found["loss at step 100"]) == (
        0.5,
        0,
        0.25,
        0.5,
    )
