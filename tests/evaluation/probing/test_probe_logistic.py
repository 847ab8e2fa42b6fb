import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from evaluation.probing.logistic import C_PATH, SoftmaxRegression, fit_probe, optimum, standardise

pytestmark = pytest.mark.slow


def blobs(samples, width, classes, spread, seed=0):
    """Overlapping classes in correlated, badly scaled features, as an encoder's are; float32."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    hidden = generator.normal(size=(classes, 8))[labels] + spread * generator.normal(size=(samples, 8))
    features = np.maximum(hidden @ generator.normal(size=(8, width)), 0) * np.geomspace(1, 0.05, width)
    features += 0.05 * generator.normal(size=(samples, width))
    return ((features - features.mean(0)) / features.std(0)).astype(np.float32), labels


def objective(weights, intercept, features, labels, strength):
    """The objective in double precision, straight from its definition."""
    logits = features.astype(np.float64) @ weights.T + intercept
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    losses = log_sum - logits[np.arange(len(labels)), labels]
    return 0.5 * (weights**2).sum() + strength * losses.sum()


@pytest.mark.parametrize(
    ("samples", "width", "classes", "spread"),
    [(400, 20, 5, 1.0), (60, 150, 4, 1.0), (300, 30, 2, 2.0), (240, 40, 12, 0.7)],
)
@pytest.mark.parametrize("strength", [C_PATH[0], C_PATH[3], C_PATH[5], C_PATH[7], C_PATH[9]])
def test_optimum_agrees_with_scikit_learn(samples, width, classes, spread, strength):
    features, labels = blobs(samples + 2000, width, classes, spread)
    features, labels, test = features[:samples], labels[:samples], features[samples:]
    problem = SoftmaxRegression(features, labels, classes)
    found = problem.probe(optimum(problem, strength, problem.zeros()), strength, "")
    mine = objective(found.weights, found.intercept, features, labels, strength)

    # With two classes scikit-learn fits one weight vector w under |w|^2 / 2; the softmax needs w/2 and -w/2, |w|^2 / 4
    # in total, so its optimum at C is scikit-learn's at 2 C.
    two = classes == 2
    peer = LogisticRegression(C=2 * strength if two else strength, tol=1e-9, max_iter=50_000)
    peer.fit(features.astype(np.float64), labels)
    weights, intercept = peer.coef_, peer.intercept_
    if two:
        weights, intercept = np.concatenate([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2
    theirs = objective(weights, intercept, features, labels, strength)
    assert mine <= theirs * (1 + 1e-4)
    if strength < 1e3:
        assert (found.scores(test).argmax(1) == peer.predict(test.astype(np.float64))).mean() >= 0.999


def test_gradient_equals_autograd_with_masks():
    features, labels = blobs(90, 7, 3, 1.0)
    masks = np.random.default_rng(0).random((2, 90)) < 0.7
    problem = SoftmaxRegression(features, labels, 3).masked(masks)
    parameters = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = 0
    for mask, part in zip(masks, parameters, strict=True):
        rows = torch.from_numpy(mask)
        logits = problem.design[rows] @ part.T
        losses = losses + 2.5 * torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(labels)[rows], reduction="sum"
        )
        losses = losses + 0.5 * part[:, :-1].square().sum()
    (expected,) = torch.autograd.grad(losses, parameters)
    value, gradient = problem.value(parameters.detach(), 2.5)
    assert float(value) == pytest.approx(float(losses.detach()), rel=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


def test_a_class_without_samples_is_never_predicted_and_constant_features_give_class_frequencies():
    features, labels = blobs(90, 10, 3, 0.5)
    found = fit_probe(features, labels, 4, "top1", seed=0)
    assert found.scores(features).argmax(1).max() <= 2
    found = fit_probe(np.ones((10, 3)), np.array([0] * 7 + [1] * 3), 2, "top1", seed=0)
    logits = found.scores(np.ones((1, 3)))[0]
    assert np.exp(logits[0] - logits[1]) == pytest.approx(7 / 3, rel=1e-3)


@pytest.mark.parametrize("samples", [300, 6000])
def test_the_chosen_c_is_as_good_as_the_best_of_scikit_learns(samples):
    features, labels = blobs(samples + 4000, 40, 6, 1.6)
    train, test = standardise(features[:samples], features[samples:])
    known, truth = labels[:samples], labels[samples:]
    found = fit_probe(train, known, 6, "top1", seed=0)
    scores = [LogisticRegression(C=c, max_iter=2000, tol=1e-3).fit(train, known).score(test, truth) for c in C_PATH[:8]]
    assert (found.scores(test).argmax(1) == truth).mean() >= max(scores) - 0.02
    assert found.selection == ("5-fold" if samples == 300 else "hold-out")
