import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation.extrapolation import extrapolate
from evaluation.logistic import C_PATH, rotate, solve, solve_path


def blobs(samples, width, classes, spread, seed=0, dtype=np.float64):
    """Overlapping classes in correlated, badly scaled features, as an encoder's are."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    hidden = generator.normal(size=(classes, 8))[labels] + spread * generator.normal(size=(samples, 8))
    features = np.maximum(hidden @ generator.normal(size=(8, width)), 0) * np.geomspace(1, 0.05, width)
    features += 0.05 * generator.normal(size=(samples, width))
    return ((features - features.mean(0)) / features.std(0)).astype(dtype), labels


def objective(weights, intercept, features, labels, strength):
    """The objective in double precision, straight from its definition."""
    logits = features.astype(np.float64) @ weights.T + intercept
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    losses = log_sum - logits[np.arange(len(labels)), labels]
    return 0.5 * (weights**2).sum() + strength * losses.sum()


def in_features(basis, solution, problem=0):
    weights = solution.parameters[problem, :, :-1] @ basis.axes.T
    return weights, solution.parameters[problem, :, -1] - weights @ basis.centre


@pytest.mark.parametrize(
    ("samples", "width", "classes", "spread"),
    [(400, 20, 5, 1.0), (60, 150, 4, 1.0), (300, 30, 2, 2.0), (240, 40, 12, 0.7)],
)
@pytest.mark.parametrize("strength", [C_PATH[3], C_PATH[5], C_PATH[7]])
def test_optimum_agrees_with_scikit_learn(samples, width, classes, spread, strength):
    features, labels = blobs(samples + 2000, width, classes, spread, dtype=np.float32)
    features, labels, test = features[:samples], labels[:samples], features[samples:]
    basis = rotate(features)
    found = solve(basis, labels, classes, np.ones((1, samples)), np.array([strength]))
    mine = objective(*in_features(basis, found), features, labels, strength)

    # With two classes scikit-learn fits one weight vector w under |w|^2 / 2; the softmax needs w/2 and -w/2, |w|^2 / 4
    # in total, so its optimum at C is scikit-learn's at 2 C.
    two = classes == 2
    peer = LogisticRegression(C=2 * strength if two else strength, tol=1e-8, max_iter=50_000)
    peer.fit(features.astype(np.float64), labels)
    weights, intercept = peer.coef_, peer.intercept_
    if two:
        weights, intercept = np.concatenate([-weights, weights]) / 2, np.concatenate([-intercept, intercept]) / 2
    theirs = objective(weights, intercept, features, labels, strength)
    assert mine <= theirs * (1 + 1e-4)
    assert theirs <= mine * (1 + 1e-4)

    agreement = (found.classifier(basis)(test).argmax(1) == peer.predict(test.astype(np.float64))).mean()
    assert agreement >= 0.999


def test_reported_objective_is_the_objective():
    features, labels = blobs(200, 15, 3, 1.0)
    basis = rotate(features)
    found = solve(basis, labels, 3, np.ones((1, 200)), np.array([2.0]))
    assert found.objective[0] == pytest.approx(objective(*in_features(basis, found), features, labels, 2.0), rel=1e-9)


def test_gradient_vanishes_at_the_optimum():
    features, labels = blobs(150, 10, 4, 1.0)
    basis = rotate(features)
    found = solve(basis, labels, 4, np.ones((1, 150)), np.array([0.5]), tolerance=1e-14)
    weights, intercept = in_features(basis, found)
    logits = features @ weights.T + intercept
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(150), labels] -= 1
    assert np.abs(0.5 * p.T @ features + weights).max() < 1e-5
    assert np.abs(0.5 * p.sum(axis=0)).max() < 1e-5


def test_batched_problems_equal_problems_alone():
    features, labels = blobs(120, 12, 3, 1.0)
    basis = rotate(features)
    masks = np.random.default_rng(0).random((4, 120)) < 0.7
    strengths = np.array([0.01, 0.1, 1.0, 10.0])
    together = solve(basis, labels, 3, masks, strengths, tolerance=1e-12)
    for problem, (mask, strength) in enumerate(zip(masks, strengths, strict=True)):
        rows = np.flatnonzero(mask)
        alone_basis = rotate(features[rows])
        alone = solve(alone_basis, labels[rows], 3, np.ones((1, len(rows))), np.array([strength]), tolerance=1e-12)
        assert together.objective[problem] == pytest.approx(alone.objective[0], rel=1e-8)
        ours, theirs = together.classifier(basis, problem)(features), alone.classifier(alone_basis)(features)
        np.testing.assert_allclose(
            ours - ours.mean(1, keepdims=True), theirs - theirs.mean(1, keepdims=True), atol=2e-4
        )


def test_path_walks_to_the_same_optima_as_cold_starts():
    features, labels = blobs(100, 40, 4, 0.5)
    basis = rotate(features)
    path = solve_path(basis, labels, 4, np.ones((1, 100)), tolerance=1e-9)
    for strength, found in zip(C_PATH, path, strict=True):
        cold = solve(basis, labels, 4, np.ones((1, 100)), np.array([strength]), tolerance=1e-9)
        assert found.objective[0] == pytest.approx(cold.objective[0], rel=1e-6)


def test_rotation_loses_nothing():
    features, _ = blobs(30, 80, 3, 1.0)
    basis = rotate(features)
    assert basis.scores.shape[1] <= 29
    np.testing.assert_allclose(basis.scores @ basis.axes.T + basis.centre, features, atol=1e-6)


def test_a_class_without_samples_is_never_predicted():
    features, labels = blobs(90, 10, 3, 0.5)
    basis = rotate(features)
    found = solve(basis, labels, 4, np.ones((1, 90)), np.array([1.0]))
    assert found.classifier(basis)(features).argmax(1).max() <= 2


def test_equal_features_give_the_class_frequencies():
    features, labels = np.ones((10, 3)), np.array([0] * 7 + [1] * 3)
    basis = rotate(features)
    found = solve(basis, labels, 2, np.ones((1, 10)), np.array([1.0]), tolerance=1e-12)
    logits = found.classifier(basis)(features)[0]
    assert np.exp(logits[0] - logits[1]) == pytest.approx(7 / 3, rel=1e-4)


@pytest.mark.parametrize(("samples", "width", "classes", "spread"), [(300, 24, 5, 2.0), (240, 100, 8, 0.7)])
def test_gap_bounds_the_distance_from_the_optimum(samples, width, classes, spread):
    features, labels = blobs(samples, width, classes, spread, dtype=np.float32)
    basis, exact = rotate(features), rotate(features.astype(np.float64))
    masks = np.random.default_rng(0).random((2, samples)) < 0.8
    path = solve_path(basis, labels, classes, masks, tolerance=1e-4)
    optima = solve_path(exact, labels, classes, masks, tolerance=1e-8)
    for found, optimum in zip(path, optima, strict=True):
        assert (found.gap <= 1e-4).all()
        # Rounding of the features to single precision in other coordinates is not part of the gap.
        assert (found.objective <= optimum.objective * (1 + found.gap + 2e-6)).all()
        assert (found.objective >= optimum.objective * (1 - 2e-6)).all()


def test_too_few_iterations_show_in_the_gap():
    features, labels = blobs(150, 10, 4, 1.0)
    basis, everything = rotate(features), np.ones((1, 150))
    early = solve(basis, labels, 4, everything, np.array([10.0]), max_iterations=3)
    best = solve(basis, labels, 4, everything, np.array([10.0]), tolerance=1e-10)
    excess = early.objective[0] / best.objective[0] - 1
    assert 1e-4 < excess <= early.gap[0]


def test_path_starts_closer_than_its_last_solution():
    features, labels = blobs(200, 30, 5, 0.7)
    basis, masks = rotate(features), np.ones((1, 200))
    path = solve_path(basis, labels, 5, masks)
    for k in range(2, len(C_PATH)):
        strength = np.array([C_PATH[k]])
        last = path[k - 1].parameters
        start = extrapolate(basis, labels, masks, strength[0], last, path[k - 2].parameters)
        reached, without = (
            solve(basis, labels, 5, masks, strength, x, max_iterations=0).objective[0] for x in (start, last)
        )
        assert reached < without


def test_a_path_sees_only_what_its_masks_show():
    features, labels = blobs(120, 12, 3, 1.0)
    mask = np.arange(120)[None] % 5 != 0
    path = solve_path(rotate(features), labels, 3, mask, tolerance=1e-10)
    alone = solve_path(rotate(features[mask[0]]), labels[mask[0]], 3, np.ones((1, 96)), tolerance=1e-10)
    for found, expected in zip(path, alone, strict=True):
        assert found.objective[0] == pytest.approx(expected.objective[0], rel=1e-8)
