"""Multinomial logistic regression with C chosen on validation folds of the training labels.

    f(W, b) = 1/2 |W|^2 + C sum_i [logsumexp(W x_i + b) - (W x_i + b)_{y_i}]        as in scikit-learn

One eigendecomposition of the features serves all fits: in their principal axes the Hessian of class k is near the
diagonal C lambda_j mean_i[p_ik (1 - p_ik)] + 1, and L-BFGS in variables scaled by its root needs tens of iterations
where plain features need thousands. All folds of one C are one problem. C rises over ten values, each fit starting
where the last one ended. To choose C it takes validation scores and no optima, so the path's fits stop, in single
precision, once their scores are stable; the refit on all labels ends at its optimum, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from evaluation.probing.subsets import fold_masks
from evaluation.scores import score

__all__ = ["C_PATH", "FIXED_C", "Probe", "SoftmaxRegression", "fit_probe", "l2_normalise", "optimum", "standardise"]

Array = NDArray[Any]

C_PATH = np.logspace(-6, 5, 10)
FIXED_C = 1.0
"""C where there are too few labels to validate (a median of one per class)."""
_EVERY, _LONGEST = 5, 50
"""Iterations between two looks at a fit, and of one whose validation score does not settle."""
_TILE = 2**21
"""Logits that are held at a time."""


def l2_normalise(features: Array) -> Array:
    """Rows of unit length; a zero row stays zero."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))


def standardise(train: Array, test: Array) -> tuple[Array, Array]:
    """Zero mean and unit variance per feature, measured on `train` without its labels; constant features become 0."""
    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-7 * np.abs(mean) + 1e-12)
    mean, scale = mean.astype(train.dtype), scale.astype(train.dtype)
    return (train - mean) * scale, (test - mean) * scale


@dataclass(frozen=True)
class Probe:
    """A fitted classifier.

    Its C is `strength`, chosen by `hold-out`, `<k>-fold` or `fixed` (`selection`); weights [K, F], intercept [K].
    """

    weights: Array
    intercept: Array
    strength: float
    selection: str

    def scores(self, features: Array) -> Array:
        """Class scores [M, K] of features [M, F]."""
        return features @ self.weights.T + self.intercept


