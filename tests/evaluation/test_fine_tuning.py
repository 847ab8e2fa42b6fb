import json

import numpy as np
import pytest
import torch

from evaluation.__main__ import main
from evaluation.fine_tuning import PROTOCOL, _Tuner, fine_tune
from evaluation.labelled import open_sides, predict
from evaluation.tasks import FineTuningTask
from glofnd.checkpoint import config_of, read
from glofnd.encoders import load_model
from glofnd.files import read_json

TASK = FineTuningTask(
    "tiny", fractions=(1, 0.5), draws=(1, 2), epochs=(4, 2), learning_rates=(0.001, 0.01), batch_size=8
)


@pytest.fixture(scope="module")
def opened(trained, shards):
    path = trained("sogclr", "none")
    return config_of(read(path)), load_model(path), open_sides(shards, TASK, workers=1)[0]


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_it_learns_and_leaves_the_model_alone(opened):
    _, model, sides = opened
    before = state(model)
    tuned, head = fine_tune(model, sides, np.arange(28), 0.01, epochs=12, batch_size=8, seed=1, bf16=False)
    fitted = predict(tuned, sides.train, head).argmax(1).numpy()
    assert (fitted == sides.train_labels).mean() > 0.7
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert any(not torch.equal(value, before[name]) for name, value in tuned.state_dict().items())


def test_a_seed_gives_the_same_bits(opened):
    _, model, sides = opened
    rows = np.arange(12)
    one, two, other = (fine_tune(model, sides, rows, 0.01, 2, 8, seed, False) for seed in (1, 1, 2))
    for name, value in one[0].state_dict().items():
        torch.testing.assert_close(value, two[0].state_dict()[name], rtol=0, atol=0)
    assert torch.equal(one[1].weight, two[1].weight)
    assert not torch.equal(one[1].weight, other[1].weight)


def test_test_labels_choose_nothing(opened):
    _, model, sides = opened
    tuner = _Tuner(model, sides, TASK, seed=1, bf16=False)
    chosen = tuner.choose(np.arange(28), epochs=2)
    sides.side.labels[:] = np.random.default_rng(0).permutation(sides.side.labels)
    assert tuner.choose(np.arange(28), epochs=2) == chosen
    assert chosen[1] == "hold-out"
    assert tuner.choose(np.array([0, 1, 2, 3]), epochs=2) == (0.01, "fixed")


def test_command_scores_every_fraction(monkeypatch, trained, shards, tmp_path):
    task = json.dumps(vars(TASK))
    path = trained("sogclr", "none")
    arguments = ("fine-tuning", "--checkpoint", path, "--shards", shards, "--task", task, "--out", tmp_path)
    monkeypatch.setattr("sys.argv", ["evaluation", *map(str, arguments)])
    main()
    found = read_json(tmp_path / "metrics.json")
    assert (found["evaluation"], found["protocol"]) == ("fine-tuning", PROTOCOL)
    metrics = {(m["metric"], m["fraction"]): m for m in found["metrics"]}
    assert metrics["top1", 0.5]["draws"] == len(metrics["top1", 0.5]["learning_rate"]) == 2
    assert (metrics["top1", 1]["labels_used"], metrics["top1", 1]["epochs"]) == (28, 4)
    assert metrics["top1", 1]["primary"]
    assert not list(tmp_path.glob("resume-*"))
