"""The method written down plainly with autograd: full similarity matrix, full quantile for the log, as published."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["NaiveCLIP", "NaiveSogCLR"]

BETA1, BETA2, EPSILON = 0.9, 0.98, 1e-8


class NaiveSogCLR:
    """SogCLR, with GloFND's Adam learner where `alpha` is given.

    Args:
        num_samples: samples in the data set.
        alpha: share of false negatives, or None for plain SogCLR.
    """

    def __init__(self, num_samples: int, alpha: float | None = None) -> None:
        self.u = torch.zeros(num_samples)
        self.detector = None if alpha is None else _Thresholds(num_samples, alpha)

    def __call__(self, z1: Tensor, z2: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Loss of one batch."""
        a, b = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
        size, tau, gamma = len(a), 0.1, 0.9
        other = ~torch.eye(size, dtype=torch.bool).repeat(1, 2)
        similarity = torch.stack([torch.cat([a @ b.T, a @ a.T], 1), torch.cat([b @ a.T, b @ b.T], 1)])
        keep = other.expand_as(similarity)
        if self.detector is not None:
            keep = keep & (similarity <= self.detector.learn(similarity, other, index, epoch)[None, :, None])
        positive = (a * b).sum(1)
        kept = keep.sum(2)
        exponentials = torch.where(keep, (similarity / tau).exp(), 0.0)
        estimate = exponentials.detach().sum(2) / kept
        u = torch.where(self.u[index] == 0, estimate, (1 - gamma) * self.u[index] + gamma * estimate)
        self.u[index] = u.mean(0)
        weight = exponentials.detach() / u[:, :, None]
        return (-positive + (weight * similarity).sum(2) / kept).mean(1).sum()


class NaiveCLIP:
    """FastCLIP version 1, with GloFND's Adam learner where `alpha` is given.

    Args:
        num_samples: pairs in the data set.
        alpha: share of false negatives, or None for plain FastCLIP.
    """

    def __init__(self, num_samples: int, alpha: float | None = None) -> None:
        self.u = torch.zeros(2, num_samples)
        self.detectors = [None if alpha is None else _Thresholds(num_samples, alpha) for _ in range(2)]

    def __call__(self, z1: Tensor, z2: Tensor, index: Tensor, epoch: int) -> Tensor:
        """Loss of one batch."""
        a, b = functional.normalize(z1, dim=1), functional.normalize(z2, dim=1)
        tau, gamma = 0.03, 0.2
        total = torch.tensor(0.0)
        for side, (anchors, candidates) in enumerate(((a, b), (b, a))):
            similarity = anchors @ candidates.T
            keep = other = ~torch.eye(len(a), dtype=torch.bool)
            detector = self.detectors[side]
            if detector is not None:
                keep = other & (similarity <= detector.learn(similarity[None], other, index, epoch)[:, None])
            shifted = ((similarity - similarity.diagonal()[:, None]) / tau).exp()
            h = torch.where(keep, shifted, 0.0).sum(1) / keep.sum(1)
            old = self.u[side, index]
            u = torch.where(old == 0, h.detach(), (1 - gamma) * old + gamma * h.detach())
            self.u[side, index] = u
            total = total + (h / (u + 1e-14)).mean()
        return total


class _Thresholds:
    """GloFND's Adam learner."""

    def __init__(self, num_samples: int, alpha: float) -> None:
        self.alpha = alpha
        self.threshold, self.m, self.v = torch.ones(num_samples), torch.zeros(num_samples), torch.zeros(num_samples)
        self.error = torch.tensor(0.0)

    @torch.no_grad()
    def learn(self, similarity: Tensor, other: Tensor, index: Tensor, epoch: int) -> Tensor:
        """The thresholds of a batch after one step; `similarity` [V, B, M], `other` bool [B, M] marks negatives."""
        negatives = similarity[other.expand_as(similarity)].view(len(similarity), len(index), -1)
        g = self.alpha - (negatives > self.threshold[index][None, :, None]).float().mean((0, 2))
        self.m[index] = BETA1 * self.m[index] + (1 - BETA1) * g
        self.v[index] = BETA2 * self.v[index] + (1 - BETA2) * g * g
        m, v = self.m[index] / (1 - BETA1 ** (epoch + 1)), self.v[index] / (1 - BETA2 ** (epoch + 1))
        self.threshold[index] = (self.threshold[index] - 0.05 * m / (v.sqrt() + EPSILON)).clamp(-1, 1)
        # In parts, since torch.quantile refuses more than 16 million entries.
        parts = negatives.flatten(0, 1).split(1024)
        exact = torch.cat([part.quantile(1 - self.alpha, dim=1) for part in parts]).view(len(negatives), -1).mean(0)
        self.error = (self.threshold[index] - exact).abs().mean()
        return self.threshold[index]
