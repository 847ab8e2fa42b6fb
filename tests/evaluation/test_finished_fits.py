"""Evaluations that train on pictures go on where they were interrupted, fit by fit."""

import numpy as np
import pytest

from evaluation import fine_tuning, linear_paper
from evaluation.finished_fits import FinishedFits
from evaluation.tasks import FineTuningTask, LinearPaperTask
from glofnd.checkpoint import config_of, read
from glofnd.encoders import load_model

FINE_TUNING = FineTuningTask("tiny", fractions=(1, 0.5), draws=(1, 2), epochs=(1, 1), learning_rates=(0.01,))
LINEAR = LinearPaperTask("tiny", fractions=(1, 0.5, 0.25), epochs=(2, 2, 2))
CASES = {
    "fine-tuning": (fine_tuning.run_fine_tuning, FINE_TUNING, fine_tuning._Tuner, "test", 1),
    "linear-paper": (linear_paper.run_linear_paper, LINEAR, linear_paper, "train_head", 2),
}


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_job_goes_on_where_it_was(monkeypatch, trained, shards, tmp_path, case):
    run, task, place, name, rows = CASES[case]
    path = trained("sogclr", "none")
    arguments = (config_of(read(path)), load_model(path), shards, [task], 1)
    whole, _ = run(*arguments, tmp_path / "whole", "c0ffee")
    fits = []
    original = getattr(place, name)

    def interrupted(*given):
        fits.append(len(given[rows]))
        if len(fits) == 2:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(place, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(*arguments, tmp_path / "half", "c0ffee")
    resumed, _ = run(*arguments, tmp_path / "half", "c0ffee")
    # The first of three fits is done once, the second, in which it was interrupted, again.
    assert fits == [28, 16, *fits[2:]] and len(fits) == 4
    assert resumed.metrics == whole.metrics
    for key, array in whole.predictions.items():
        np.testing.assert_array_equal(resumed.predictions[key], array)
    run(*arguments, tmp_path / "half", "other weights")
    assert len(fits) == 7


def arrays(value):
    return {"scores": np.arange(6.0).reshape(2, 3) + value, "name": np.array("hold-out")}


def forbidden():
    raise AssertionError("this fit is done")


def test_each_fit_is_done_once(tmp_path):
    fits = FinishedFits(tmp_path, {"seed": 1})
    fits.once("1", lambda: arrays(1))
    fits.once("10", lambda: arrays(2))
    again = FinishedFits(tmp_path, {"seed": 1})
    for name, value in (("1", 1), ("10", 2)):
        found = again.once(name, forbidden)
        np.testing.assert_array_equal(found["scores"], arrays(value)["scores"])
        assert set(found) == {"scores", "name"} and str(found["name"]) == "hold-out"
    np.testing.assert_array_equal(FinishedFits(tmp_path, {"seed": 2}).once("1", lambda: arrays(3))["scores"][0, 0], 3)


@pytest.mark.parametrize("damage", ["cut off", "a flipped bit", "empty"])
def test_a_damaged_file_is_said_to_be_and_not_used(tmp_path, capsys, damage):
    FinishedFits(tmp_path, 0).once("1", lambda: arrays(1))
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(3.0).tobytes()) + 6] ^= 1
    path.write_bytes({"cut off": path.read_bytes()[:-30], "a flipped bit": bytes(content), "empty": b""}[damage])
    found = FinishedFits(tmp_path, 0).once("1", lambda: arrays(5))
    np.testing.assert_array_equal(found["scores"], arrays(5)["scores"])
    said = capsys.readouterr().err
    assert said.startswith(f"{path.name} is not used: damaged (") and said.count("\n") == 1
