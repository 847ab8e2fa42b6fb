"""Objectives that push no sample away from another: Barlow Twins (Zbontar et al., ICML 2021, arXiv 2103.03230) and
VICReg (Bardes et al., ICLR 2022, arXiv 2105.04906). Without negatives there are no false ones.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, mse_loss, relu

from glofnd.detectors import Detector, KeepAll
from glofnd.objectives.averages import reported
from glofnd.objectives.inputs import Index, prepare
from glofnd.objectives.objective import Objective
from glofnd.parameters import Range, checked

__all__ = ["BarlowTwins", "VICReg", "WithoutNegatives"]


class WithoutNegatives(Objective):
    """A loss of the batch as a whole, from embeddings as they are, by autograd; there is no state.

    Over several ranks each gathers all embeddings and computes the whole loss, at the cost of one process.
    """

    uses_negatives = False

    def __init__(self, num_samples: int, detector: Detector | None = None) -> None:
        if not (detector is None or isinstance(detector, KeepAll)):
            raise ValueError(f"{type(self).__name__} has no negatives that a detector could drop; its detector is none")
        super().__init__(num_samples, detector)

    def shared(self) -> dict[str, Tensor]:
        """Nothing, not even a temperature."""
        return {}

    def of_batch(self, z1: Tensor, z2: Tensor) -> Tensor:
        """The loss of a whole batch, a scalar, from the embeddings [B, D] of both views, B > 1."""
        raise NotImplementedError

    def _loss(self, z1: Tensor, z2: Tensor, index: Index, epoch: int, labels: Tensor | None) -> Tensor:
        with torch.no_grad():
            dtype = prepare(z1, z2, index, labels, self.num_samples, self.ranks).unit.dtype
        first, second = (self._gathered(z.to(dtype)) for z in (z1, z2))
        if len(first) < 2:
            raise ValueError(f"{type(self).__name__} needs at least two samples in a batch")
        loss = self.of_batch(first, second)
        # DistributedDataParallel takes the mean over ranks of gradients that belong in a sum.
        return loss if self.ranks is None else reported(loss, self.ranks.size * loss)

    def _gathered(self, z: Tensor) -> Tensor:
        """The embeddings of all ranks, attached to the graph where they are this rank's."""
        if self.ranks is None:
            return z
        everywhere, own = self.ranks.gather(z), self.ranks.part(len(z))
        return torch.cat([everywhere[: own.start], z, everywhere[own.stop :]])


class BarlowTwins(WithoutNegatives):
    """sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2, where C [D, D] correlates the dimensions of view 1 with those of
    view 2 over the batch.

    Embeddings are standardised with 1e-5 added to the variance, as by the published code's batch normalisation. The
    training differs from the paper's: its projector has three layers of 8192 dimensions, ours two as configured; its
    two views are augmented differently, ours alike.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        off_diagonal: Annotated[float, Range(ge=0), "lambda, weight of correlations between dimensions"] = 0.005,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, detector)
        self.off_diagonal = off_diagonal

    def of_batch(self, z1: Tensor, z2: Tensor) -> Tensor:
        """The published loss."""
        a, b = (batch_norm(z, None, None, training=True) for z in (z1, z2))
        correlation = a.T @ b / len(a)
        on = correlation.diagonal()
        return (1 - on).square().sum() + self.off_diagonal * _off_diagonal_squares(correlation)


class VICReg(WithoutNegatives):
    """invariance * mean squared distance of the views + variance * mean_d max(0, 1 - sd_d)
    + covariance * (sum of squared covariances of different dimensions) / D.

    sd_d = sqrt(var_d + 1e-4) over the batch; the variance term is the mean over both views, the covariance term the
    sum, as in the published code. Differs from the paper's text, which sums the distance over dimensions and the
    variance term over views. Its projector has three layers of 8192 dimensions and ends in a linear one; that of our
    ResNets ends in batch normalisation, so each dimension's spread is about 1 already and the variance term is nearly
    idle.
    """

    @checked
    def __init__(
        self,
        num_samples: int,
        invariance: Annotated[float, Range(ge=0), "weight of the distance of the two views"] = 25.0,
        variance: Annotated[float, Range(ge=0), "weight of the hinge on each dimension's spread"] = 25.0,
        covariance: Annotated[float, Range(ge=0), "weight of the covariances of different dimensions"] = 1.0,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(num_samples, detector)
        self.weights = invariance, variance, covariance

    def of_batch(self, z1: Tensor, z2: Tensor) -> Tensor:
        """The published loss."""
        invariance, variance, covariance = self.weights
        loss = invariance * mse_loss(z1, z2)
        for z in (z1, z2):
            centred = z - z.mean(0)
            matrix = centred.T @ centred / (len(z) - 1)
            spread = (matrix.diagonal() + 1e-4).sqrt()
            loss = loss + variance / 2 * relu(1 - spread).mean()
            loss = loss + covariance * _off_diagonal_squares(matrix) / len(matrix)
        return loss


def _off_diagonal_squares(matrix: Tensor) -> Tensor:
    """Sum of squares off the diagonal."""
    return (matrix - torch.diag(matrix.diagonal())).square().sum()
