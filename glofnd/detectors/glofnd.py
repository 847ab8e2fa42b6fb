"""One learned threshold per sample (GloFND, Balmaseda et al., ICML 2025, arXiv 2502.20612, Algorithm 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from glofnd.detectors.base import Batch, Detector, Screening, check_alpha
from glofnd.detectors.learners import make_descent
from glofnd.detectors.moments import MOMENTS_COLUMNS, TAIL_RATE, Moments, normal_tail
from glofnd.detectors.quantile import upper_quantile
from glofnd.detectors.tile import Tile
from glofnd.state import SampleState

__all__ = ["GloFND"]

_DEFAULT_LR = {"moments": 0.2, "adam": 0.05, "sgd": 0.05}


class GloFND(Detector):
    """Drops the negatives of anchor i with s_ij > lambda_i, where lambda_i tends to the (1 - alpha)-quantile of the
    similarities of i to the *whole data set*, although only batches are ever seen.

    Each occurrence of a sample in a batch is one step from the state before the batch; the sample keeps their mean.
    Thresholds move before the same batch is filtered with them.

    Args:
        num_samples: samples in the data set.
        alpha: share of the data set that is to lie above lambda_i.
        lr: step size; None for the learner's own (adam and sgd 0.05, moments 0.2).
        learner: `moments` (`glofnd.detectors.moments`; it finds the tail in few epochs, docs/learners.md), `adam` (the
            published code) or `sgd` (the paper).
        init: `one` starts at 1 (drops nothing); `quantile` takes the batch quantile during epoch `start_update`.
        normalize_gradient: divide the gradient by alpha.
        clip: bound of the gradient, in units of alpha; None for no bound.
        start_update: first epoch in which thresholds learn.
        start_filter: first epoch in which negatives are dropped; not before `start_update`.
        treatment: `eliminate` or `attract`.

    `moments` takes neither `init`, `normalize_gradient` nor `clip`: a value other than the default is refused.
    """

    tail: Tensor

    def __init__(
        self,
        num_samples: int,
        alpha: float = 0.01,
        lr: float | None = None,
        learner: str = "moments",
        init: str = "one",
        normalize_gradient: bool = False,
        clip: float | None = None,
        start_update: int = 0,
        start_filter: int = 0,
        treatment: str = "eliminate",
    ) -> None:
        super().__init__(num_samples, start_update, start_filter, treatment)
        if learner not in _DEFAULT_LR:
            raise ValueError(f"learner must be one of {', '.join(_DEFAULT_LR)}; got {learner!r}")
        self.alpha, self.learner, self.init = check_alpha(alpha), learner, init
        lr = _DEFAULT_LR[learner] if lr is None else lr
        rule = make_descent(alpha, lr, "sgd" if learner == "moments" else learner, normalize_gradient, clip, init)
        self.rule: Moments | None = None
        if learner == "moments":
            if init != "one" or normalize_gradient or clip is not None:
                raise ValueError("learner 'moments' takes no init, normalize_gradient or clip")
            self.rule = Moments(alpha, lr)
            self.register_buffer("tail", torch.tensor(normal_tail(alpha)))
        self.descent = rule
        self.state = SampleState(num_samples, **(MOMENTS_COLUMNS if self.rule else rule.columns))

    @property
    def thresholds(self) -> Tensor:
        """lambda of every sample, [num_samples]; 1 for a sample not seen yet."""
        if self.rule is None:
            return self.state.whole("threshold")
        return self.rule.thresholds({name: self.state.whole(name) for name in self.state.columns}, self.tail)

    def _screening(self, batch: Batch, learning: bool, filtering: bool) -> Screening:
        if self.rule is None:
            return _DescentScreening(self, batch, learning, filtering)
        return _MomentsScreening(self, self.rule, batch, learning, filtering)


class _SampleScreening(Screening):
    """Keeps the batch's rows of the state while the batch lasts."""

    def __init__(self, detector: GloFND, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(batch, learning, filtering)
        self.detector = detector
        self.rows = detector.state.read(batch.index)

    def _load(self, tile: Tile) -> dict[str, Tensor]:
        return {name: value[tile.rows] for name, value in self.rows.items()}

    def _store(self, tile: Tile, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.to(self.rows[name].dtype)
            if len(value) == len(self.rows[name]):
                self.rows[name] = value
            else:
                self.rows[name][tile.rows] = value

    def commit(self) -> None:
        if self.learning:
            self.detector.state.write(self.batch.index, self.rows)


class _DescentScreening(_SampleScreening):
    def learn(self, tile: Tile) -> None:
        detector, batch = self.detector, self.batch
        state = self._load(tile)
        if detector.init == "quantile" and batch.epoch == detector.start_update:
            quantile = upper_quantile(tile.similarity, detector.alpha, tile.negatives).mean(0)
            self._store(tile, {"threshold": quantile.clamp(-1, 1)})
        else:
            g = detector.descent.gradient(tile.share_above(state["threshold"]))
            self._store(tile, detector.descent.step(state, g, batch.epoch))

    def threshold(self, tile: Tile) -> Tensor:
        return self.rows["threshold"][tile.rows].expand(tile.positive.shape)


class _MomentsScreening(_SampleScreening):
    def __init__(self, detector: GloFND, rule: Moments, batch: Batch, learning: bool, filtering: bool) -> None:
        super().__init__(detector, batch, learning, filtering)
        self.rule = rule
        self.surplus = torch.zeros_like(detector.tail)

    def learn(self, tile: Tile) -> None:
        new, surplus = self.rule.step(self._load(tile), self.detector.tail, tile)
        self._store(tile, new)
        self.surplus = self.surplus + surplus.sum()

    def threshold(self, tile: Tile) -> Tensor:
        return self.rule.thresholds(self._load(tile), self.detector.tail).expand(tile.positive.shape)

    def commit(self) -> None:
        super().commit()
        if self.learning:
            self.detector.tail += TAIL_RATE * self.batch.mean_over_anchors(self.surplus)
