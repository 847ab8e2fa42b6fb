import json

import numpy as np
import pytest
import torch
from tiny_shards import baseline_config

from evaluation.__main__ import main
from evaluation.labelled import crop_and_flip, open_sides, predict
from evaluation.linear_paper import PROTOCOL, SHORTENED, train_head
from evaluation.tasks import LinearPaperTask, TaskError
from glofnd.counter_random import permutation
from glofnd.encoders import load_model
from glofnd.files import read_json

TASK = {"dataset": "tiny", "fractions": [1, 0.5], "epochs": [6, 3]}


@pytest.fixture(scope="module")
def sides(trained, shards):
    model = load_model(trained("sogclr", "none"))
    return model, open_sides(shards, LinearPaperTask("tiny"), workers=1)[0]


def fit(model, sides, epochs, seed=1):
    labels = torch.from_numpy(sides.train_labels)
    test = predict(model, sides.test)
    rows = np.arange(len(labels))
    return train_head(model, sides.train, rows, labels, test, sides.side.labels, epochs, seed)


def test_head_equals_a_plain_loop(sides):
    model, data = sides
    _, last, _ = fit(model, data, epochs=3)
    pictures = next(data.train.batches([np.arange(28)]))
    labels, test = torch.from_numpy(data.train_labels), predict(model, data.test)
    generator = torch.Generator().manual_seed(1)
    weight = torch.empty(4, test.shape[1]).normal_(0, 0.01, generator=generator)
    bias, momentum = torch.zeros(4), [torch.zeros(4, test.shape[1]), torch.zeros(4)]
    for epoch in range(3):
        lr = 0.4 * 0.5 * (1 + np.cos(np.pi * epoch / 3))
        order = torch.from_numpy(permutation(28, seed=1, epoch=epoch, stream=0x11EA))
        with torch.no_grad():
            crops = crop_and_flip(1).one(pictures[order], order, epoch, 0)
            x = model.features(model.normalise(crops))
        error = (torch.softmax(x @ weight.T + bias, dim=1) - torch.eye(4)[labels[order]]) / 28
        for value, gradient, velocity in zip((weight, bias), (error.T @ x, error.sum(0)), momentum, strict=True):
            velocity.mul_(0.9).add_(gradient)
            value.sub_(lr * velocity)
    np.testing.assert_allclose(last, (test @ weight.T + bias).numpy(), rtol=1e-4, atol=1e-5)


def test_the_best_epoch_is_that_of_the_test_set(sides):
    model, data = sides
    best, last, chosen = fit(model, data, epochs=8)
    truth = data.side.labels
    right = [(fit_scores.argmax(1) == truth).mean() for fit_scores in (best, last)]
    assert right[0] >= right[1]
    assert 1 <= chosen <= 8


def test_nothing_of_the_encoder_changes_and_a_seed_gives_the_same_numbers(sides):
    model, data = sides
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, two, other = fit(model, data, 2), fit(model, data, 2), fit(model, data, 2, seed=2)
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(one[1], other[1])
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["evaluation", *map(str, arguments)])
    main()


def test_command_labels_what_it_did(monkeypatch, trained, shards, tmp_path):
    path = trained("sogclr", "none")
    run(
        monkeypatch,
        "linear-paper",
        "--checkpoint",
        path,
        "--shards",
        shards,
        "--task",
        json.dumps(TASK),
        "--out",
        tmp_path,
    )
    found = read_json(tmp_path / "metrics.json")
    assert (found["evaluation"], found["protocol"]) == ("linear-paper", SHORTENED)
    metrics = {(m["metric"], m["fraction"]): m for m in found["metrics"]}
    for fraction, labels, epochs in ((1, 28, 6), (0.5, 16, 3)):
        best, last = metrics["top1", fraction], metrics["final-top1", fraction]
        assert (best["labels_used"], best["epochs"], best["selection"]) == (
            labels,
            epochs,
            "best epoch on the test set",
        )
        assert 1 <= best["best_epoch"] <= epochs
        assert best["value"] >= last["value"]
        assert best["primary"] and not last["primary"]
        assert best["near_duplicates"] == 0


def test_command_takes_an_untrained_encoder_but_no_pixels(monkeypatch, shards, tmp_path, capsys):
    task = json.dumps({"dataset": "tiny", "fractions": [1], "epochs": [1]})
    for name in ("random-init", "raw-pixels"):
        config = json.dumps(baseline_config(name))
        options = ("--baseline", name, "--run-config", config, "--shards", shards, "--task", task, "--out", tmp_path)
        if name == "random-init":
            run(monkeypatch, "linear-paper", *options)
            assert read_json(tmp_path / "metrics.json")["run"]["kind"] == "baseline"
        else:
            with pytest.raises(SystemExit):
                run(monkeypatch, "linear-paper", *options)
            assert "has no encoder" in capsys.readouterr().err


def test_epochs_are_the_papers_unless_given():
    assert LinearPaperTask("a").epochs_of() == (90, 285, 900, 900)
    assert LinearPaperTask("a", fractions=(0.01,)).epochs_of() == (900,)
    assert LinearPaperTask("a", fractions=(0.5,), epochs=(7,)).epochs_of() == (7,)
    with pytest.raises(TaskError, match=r"the paper has none for fraction 0\.5 \(it has 1, 0\.1, 0\.01, 0\.001\)"):
        LinearPaperTask("a", fractions=(0.5,))
    assert PROTOCOL != SHORTENED
