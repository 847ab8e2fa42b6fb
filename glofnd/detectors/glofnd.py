"""One learned threshold per sample (GloFND, Balmaseda et al., ICML 2025, arXiv 2502.20612, Algorithm 1)."""

from __future__ import annotations

from torch import Tensor

from glofnd.detectors.base import Alpha, Batch, Detector, Screening, StartFilter, StartUpdate, Treatment
from glofnd.detectors.learners import Clip, Descent, Init, Learner, Normalize, StepSize
from glofnd.detectors.quantile import upper_quantile
from glofnd.detectors.tile import Tile
from glofnd.parameters import checked
from glofnd.state import SampleState

__all__ = ["GloFND", "SampleScreening"]


class GloFND(Detector):
    """Drops the negatives of anchor i with s_ij > lambda_i, where lambda_i tends to the (1 - alpha)-quantile of the
    similarities of i to the *whole data set*, although only batches are ever seen.

    Each occurrence of a sample in a batch is one step from the state before the batch; the sample keeps their mean.
    Thresholds move before the same batch is filtered with them.

    Args:
        num_samples: samples in the data set.
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
        self.alpha, self.learner, self.init = alpha, learner, init
        self.descent = Descent(alpha, lr, learner, normalize_gradient, clip)
        self.state = SampleState(num_samples, **self.descent.columns)

    @property
    def thresholds(self) -> Tensor:
        """lambda of every sample, [num_samples]; 1 for a sample not seen yet."""
        return self.state.whole("threshold")

    def _screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        return _DescentScreening(self, self.state, batch, learning, filtering)


class SampleScreening(Screening):
    """Keeps the batch's rows of the state while the batch lasts."""

    def __init__(self, state: SampleState, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.state = state
        self.rows = state.read(batch.index)

    def load(self, tile: Tile) -> dict[str, Tensor]:
        """The rows of the tile's anchors."""
        return {name: value[tile.rows] for name, value in self.rows.items()}

    def store(self, tile: Tile, values: dict[str, Tensor]) -> None:
        """Replace the rows of the tile's anchors."""
        for name, value in values.items():
            value = value.to(self.rows[name].dtype)
            if len(value) == len(self.rows[name]):
                self.rows[name] = value
            else:
                self.rows[name][tile.rows] = value

    def commit(self) -> None:
        """Write the rows back."""
        if self.learning:
            self.state.write(self.batch.index, self.rows)


class _DescentScreening(SampleScreening):
    def __init__(self, detector: GloFND, state: SampleState, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(state, batch, learning, filtering)
        self.detector = detector

    def learn(self, tile: Tile) -> None:
        detector, batch = self.detector, self.batch
        state = self.load(tile)
        if detector.init == "quantile" and batch.epoch == detector.start_update:
            quantile = upper_quantile(tile.similarity, detector.alpha, tile.negatives).mean(0)
            self.store(tile, {"threshold": quantile.clamp(-1, 1)})
        else:
            g = detector.descent.gradient(tile.share_above(state["threshold"]))
            self.store(tile, detector.descent.step(state, g, batch.epoch))

    def threshold(self, tile: Tile) -> Tensor:
        return self.rows["threshold"][tile.rows].expand(tile.positive.shape)