class SoftmaxRegression:
    """P problems that share features and labels; each sees the samples of its mask.

    Args:
        features: [n, F].
        labels: int [n] in [0, K).
        classes: K.
    """

    def __init__(self, features: Array, labels: Array, classes: int) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.labels, self.classes = torch.as_tensor(labels, device=self.device), classes
        x = torch.as_tensor(features, dtype=torch.float64, device=self.device)
        self.centre = x.mean(dim=0)
        x = x - self.centre
        wide = x.shape[1] > x.shape[0]
        power, axes = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
        # The optimum is 0 along axes without variance.
        kept = power > 1e-12 * power[-1].clamp_min(1e-300)
        self.power, axes = power[kept], axes[:, kept]
        self.axes = x.T @ (axes / self.power.sqrt()) if wide else axes
        self.design = torch.cat([x @ self.axes, torch.ones(len(x), 1, dtype=x.dtype, device=self.device)], dim=1)
        self.masks = torch.ones(len(x), 1, dtype=x.dtype, device=self.device)

    def masked(self, masks: Array) -> SoftmaxRegression:
        """The same in single precision with masks [P, n], in the place of all samples."""
        other = object.__new__(SoftmaxRegression)
        other.__dict__ |= vars(self)
        other.design, other.power = self.design.float(), self.power.float()
        other.masks = torch.as_tensor(masks, device=self.device).T.float().contiguous()
        return other

    def zeros(self) -> Tensor:
        """Parameters [P, K, d + 1], the intercept last."""
        return self.design.new_zeros(self.masks.shape[1], self.classes, self.design.shape[1])

    def _tiles(self, parameters: Tensor) -> Any:
        """Rows, exp(logits - their maximum) [m, P, K], their sums [m, P] and the losses [m, P], by tiles of samples."""
        flat = parameters.flatten(0, 1).T
        step = max(64, _TILE // flat.shape[1])
        for start in range(0, len(self.design), step):
            rows = slice(start, start + step)
            work = (self.design[rows] @ flat).view(-1, *parameters.shape[:2])
            work -= work.amax(dim=2, keepdim=True)
            place = self.labels[rows, None, None].expand(-1, work.shape[1], 1)
            own = work.gather(2, place).squeeze(2)
            total = work.exp_().sum(dim=2)
            yield rows, place, work, total, total.log() - own

    def value(self, parameters: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """f of all problems together, and its gradient [P, K, d + 1]."""
        gradient, loss = torch.zeros_like(parameters), parameters.new_zeros(())
        for rows, place, work, total, losses in self._tiles(parameters):
            mask = self.masks[rows]
            loss += (losses * mask).sum()
            work *= (mask / total)[..., None]
            work.scatter_add_(2, place, -mask[..., None])
            gradient += (work.flatten(1).T @ self.design[rows]).view_as(parameters)
        gradient *= strength
        gradient[..., :-1] += parameters[..., :-1]
        return strength * loss + 0.5 * parameters[..., :-1].square().sum(), gradient

    def scale(self, parameters: Tensor, strength: float) -> Tensor:
        """One over the root of the Hessian's approximate diagonal."""
        spread = torch.zeros_like(parameters[..., 0])
        for rows, _, work, total, _ in self._tiles(parameters):
            work /= total[..., None]
            spread += ((work - work.square()) * self.masks[rows][..., None]).sum(dim=0)
        spread = strength * spread.clamp_min(1e-9)[..., None]
        return torch.cat([spread * (self.power / len(self.design)) + 1, spread + 1e-6], dim=2).rsqrt()

    def minimise(
        self, start: Tensor, strength: float, finished: Callable[[Tensor, float], bool], longest: int, flat: float
    ) -> Tensor:
        """L-BFGS until `finished(parameters, f)`, `longest` iterations, or one that lowers f by `flat` of it."""
        scale, done = self.scale(start, strength), 0

        def parameters(scaled: Array) -> Tensor:
            return torch.as_tensor(scaled, dtype=scale.dtype, device=self.device).view_as(scale) * scale

        def objective(scaled: Array) -> tuple[float, Array]:
            value, gradient = self.value(parameters(scaled), strength)
            return float(value), (gradient * scale).flatten().double().cpu().numpy()

        def look(intermediate_result: OptimizeResult) -> None:
            nonlocal done
            done += 1
            if done % _EVERY == 0 and finished(parameters(intermediate_result.x), intermediate_result.fun):
                raise StopIteration

        first = (start / scale).flatten().double().cpu().numpy()
        options = {"maxiter": longest, "ftol": flat, "gtol": 0}
        found = minimize(objective, first, jac=True, method="L-BFGS-B", callback=look, options=options)
        return parameters(found.x)

    def validate(self, parameters: Tensor, metric: str) -> tuple[float, float, float]:
        """Score, its standard error and mean log-likelihood of left-out samples, each under the fit without it."""
        hits, truth, losses = [], [], []
        for rows, _, work, _, loss in self._tiles(parameters):
            held = self.masks[rows] == 0
            hits.append((work.argmax(dim=2) == self.labels[rows, None])[held])
            truth.append(self.labels[rows, None].expand_as(held)[held])
            losses.append(loss[held])
        found = score(metric, torch.cat(hits).cpu().numpy(), torch.cat(truth).cpu().numpy())
        return found.value, inf if found.stderr is None else found.stderr, -float(torch.cat(losses).mean())

    def probe(self, parameters: Tensor, strength: float, selection: str) -> Probe:
        """The classifier of parameters [1, K, d + 1] on the features as they were given."""
        weights = parameters[0, :, :-1].double() @ self.axes.T
        intercept = parameters[0, :, -1].double() - weights @ self.centre
        return Probe(weights.cpu().numpy(), intercept.cpu().numpy(), strength, selection)


def optimum(
    problem: SoftmaxRegression, strength: float, start: Tensor, tolerance: float = 3e-6, passes: int = 20
) -> Tensor:
    """Parameters at which ten iterations lower f by at most `tolerance` of it, after a fresh start of L-BFGS too."""
    before = float(problem.value(start, strength)[0])
    for _ in range(passes):
        values: list[float] = []

        def settled(_: Tensor, value: float, values: list[float] = values) -> bool:
            values.append(value)
            return len(values) > 1 and values[-2] - value <= tolerance / 2 * value

        start = problem.minimise(start, strength, settled, 500, flat=torch.finfo(start.dtype).eps)
        after = float(problem.value(start, strength)[0])
        if before - after <= 10 * tolerance * after:
            break
        before = after
    return start


def choose_strength(problem: SoftmaxRegression, metric: str) -> tuple[float, Tensor]:
    """The C of `C_PATH` with the best validation score, and the mean parameters of its fits [1, K, d + 1].

    Ties go to the smaller validation log-loss, then to the smaller C. The path ends where the score has fallen by more
    than its standard error: a weaker penalty only overfits further.
    """
    parameters = problem.zeros()
    fits: list[tuple[tuple[float, float], float, Tensor]] = []
    for strength in C_PATH:
        seen: list[tuple[float, float, float]] = []

        def stable(at: Tensor, _: float, seen: list[tuple[float, float, float]] = seen) -> bool:
            seen.append(problem.validate(at, metric))
            if len(seen) < 2:
                return False
            (before, _, earlier), (value, _, likelihood) = seen[-2:]
            return abs(value - before) <= 1e-3 and abs(likelihood - earlier) <= -0.01 * likelihood

        parameters = problem.minimise(parameters, strength, stable, _LONGEST, flat=1e-5)
        value, error, likelihood = problem.validate(parameters, metric)
        fits.append(((value, likelihood), float(strength), parameters))
        if value < max(fit[0][0] for fit in fits) - error:
            break
    best = max(range(len(fits)), key=lambda place: (*fits[place][0], -place))
    return fits[best][1], fits[best][2].mean(dim=0, keepdim=True)


def fit_probe(
    train: Array, labels: Array, classes: int, metric: str, seed: int, together: Array | None = None
) -> Probe:
    """Choose C on folds of the training labels, refit on all of them.

    Args:
        train: [n, F], standardised.
        labels: int [n] in [0, classes); a class may be absent.
        classes: K.
        metric: `top1` or `mean-per-class`.
        seed: of the run; decides the folds.
        together: int [n], see `fold_masks`.
    """
    problem = SoftmaxRegression(train, labels, classes)
    masks = fold_masks(labels, seed, together)
    strength, start, selection = FIXED_C, problem.zeros(), "fixed"
    if len(masks):
        strength, start = choose_strength(problem.masked(masks), metric)
        selection = "hold-out" if len(masks) == 1 else f"{len(masks)}-fold"
    single = optimum(problem.masked(np.ones((1, len(labels)))), strength, start.float(), 1e-5, passes=1)
    return problem.probe(optimum(problem, strength, single.double()), strength, selection)
