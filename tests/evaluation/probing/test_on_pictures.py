import numpy as np
import pytest
import torch

from evaluation.leakage import align
from evaluation.probing.encoder_views import FinishedFits, crop_and_flip, predict
from evaluation.probing.fine_tuning import FineTuningTask, _Tuner, fine_tune
from evaluation.probing.linear_paper import train_head
from evaluation.split_pictures import Pictures
from glofnd.counter_random import permutation
from glofnd.encoders import load_model


@pytest.fixture(scope="module")
def opened(trained, shards):
    train, test = (Pictures(shards, "tiny", split) for split in ("train", "test"))
    known, side = align(train, test, "label")
    return load_model(trained("sogclr", "none")), train, known, test, side


def head(opened, epochs, seed=1):
    model, train, known, test, side = opened
    labels = torch.from_numpy(known)
    return train_head(model, train, np.arange(28), labels, predict(model, test), side.labels, epochs, seed)


def test_linear_layer_equals_a_plain_loop(opened):
    model, train, known, test, _ = opened
    _, last, _ = head(opened, epochs=3)
    pictures = next(train.batches([np.arange(28)]))
    labels, features = torch.from_numpy(known), predict(model, test)
    generator = torch.Generator().manual_seed(1)
    weight = torch.empty(4, features.shape[1]).normal_(0, 0.01, generator=generator)
    bias, momentum = torch.zeros(4), [torch.zeros(4, features.shape[1]), torch.zeros(4)]
    for epoch in range(3):
        lr = 0.4 * 0.5 * (1 + np.cos(np.pi * epoch / 3))
        order = torch.from_numpy(permutation(28, seed=1, epoch=epoch, stream=0x11EA))
        with torch.no_grad():
            x = model.features(model.normalise(crop_and_flip(1).one(pictures[order], order, epoch, 0)))
        error = (torch.softmax(x @ weight.T + bias, dim=1) - torch.eye(4)[labels[order]]) / 28
        for value, gradient, velocity in zip((weight, bias), (error.T @ x, error.sum(0)), momentum, strict=True):
            velocity.mul_(0.9).add_(gradient)
            value.sub_(lr * velocity)
    np.testing.assert_allclose(last, (features @ weight.T + bias).numpy(), rtol=1e-4, atol=1e-5)


def test_the_best_epoch_is_that_of_the_test_set_and_nothing_of_the_encoder_changes(opened):
    model, *_, side = opened
    before = {name: value.clone() for name, value in model.state_dict().items()}
    best, last, chosen = head(opened, epochs=8)
    assert (best.argmax(1) == side.labels).mean() >= (last.argmax(1) == side.labels).mean()
    assert 1 <= chosen <= 8
    np.testing.assert_array_equal(head(opened, epochs=8)[1], last)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_fine_tuning_learns_repeats_itself_and_leaves_the_model_alone(opened):
    model, train, known, *_ = opened
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (tuned, layer), again = (
        fine_tune(model, train, known, np.arange(28), 0.01, epochs=12, batch_size=8, seed=1, bf16=False)
        for _ in range(2)
    )
    assert (predict(tuned, train, layer).argmax(1).numpy() == known).mean() > 0.7
    assert torch.equal(layer.weight, again[1].weight)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert any(not torch.equal(value, before[name]) for name, value in tuned.state_dict().items())


def test_the_learning_rate_is_chosen_on_training_labels(opened):
    model, train, known, test, _ = opened
    task = FineTuningTask("tiny", fractions=(1,), epochs=(2,), learning_rates=(1e-6, 0.01), batch_size=8)
    tuner = _Tuner(model, train, known, test, task, seed=1, bf16=False)
    assert tuner.choose(np.arange(28), epochs=12) == (0.01, "hold-out")
    assert tuner.choose(np.arange(4), epochs=2) == (0.01, "fixed")


def test_finished_fits_are_used_again_unless_damaged_or_of_other_settings(tmp_path):
    def fit():
        return {"x": np.arange(3)}

    FinishedFits(tmp_path, ["a"]).once("1", fit)
    np.testing.assert_array_equal(FinishedFits(tmp_path, ["a"]).once("1", lambda: pytest.fail("again"))["x"], [0, 1, 2])
    assert FinishedFits(tmp_path, ["b"]).once("1", lambda: {"x": np.ones(1)})["x"].tolist() == [1]
    (tmp_path / "resume.npz").write_bytes(b"PK")
    assert FinishedFits(tmp_path, ["b"]).once("1", fit)["x"].tolist() == [0, 1, 2]
