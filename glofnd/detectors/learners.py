"""How a threshold moves: the gradient of GloFND's quantile objective, and the two rules of the paper that follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from glofnd.parameters import Range

__all__ = ["BETA1", "BETA2", "EPSILON", "Clip", "Descent", "Init", "Learner", "Normalize", "StepSize"]

StepSize = Annotated[float, Range(gt=0), "step size of the thresholds"]
Learner = Annotated[Literal["adam", "sgd"], "adam as in the published code, sgd as in the paper"]
Init = Annotated[
    Literal["one", "quantile"], "one drops nothing at first, quantile takes the batch quantile in epoch start_update"
]
Normalize = Annotated[bool, "divide the gradient of a threshold by alpha"]
Clip = Annotated[float | None, Range(gt=0), "bound of the gradient in units of alpha; none where empty"]

BETA1, BETA2, EPSILON = 0.9, 0.98, 1e-8


@dataclass(frozen=True)
class Descent:
    """One step on alpha * l + E_j (s_ij - l)_+ (GloFND, arXiv 2502.20612, eq. 5), projected on [-1, 1].

    The gradient g is alpha - (share above the threshold). `sgd`: l - lr * g. `adam`: l - lr * m^ / (sqrt(v^) + eps)
    with moments of the sample's own gradients, corrected for the absolute epoch (a sample is seen once an epoch).
    """

    alpha: float
    lr: float
    rule: str
    normalize_gradient: bool
    clip: float | None

    @property
    def columns(self) -> dict[str, float]:
        """State per threshold, with initial values."""
        return {"threshold": 1.0, "m": 0.0, "v": 0.0} if self.rule == "adam" else {"threshold": 1.0}

    def gradient(self, share: Tensor) -> Tensor:
        """g of a share above the threshold, normalised and clipped as configured."""
        g = self.alpha - share
        if self.normalize_gradient:
            g = g / self.alpha
        if self.clip is not None:
            g = g.clamp(-self.alpha * self.clip, self.alpha * self.clip)
        return g

    def step(self, state: dict[str, Tensor], g: Tensor, epoch: int) -> dict[str, Tensor]:
        """New state from the old one and the gradient, shapes alike."""
        if self.rule == "sgd":
            return {"threshold": (state["threshold"] - self.lr * g).clamp(-1, 1)}
        m, v = torch.lerp(g, state["m"], BETA1), torch.lerp(g * g, state["v"], BETA2)
        root = (v / (1 - BETA2 ** (epoch + 1))).sqrt_().add_(EPSILON)
        threshold = torch.addcdiv(state["threshold"], m, root, value=-self.lr / (1 - BETA1 ** (epoch + 1)))
        return {"threshold": threshold.clamp_(-1, 1), "m": m, "v": v}
