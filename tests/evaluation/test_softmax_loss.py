import numpy as np
import pytest

from evaluation import softmax_loss
from evaluation.newton import newton_step
from evaluation.principal_axes import rotate
from evaluation.row_products import row_products
from evaluation.softmax_loss import Problems

CLASSES, SAMPLES = 3, 150


@pytest.fixture(params=["one tile", "tiles", "threads"])
def problems(request, monkeypatch):
    if request.param != "one tile":
        monkeypatch.setattr(softmax_loss, "_TILE", 64 * 2 * CLASSES)
        monkeypatch.setattr(softmax_loss, "_blas_threads", lambda _: 2 if request.param == "threads" else 1)
        monkeypatch.setattr(softmax_loss, "_STORED", 0)
    generator = np.random.default_rng(0)
    features = generator.normal(size=(SAMPLES, 5)) * np.geomspace(1, 0.1, 5)
    labels = generator.integers(0, CLASSES, SAMPLES)
    masks = (generator.random((2, SAMPLES)) < 0.7).astype(np.float64)
    return Problems(rotate(features), labels, masks, np.array([0.3, 20.0]), CLASSES)


@pytest.fixture
def parameters():
    return np.random.default_rng(1).normal(size=(2, CLASSES, 6))


def plain(problems, parameters):
    """Objective and gradient straight from the definition."""
    objectives, gradients = [], []
    for x, mask, strength in zip(parameters, problems.masks, problems.strengths, strict=True):
        logits = problems.basis.design @ x.T
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        losses = -np.log(p[np.arange(SAMPLES), problems.labels])
        objectives.append(0.5 * (x[:, :-1] ** 2).sum() + strength * (mask * losses).sum())
        p[np.arange(SAMPLES), problems.labels] -= 1
        gradient = strength * (p * mask[:, None]).T @ problems.basis.design
        gradient[:, :-1] += x[:, :-1]
        gradients.append(gradient)
    return np.array(objectives), np.array(gradients)


def test_objective_and_gradient_equal_the_definition(problems, parameters):
    at = problems.evaluate(parameters)
    objective, gradient = plain(problems, parameters)
    np.testing.assert_allclose(at.objective, objective, rtol=1e-12)
    np.testing.assert_allclose(at.gradient, gradient, rtol=1e-9, atol=1e-10)


def test_hessian_is_the_derivative_of_the_gradient(problems, parameters):
    direction = np.random.default_rng(2).normal(size=parameters.shape)
    step = 1e-6 * direction
    numeric = (problems.evaluate(parameters + step).gradient - problems.evaluate(parameters - step).gradient) / 2e-6
    np.testing.assert_allclose(problems.hessian(parameters)(direction), numeric, rtol=1e-6, atol=1e-6)


def test_blocks_are_those_of_the_hessian(problems, parameters):
    blocks, hessian = problems.blocks(parameters), problems.hessian(parameters)
    unit = np.zeros_like(parameters)
    unit[:, 1, 2] = 1
    np.testing.assert_allclose(blocks[:, 1, 2], hessian(unit)[:, 1], rtol=1e-9, atol=1e-9)
    unit[:, 1, 2], unit[:, 1, 5] = 0, 1
    np.testing.assert_allclose(blocks[:, 1, 5], hessian(unit)[:, 1], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("blocks", [False, True])
def test_newton_step_and_decrement(problems, parameters, blocks):
    at, hessian = problems.evaluate(parameters), problems.hessian(parameters)
    step, decrement = newton_step(problems, parameters, at, 1e-4, blocks)
    size = CLASSES * 6
    units = np.eye(size).reshape(size, 1, CLASSES, 6)
    dense = np.stack([hessian(np.repeat(unit, 2, axis=0)).reshape(2, size) for unit in units], axis=2)
    for problem in range(2):
        gradient = at.gradient[problem].ravel()
        exact = np.linalg.lstsq(dense[problem], gradient, rcond=1e-10)[0]
        assert decrement[problem] * at.objective[problem] == pytest.approx(gradient @ exact, rel=0.05)
        left = exact + step[problem].ravel()
        assert left @ dense[problem] @ left <= 0.05 * (gradient @ exact)


def test_a_saturated_sample_keeps_its_gradient():
    features, labels = np.array([[-1.0], [1.0]], dtype=np.float32), np.array([0, 1])
    problems = Problems(rotate(features), labels, np.ones((1, 2), np.float32), np.array([1e5]), 2)
    sign = np.sign(problems.basis.design[1, 0])
    parameters = np.zeros((1, 2, 2), np.float32)
    parameters[0, :, 0] = [-5 * sign, 5 * sign]
    slope = problems.evaluate(parameters).gradient[0, 1, 0] - parameters[0, 1, 0]
    assert slope * sign == pytest.approx(-2e5 * np.exp(-10), rel=1e-3)


@pytest.mark.parametrize("multiplications", [0, 1e12])
def test_products(multiplications):
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=shape).astype(np.float32) for shape in ((7, 5), (5, 9)))
    found = row_products(np.dtype(np.float32), multiplications)(a, b.T)
    np.testing.assert_allclose(found, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-6)
