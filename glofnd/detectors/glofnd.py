"""One learned threshold per sample (GloFND, Balmaseda et al., ICML 2025, arXiv 2502.20612, Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from glofnd.detectors.detector import Alpha, Batch, Detector, Screening, StartFilter, StartUpdate, Tile, Treatment
from glofnd.parameters import Range, checked
from glofnd.state import SampleState

__all__ = ["Descent", "GloFND", "SampleScreening"]

StepSize = Annotated[float, Range(gt=0), "step size of the thresholds"]
Learner = Annotated[Literal["adam", "sgd"], "adam as in the published code, sgd as in the paper"]
Init = Annotated[
    Literal["one", "quantile"], "one drops nothing at first, quantile takes the batch quantile in epoch start_update"
]
Normalize = Annotated[bool, "divide the gradient of a threshold by alpha"]
Clip = Annotated[float | None, Range(gt=0), "bound of the gradient in units of alpha; none where empty"]

BETA1, BETA2, EPSILON = 0.9, 0.98, 1e-8


class GloFND(Detector):
    """Drops the negatives of anchor i with s_ij > lambda_i, where lambda_i tends to the (1 - alpha)-quantile of the
    similarities of i to the *whole data set*, although only batches are ever seen.

    Each occurrence of a sample in a batch is one step (`Descent`) from the state before the batch; the sample keeps
    their mean. Thresholds move before the same batch is filtered with them.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        alpha: Alpha = 0.01,
        lr: StepSize = 0.05,
        learner: Learner = "adam",
        init: Init = "one",
        normalize_gradient: Normalize = False,
        clip: Clip = None,
        start_update: StartUpdate = 0,
        start_filter: StartFilter = 0,
        treatment: Treatment = "eliminate",
    ) -> None:
        super().__init__(num_samples, start_update, start_filter, treatment)
        self.alpha, self.init = alpha, init
        self.descent = Descent(alpha, lr, learner, normalize_gradient, clip)
        self.make_state()

    def make_state(self) -> None:
        """What `Descent` keeps, for every sample."""
        self.state = SampleState(self.num_samples, **self.descent.columns)

    @property
    def thresholds(self) -> Tensor:
        """lambda of every sample, [num_samples]; 1 for a sample not seen yet."""
        return self.state.whole("threshold")

    @thresholds.setter
    def thresholds(self, values: Tensor) -> None:
        self.state.fill("threshold", values)

    def first(self, batch: Batch) -> bool:
        """Whether thresholds are to be set to the batch's quantile."""
        return self.init == "quantile" and batch.epoch == self.start_update

    def screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        """The thresholds of a batch at work."""
        return _DescentScreening(self, batch, learning, filtering)


@dataclass(frozen=True)
class Descent:
    """One step on alpha * l + E_j (s_ij - l)_+ (arXiv 2502.20612, eq. 5), projected on [-1, 1].

    The gradient g is alpha - (share above the threshold). `sgd`: l - lr * g. `adam`: l - lr * m^ / (sqrt(v^) + eps)
    with moments of the sample's own gradients, corrected for the absolute epoch (a sample is seen once an epoch).
    """

    alpha: float
    lr: float
    learner: str
    normalize_gradient: bool
    clip: float | None

    @property
    def columns(self) -> dict[str, float]:
        """State per threshold, with initial values."""
        return {"threshold": 1.0, "m": 0.0, "v": 0.0} if self.learner == "adam" else {"threshold": 1.0}

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
        if self.learner == "sgd":
            return {"threshold": (state["threshold"] - self.lr * g).clamp(-1, 1)}
        m, v = torch.lerp(g, state["m"], BETA1), torch.lerp(g * g, state["v"], BETA2)
        root = (v / (1 - BETA2 ** (epoch + 1))).sqrt_().add_(EPSILON)
        threshold = torch.addcdiv(state["threshold"], m, root, value=-self.lr / (1 - BETA1 ** (epoch + 1)))
        return {"threshold": threshold.clamp_(-1, 1), "m": m, "v": v}


class SampleScreening(Screening):
    """Holds the batch's rows of a table of per-sample state while the batch lasts, and writes them back at the end."""

    def __init__(self, state: SampleState, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.state, self.rows = state, state.read(batch.index)

    def load(self, tile: Tile) -> dict[str, Tensor]:
        """The rows of the tile's anchors, name -> [t]."""
        return {name: value[tile.rows] for name, value in self.rows.items()}

    def store(self, tile: Tile, values: dict[str, Tensor]) -> None:
        """Replace the rows of the tile's anchors."""
        for name, value in values.items():
            self.rows[name][tile.rows] = value.to(self.rows[name].dtype)

    def commit(self) -> None:
        """Write the rows back."""
        if self.learning:
            self.state.write(self.batch.index, self.rows)


class _DescentScreening(SampleScreening):
    def __init__(self, detector: GloFND, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(detector.state, batch, learning, filtering)
        self.detector = detector

    def learn(self, tile: Tile) -> None:
        detector, state = self.detector, self.load(tile)
        if detector.first(self.batch):
            self.store(tile, {"threshold": tile.upper_quantile(detector.alpha).mean(0).clamp(-1, 1)})
        else:
            g = detector.descent.gradient(tile.share_above(state["threshold"]))
            self.store(tile, detector.descent.step(state, g, self.batch.epoch))

    def threshold(self, tile: Tile) -> Tensor:
        return self.rows["threshold"][tile.rows].expand(tile.positive.shape)
